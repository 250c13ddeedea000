// What etcdctl 3.5 is asked to do, in order, on a fresh server. Data only; etcdctl.test.ts runs it.

export interface Command {
  readonly args: readonly string[];
  /** Standard input. */
  readonly input?: string;
  /** A command that goes on: stopped once it printed so many lines, counted after the commands of `meanwhile` ran. */
  readonly lines?: number;
  /** Run while this one goes on, once it printed `linesBefore` lines. */
  readonly meanwhile?: readonly Command[];
  readonly linesBefore?: number;
  /** The command prints a lease id, which goes by this name in later arguments: "$one". */
  readonly leaseAs?: string;
  /** Exit status; 0 unless told. */
  readonly status?: number;
}

const put = (...args: readonly string[]): Command => ({ args: ["put", ...args] });
const get = (...args: readonly string[]): Command => ({ args: ["get", ...args] });
const formats = ["simple", "json", "table", "fields"] as const;
/** The same command in each output format; those that a command does not have are refused by etcdctl itself. */
const inFormats = (args: readonly string[], refused: readonly string[] = []): Command[] =>
  formats.map((format) => ({ args: ["-w", format, ...args], ...(refused.includes(format) ? { status: 4 } : {}) }));
const noTable = ["table"] as const;

export const script: readonly Command[] = [
  put("a", "1"),
  put("a", "2", "--prev-kv"),
  put("b", "two words"),
  { args: ["put", "c"], input: "from standard input" },
  put("--", "d", "--dashes"),
  put("p/1", "x"),
  put("p/2", "y"),
  put("p/3", "z"),
  put("\u00fc", "\u00e4 \u20ac"),
  put("a", "--ignore-value"),
  { args: ["put", "missing", "--ignore-value"], status: 1 },
  { args: ["put", "a", "1", "--lease=1234"], status: 1 },
  { args: ["-w", "json", "put", "a", "3", "--prev-kv"] },
  { args: ["-w", "fields", "put", "a", "4", "--prev-kv"] },

  ...inFormats(["get", "a"], noTable),
  ...inFormats(["get", "p/", "--prefix"], noTable),
  get("a", "c"),
  get("a", "--print-value-only"),
  get("p/", "--prefix", "--keys-only"),
  { args: ["-w", "fields", "get", "p/", "--prefix", "--count-only"] },
  { args: ["-w", "json", "get", "p/", "--prefix", "--limit=2"] },
  get("b", "--from-key"),
  get("", "--prefix", "--keys-only"),
  get("p/", "--prefix", "--order=DESCEND"),
  get("", "--from-key", "--sort-by=MODIFY", "--order=DESCEND", "--limit=3"),
  get("", "--from-key", "--sort-by=VALUE"),
  get("", "--from-key", "--sort-by=VERSION"),
  get("", "--from-key", "--sort-by=CREATE", "--order=DESCEND"),
  get("a", "--rev=2"),
  get("a", "--consistency=s"),
  get("a", "--hex"),
  get("nothing"),
  { args: ["get", "a", "--rev=1000"], status: 1 },
  { args: ["get"], status: 128 },

  { args: ["txn"], input: 'value("a") = "4"\nversion("b") > "0"\n\nput t yes\nget a\n\nget b\n\n' },
  { args: ["txn"], input: 'create("a") = "0"\n\nput t no\n\nget t\ndel p/3 --prev-kv\n\n' },
  {
    args: ["-w", "json", "txn"],
    input: 'mod("nothing") = "0"\n\nput t json\nget t\ndel nothing\n\n\n',
  },
  { args: ["-w", "fields", "txn"], input: "\nget t\nget p/ --prefix\n\n\n" },
  { args: ["txn"], input: "\nput x 1\nput x 2\n\n\n", status: 1 },

  { args: ["del", "c"] },
  { args: ["del", "nothing"] },
  { args: ["del", "p/", "--prefix", "--prev-kv"] },
  { args: ["-w", "json", "del", "d", "--prev-kv"] },
  { args: ["-w", "fields", "del", "\u00fc", "--prev-kv"] },
  { args: ["del", "t", "z"] },

  { args: ["watch", "a", "--rev=1"], lines: 15 },
  { args: ["watch", "p/", "--prefix", "--rev=1", "--prev-kv"], lines: 20 },
  { args: ["-w", "json", "watch", "", "--prefix", "--rev=2", "--prev-kv"], lines: 1 },
  { args: ["-w", "fields", "watch", "p/", "--prefix", "--rev=7"], lines: 30 },
  {
    args: ["watch", "e", "g", "--rev=20"],
    lines: 6,
    meanwhile: [put("f", "seen"), put("g", "not seen"), { args: ["del", "e", "g"] }],
  },
  { args: ["watch", "-i"], input: "watch a --rev=2\nwatch b\n", lines: 6 },

  { args: ["lease", "grant", "600"], leaseAs: "one" },
  { args: ["-w", "json", "lease", "grant", "700"], leaseAs: "two" },
  { args: ["-w", "fields", "lease", "grant", "500"], leaseAs: "three" },
  put("l/1", "x", "--lease=$one"),
  put("l/2", "y", "--lease=$two"),
  ...inFormats(["lease", "timetolive", "$one", "--keys"], noTable),
  { args: ["lease", "timetolive", "$two"] },
  { args: ["lease", "timetolive", "7fffffffffffffff"] },
  { args: ["lease", "keep-alive", "$one", "--once"] },
  { args: ["-w", "json", "lease", "keep-alive", "$two", "--once"] },
  { args: ["lease", "keep-alive", "$one"], lines: 1 },
  { args: ["lease", "keep-alive", "7fffffffffffffff", "--once"], status: 2 },
  put("l/1", "again", "--ignore-lease"),
  { args: ["-w", "json", "get", "l/", "--prefix"] },
  { args: ["lease", "revoke", "$three"] },
  ...inFormats(["lease", "list"], noTable),
  {
    args: ["watch", "l/", "--prefix", "--prev-kv", "--rev=28"],
    lines: 5,
    meanwhile: [{ args: ["lease", "revoke", "$one"] }],
  },
  { args: ["-w", "json", "lease", "revoke", "$two"] },
  { args: ["lease", "revoke", "$one"], status: 1 },
  get("l/", "--prefix"),

  { args: ["compaction", "5"] },
  { args: ["compaction", "5"], status: 1 },
  { args: ["compaction", "1000"], status: 1 },
  { args: ["compaction", "--physical", "10"] },
  { args: ["get", "a", "--rev=9"], status: 1 },
  get("a", "--rev=10"),
  { args: ["watch", "a", "--rev=3"], status: 5 },
  { args: ["watch", "a", "--rev=10"], lines: 6 },

  ...inFormats(["endpoint", "status"]),
  ...inFormats(["endpoint", "health"]),
  ...inFormats(["endpoint", "status", "--cluster"]),
  ...inFormats(["member", "list"]),

  { args: ["lock", "locks/l", "echo", "held"] },
  { args: ["lock", "locks/l"], lines: 1 },
  {
    args: ["elect", "elections/e", "me"],
    lines: 2,
    linesBefore: 2,
    meanwhile: [get("elections/e", "--prefix", "--print-value-only")],
  },
  // Shorter than servers grant. Last of all, since nothing of the story may depend on when it ends.
  { args: ["-w", "fields", "lease", "grant", "1"], leaseAs: "four" },
];
