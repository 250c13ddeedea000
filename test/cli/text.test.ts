// How client commands read what is typed and show what is stored: exact bytes in, Go's forms out.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { Command } from "../../server/cli/client/command.ts";
import { boolean, text } from "../../server/cli/client/command-description.ts";
import { CommandError } from "../../server/cli/client/command-error.ts";
import { commands } from "../../server/cli/client/commands-table.ts";
import { completions } from "../../server/cli/client/completion.ts";
import { FlagValues } from "../../server/cli/client/flag-values.ts";
import { globalFlags, variablesOf } from "../../server/cli/client/global-flags.ts";
import { helpText } from "../../server/cli/client/help.ts";
import { LineReader } from "../../server/cli/client/line-reader.ts";
import { commandWordAt, parseCommand, scanArguments } from "../../server/cli/client/parse-command.ts";
import { fromBytes, toBytes } from "../../server/cli/client/raw-text.ts";
import { parseCompare, parseOperation } from "../../server/cli/client/txn-grammar.ts";
import { isOpen, splitWords } from "../../server/cli/client/txn-words.ts";
import { goDuration, goJson, goQuote, goSize, hexBytes } from "../../server/cli/printers/go-text.ts";
import { seedFromEnvironment } from "../support/seed.ts";

const flags = [...globalFlags, text("rev", ""), boolean("prefix", "")];
const given = (args: readonly string[]) => {
  const { given: values, args: rest, dashAt } = scanArguments(args, flags, []);
  return { values: Object.fromEntries(values), rest, dashAt };
};

test("flags and arguments come in any order, and arguments stay what was typed", () => {
  assert.deepEqual(given(["a", "--rev=-1", "--prefix", "007", "true", '"q"', "--rev", "5"]), {
    values: { rev: ["-1", "5"], prefix: ["true"] },
    rest: ["a", "007", "true", '"q"'],
    dashAt: undefined,
  });
  assert.deepEqual(given(["--prefix=false", "-wjson", "-w=table", "-w", "simple", "-"]), {
    values: { prefix: ["false"], "write-out": ["json", "table", "simple"] },
    rest: ["-"],
    dashAt: undefined,
  });
  assert.deepEqual(given(["k", "--", "-v", "--", "x"]), { values: {}, rest: ["k", "-v", "--", "x"], dashAt: 1 });
  assert.deepEqual(given(["--rev", "--prefix"]), { values: { rev: ["--prefix"] }, rest: [], dashAt: undefined });
  assert.deepEqual(given(["--user=a=b", "--password="]), {
    values: { user: ["a=b"], password: [""] },
    rest: [],
    dashAt: undefined,
  });
  for (const bad of [["--nope"], ["-x"], ["-5"], ["--rev"], ["-w"], ["--=x"]]) {
    assert.throws(() => given(bad), CommandError, bad.join(" "));
  }
});

test("commands are found by their words, shortened as far as they are unique", () => {
  const name = (...args: string[]) => {
    const parsed = parseCommand(args, commands);
    return parsed.kind === "command"
      ? `${parsed.command.name}: ${parsed.args.join("|")}`
      : `help ${parsed.words.join(" ")}`;
  };
  assert.equal(name("get", "a", "b"), "get: a|b");
  assert.equal(name("pu", "a", "1"), "put: a|1");
  assert.equal(name("--endpoints", "x", "lea", "time", "1f", "--keys"), "lease timetolive: 1f");
  assert.equal(name("-w", "json", "member", "list"), "member list: ");
  assert.equal(name("member", "--hex", "list"), "member list: ");
  assert.equal(name("lease"), "help lease");
  assert.equal(name("get", "--help"), "help get");
  assert.equal(name("help", "lease", "grant"), "help lease grant");
  assert.equal(name("put", "help", "-h=false"), "put: help");
  for (const bad of [["e"], ["nope"], ["lease", "nope"], ["member", "add", "--nope"]]) {
    assert.throws(() => parseCommand(bad, commands), CommandError, bad.join(" "));
  }
});

test("a command word makes a client command only behind flags of clients", () => {
  assert.equal(commandWordAt(["get", "a"]), 0);
  assert.equal(commandWordAt(["--endpoints=x", "get"]), 1);
  assert.equal(commandWordAt(["--endpoints", "x", "-w", "json", "--hex", "get"]), 5);
  assert.equal(commandWordAt(["--name", "a"]), undefined);
  assert.equal(commandWordAt(["--data-dir=get"]), undefined);
  assert.equal(commandWordAt(["--help"]), undefined);
});

test("flags come from the command line, then QUORATECTL_, then ETCDCTL_ variables", () => {
  const names = globalFlags.map(({ name }) => name);
  const values = (typed: Record<string, string[]>, environment: Record<string, string>) =>
    new FlagValues(globalFlags, new Map(Object.entries(typed)), environment, names);
  const both = { QUORATECTL_USER: "q", ETCDCTL_USER: "e", ETCDCTL_ENDPOINTS: "a,b", QUORATECTL_HEX: "" };
  assert.equal(values({ user: ["f"] }, both).text("user"), "f");
  assert.equal(values({}, both).text("user"), "q");
  assert.deepEqual(values({}, both).list("endpoints"), ["a", "b"]);
  assert.deepEqual(values({ endpoints: ["c,d", "e"] }, both).list("endpoints"), ["c", "d", "e"]);
  assert.deepEqual(values({}, {}).list("endpoints"), ["127.0.0.1:2379"]);
  assert.equal(values({}, both).boolean("hex"), false);
  assert.equal(values({}, {}).durationMs("command-timeout"), 5000);
  assert.deepEqual(variablesOf("dial-timeout"), ["QUORATECTL_DIAL_TIMEOUT", "ETCDCTL_DIAL_TIMEOUT"]);
  const complaint = 'invalid argument "x" for "--dial-timeout" flag: time: invalid duration "x"';
  assert.throws(() => values({ "dial-timeout": ["x"] }, {}), { message: complaint });
  assert.throws(() => values({}, { ETCDCTL_HEX: "maybe" }), CommandError);
});

test("bytes that are no UTF-8 survive as text", () => {
  const seed = seedFromEnvironment(7);
  let state = seed;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.from(Array.from({ length: next(12) }, () => (next(2) === 0 ? next(128) : next(256))));
    assert.deepEqual(toBytes(fromBytes(bytes)), bytes, `seed ${seed}, round ${round}: ${bytes.toString("hex")}`);
  }
  for (const whole of ["", "a", "ä€😀", "\u0000\ufffd", "😀\udc80"]) {
    assert.equal(fromBytes(toBytes(whole)), whole);
  }
  assert.deepEqual(toBytes("k\udcff"), Buffer.from([0x6b, 0xff]));
});

test("text is quoted, and numbers are shown, as Go does", () => {
  const quoted: [string | Uint8Array, string][] = [
    ["", '""'],
    ['a "b" \\', '"a \\"b\\" \\\\"'],
    ["\x00\x07\b\t\n\v\f\r\x1b\x7f", '"\\x00\\a\\b\\t\\n\\v\\f\\r\\x1b\\x7f"'],
    ["ä€😀", '"ä€😀"'],
    ["\u00a0\u0085\u200b\ufeff", '"\\u00a0\\u0085\\u200b\\ufeff"'],
    ["\u{e0001}\u{10ffff}", '"\\U000e0001\\U0010ffff"'],
    [Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xe2, 0x82]), '"a\\xff\\xc3(\\xe2\\x82"'],
    [Buffer.from([0xed, 0xa0, 0x80, 0xc0, 0x80]), '"\\xed\\xa0\\x80\\xc0\\x80"'],
  ];
  for (const [content, expected] of quoted) assert.equal(goQuote(content), expected);
  assert.equal(hexBytes(Buffer.from("a\n")), "\\x61\\x0a");
  assert.equal(
    goJson({ a: "<&>\u2028\n", b: 2n ** 63n, c: Buffer.from([255]), d: undefined, e: [1, null, true] }),
    '{"a":"\\u003c\\u0026\\u003e\\u2028\\n","b":9223372036854775808,"c":"/w==","e":[1,null,true]}',
  );
  const sizes: [number, string][] = [
    [0, "0 B"],
    [9, "9 B"],
    [10, "10 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [9949, "9.9 kB"],
    [24576, "25 kB"],
    [2 ** 31, "2.1 GB"],
  ];
  for (const [bytes, expected] of sizes) assert.equal(goSize(bytes), expected);
  const durations: [number, string][] = [
    [0, "0s"],
    [999, "999ns"],
    [902_586, "902.586µs"],
    [2_000_000, "2ms"],
    [5_000_649_401, "5.000649401s"],
    [60e9, "1m0s"],
    [3_661_500_000_000, "1h1m1.5s"],
  ];
  for (const [ns, expected] of durations) assert.equal(goDuration(ns), expected);
});

test("words of a line: blanks, double quotes with escapes, single quotes without", () => {
  assert.deepEqual(splitWords('put  "a b" \'c "d\' e'), ["put", "a b", 'c "d', "e"]);
  assert.deepEqual(splitWords('put k "\\x41\\n\\"\\\\\\u00e4\\U0001f600\\101"'), ["put", "k", 'A\n"\\ä😀A']);
  assert.deepEqual(toBytes(splitWords('"\\xff"')[0]!), Buffer.from([0xff]));
  assert.deepEqual(splitWords(""), []);
  assert.deepEqual(splitWords('""'), [""]);
  assert.deepEqual(
    [isOpen('put a "b'), isOpen('put a "b"'), isOpen("put 'a\"'"), isOpen('put a "b\\"')],
    [true, false, false, true],
  );
  for (const bad of ['"a', "'a", '"\\q"', '"\\xzz"', '"\\ud800"'])
    assert.throws(() => splitWords(bad), CommandError, bad);
});

test("comparisons of a txn", () => {
  const brief = (line: string) => {
    const { target, result, key, targetUnion } = parseCompare(line);
    return [Buffer.from(key).toString(), target, result, targetUnion?.$case, targetUnion?.value];
  };
  assert.deepEqual(brief('mod("k") > "0"'), ["k", 2, 1, "modRevision", 0n]);
  assert.deepEqual(brief('c("k") = "-1"'), ["k", 1, 0, "createRevision", -1n]);
  assert.deepEqual(brief('ver("k")!="7"'), ["k", 0, 3, "version", 7n]);
  assert.deepEqual(brief('lease("k") < "1f"'), ["k", 4, 2, "lease", 31n]);
  assert.deepEqual(brief(' value ( "a\\"b" ) = "x y" '), ['a"b', 3, 0, "value", Buffer.from("x y")]);
  const bad = [
    "",
    "foo",
    'mod("k")',
    'mod(k) > "0"',
    'mod("k") == "1"',
    'mod("k") > 0',
    'mod("k") > "x"',
    'nope("k") = "1"',
  ];
  for (const line of [...bad, 'mod("k") = "1" x', 'mod("k") = "9223372036854775808"']) {
    assert.throws(() => parseCompare(line), CommandError, line);
  }
});

test("requests of a txn are commands", async () => {
  const put = await parseOperation('put "a b" c --prev-kv --lease=1f');
  assert(put.request?.$case === "requestPut");
  assert.deepEqual([Buffer.from(put.request.value.key).toString(), put.request.value.lease], ["a b", 31n]);
  const get = await parseOperation("get a --prefix --limit=3");
  assert(get.request?.$case === "requestRange");
  assert.deepEqual([Buffer.from(get.request.value.rangeEnd).toString(), get.request.value.limit], ["b", 3n]);
  const del = await parseOperation("del a z");
  assert(del.request?.$case === "requestDeleteRange");
  for (const bad of ["", "put a", "get", "del", "watch a", "get a --nope", "put a b c", "put --lease=x a b"]) {
    await assert.rejects(parseOperation(bad), CommandError, bad);
  }
});

test("lines come one by one, whatever pieces they come in; one that is broken off is none", async () => {
  const lines = new LineReader(
    Readable.from([Buffer.from("a\nb"), Buffer.from([0xc3]), Buffer.from([0xa4, 0x0a, 0x0d, 0x0a]), "c\r\nd"]),
  );
  assert.deepEqual(
    [await lines.next(), await lines.next(), await lines.next(), await lines.next()],
    ["a", "bä", "", "c"],
  );
  assert.equal(await lines.next(), undefined);
  assert.equal(await lines.next(), undefined);
  assert.equal(lines.brokenOff, "d");
});

test("every command has help that names its flags, and completion knows it", async () => {
  for (const { name, usage, flags: own } of commands) {
    const help = await helpText(name.split(" "));
    assert(help.includes(`quorate ${name}`) && help.includes(usage), name);
    for (const flag of own) assert(help.includes(`--${flag.name}`), `${name} ${flag.name}`);
    const words = name.split(" ");
    assert(completions([...words.slice(0, -1), words.at(-1)!.slice(0, 2)], commands).includes(words.at(-1)!), name);
  }
  assert.deepEqual(completions(["lease", ""], commands), ["grant", "keep-alive", "list", "revoke", "timetolive"]);
  assert.deepEqual(completions(["get", "--sort"], commands), ["--sort-by"]);
  assert.deepEqual(completions(["get", "k"], commands), []);
});

test("no two commands begin with the whole name of a third", () => {
  const names: readonly Command["name"][] = commands.map(({ name }) => name);
  for (const name of names) assert(!names.some((other) => other.startsWith(`${name} `)), name);
});
