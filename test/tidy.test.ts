// Holds the tree to its own rules: floors, homes of packages, purity of the core, sizes, words that must not appear,
// generated code that is current. The rules are data at the top; the page they come from is server/DESIGN.md.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, sep } from "node:path";
import { test } from "node:test";
import { repositoryRoot } from "./support/paths.ts";

type Rule = { readonly prefix: string; readonly may: readonly string[] };

// The first rule whose prefix matches a file decides what it may import of ours (path prefixes) and from outside
// ("package:NAME", "node:" for every built-in, "node:NAME" for one). A file may always import its own floor.
const rules: readonly Rule[] = [
  { prefix: "server/lib/system-", may: ["server/lib/", "node:"] },
  // zlib's crc32 is a pure function; all else of Node stays behind a system- file.
  { prefix: "server/lib/crc32.ts", may: ["node:zlib"] },
  { prefix: "server/lib/", may: ["server/lib/"] },
  { prefix: "server/raft/", may: ["server/lib/"] },
  { prefix: "server/storage/lmdb-", may: ["server/storage/", "server/lib/", "node:", "package:lmdb"] },
  { prefix: "server/storage/", may: ["server/lib/", "node:"] },
  { prefix: "server/log/", may: ["server/raft/", "server/lib/", "node:"] },
  { prefix: "server/state/command-codec.ts", may: ["server/storage/", "server/lib/", "proto/gen/"] },
  { prefix: "server/state/cluster/member-codec.ts", may: ["proto/gen/"] },
  { prefix: "server/state/", may: ["server/storage/", "server/lib/", "node:zlib", "node:crypto"] },
  { prefix: "server/watch/", may: ["server/state/", "server/lib/"] },
  {
    prefix: "server/peers/",
    may: [
      "server/config.ts",
      "server/replica/",
      "server/raft/",
      "server/log/",
      "server/state/",
      "server/transport/",
      "server/lib/",
      "node:",
    ],
  },
  {
    prefix: "server/replica/",
    may: ["server/raft/", "server/log/", "server/state/", "server/storage/", "server/lib/"],
  },
  { prefix: "server/transport/", may: ["server/lib/", "node:", "package:nice-grpc-common", "package:nice-grpc"] },
  { prefix: "server/services/metrics.ts", may: ["server/lib/", "node:", "package:prom-client"] },
  {
    prefix: "server/services/grpc/",
    may: [
      "server/services/",
      "server/replica/",
      "server/watch/",
      "server/state/",
      "server/transport/",
      "server/lib/",
      "proto/gen/",
      "package:nice-grpc",
      "package:nice-grpc-common",
      "package:@grpc/grpc-js",
    ],
  },
  {
    prefix: "server/services/",
    may: [
      "server/services/",
      "server/replica/",
      "server/watch/",
      "server/state/",
      "server/transport/",
      "server/lib/",
      "proto/gen/",
      "node:",
    ],
  },
  { prefix: "server/cli/", may: ["server/", "sdk/", "recipes/", "package:yargs", "package:yaml", "node:"] },
  { prefix: "server/", may: ["server/", "node:"] },
  {
    prefix: "sdk/",
    may: ["proto/gen/", "package:@grpc/grpc-js", "package:nice-grpc", "package:nice-grpc-common", "node:"],
  },
  { prefix: "recipes/", may: ["sdk/index.ts", "package:@grpc/grpc-js", "node:"] },
  { prefix: "proto/gen/", may: ["proto/gen/", "package:@bufbuild/protobuf", "package:nice-grpc-common"] },
  { prefix: "test/", may: ["server/", "sdk/", "recipes/", "proto/gen/", "package:", "node:"] },
];

/** gRPC packages have few homes within their floors; the rest of the floor goes through these files. */
const packageHomes: { readonly [name: string]: readonly string[] } = {
  lmdb: ["server/storage/lmdb-"],
  "prom-client": ["server/services/metrics.ts"],
  yargs: ["server/cli/"],
  yaml: ["server/cli/"],
};

const pureFloors = ["server/raft/", "server/state/", "server/watch/"];
const impure =
  /\b(async|await|Promise|Date|setTimeout|setInterval|setImmediate|queueMicrotask|performance)\b|Math\.random|process\./;

const fileLinesMax = 500;
const topLevel = [
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "server",
  "sdk",
  "recipes",
  "proto",
  "test",
  "README.md",
  "LICENSE",
  "CHANGELOG.md",
];

function filesBelow(folder: string): string[] {
  return readdirSync(join(repositoryRoot, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      relative(repositoryRoot, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join("/"),
    )
    .sort();
}

const sources = ["server", "sdk", "recipes", "proto/gen", "test"]
  .flatMap(filesBelow)
  .filter((file) => file.endsWith(".ts"));
const textOf = new Map(sources.map((file) => [file, readFileSync(join(repositoryRoot, file), "utf8")]));

const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");

/** What a file imports: "node:x" and "package:x" for what is not ours, a path from the top for what is. */
function importsOf(file: string): string[] {
  const found: string[] = [];
  const pattern =
    /(?:^|\n|;)\s*(?:import|export)\s(?:[^;"']*?\sfrom\s*)?["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g;
  for (const match of withoutComments(textOf.get(file) ?? "").matchAll(pattern)) {
    const specifier = match[1] ?? match[2] ?? "";
    if (specifier.startsWith(".")) found.push(join(dirname(file), specifier).split(sep).join("/"));
    else if (specifier.startsWith("node:")) found.push(specifier);
    else
      found.push(
        `package:${specifier
          .split("/")
          .slice(0, specifier.startsWith("@") ? 2 : 1)
          .join("/")}`,
      );
  }
  return found;
}

/** `server/raft` for a file anywhere below it, `sdk`, `test`; `server` alone for the files on its top. */
function floorOf(file: string): string {
  const parts = dirname(file).split("/");
  return parts[0] === "server" ? parts.slice(0, 2).join("/") : (parts[0] ?? "");
}

function allows(rule: Rule, file: string, target: string): boolean {
  if (!target.includes(":") && floorOf(target) === floorOf(file)) return true;
  return rule.may.some((allowed) => {
    if (allowed === "package:" || allowed === "node:") return target.startsWith(allowed);
    if (allowed.includes(":")) return target === allowed;
    return target.startsWith(allowed);
  });
}

test("imports follow the floors", () => {
  const broken: string[] = [];
  for (const file of sources) {
    const rule = rules.find((candidate) => file.startsWith(candidate.prefix));
    assert(rule !== undefined, `no rule for ${file}`);
    for (const target of importsOf(file)) {
      if (!target.includes(":") && !textOf.has(target)) broken.push(`${file} imports ${target}, which does not exist`);
      else if (!allows(rule, file, target)) broken.push(`${file} may not import ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test("each outside package has one home", () => {
  const broken: string[] = [];
  for (const file of sources.filter((name) => !name.startsWith("test/"))) {
    for (const target of importsOf(file)) {
      const homes = packageHomes[target.replace("package:", "")];
      if (homes !== undefined && !homes.some((home) => file.startsWith(home))) broken.push(`${file} imports ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test("no import cycles", () => {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, trail: readonly string[]): void => {
    if (trail.includes(file)) {
      cycles.push([...trail.slice(trail.indexOf(file)), file].join(" -> "));
      return;
    }
    if (done.has(file)) return;
    for (const target of importsOf(file)) if (textOf.has(target)) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const file of sources) visit(file, []);
  assert.deepEqual(cycles, []);
});

test("the pure floors know no time, no promises and no chance", () => {
  const broken: string[] = [];
  for (const file of sources.filter((name) => pureFloors.some((floor) => name.startsWith(floor)))) {
    const lines = withoutComments(textOf.get(file) ?? "").split("\n");
    for (const line of lines) if (impure.test(line)) broken.push(`${file}: ${line.trim()}`);
  }
  assert.deepEqual(broken, []);
});

test("files stay readable at a sitting", () => {
  const long = sources
    .filter((file) => !file.startsWith("proto/gen/"))
    .map((file) => ({ file, lines: (textOf.get(file) ?? "").split("\n").length }))
    .filter(({ lines }) => lines > fileLinesMax)
    .map(({ file, lines }) => `${file}: ${lines} lines`);
  assert.deepEqual(long, []);
});

test("every file of the product is reached from an entry point", () => {
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file) || !textOf.has(file)) return;
    reached.add(file);
    for (const target of importsOf(file)) visit(target);
  };
  const entries = ["server/index.ts", "server/cli/main.ts", "sdk/index.ts", "recipes/index.ts"];
  for (const file of sources)
    if (entries.includes(file) || file.endsWith("-worker.ts") || file.startsWith("test/")) visit(file);
  assert.deepEqual(
    sources.filter((file) => !reached.has(file) && !file.startsWith("proto/gen/")),
    [],
  );
});

test("no test is left out or runs alone", () => {
  const pattern = /\b(?:test|it|describe)\.(?:skip|todo|only)\b|\{\s*(?:skip|todo|only):\s*true/;
  const found = sources.filter((file) => file !== "test/tidy.test.ts" && pattern.test(textOf.get(file) ?? ""));
  assert.deepEqual(found, []);
});

test("the top level holds what it should and nothing else", () => {
  const listed = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: repositoryRoot,
    encoding: "utf8",
  });
  // An unpacked archive has no git; the rule is about what is committed.
  const names = listed.status === 0 ? listed.stdout.split("\n").filter((name) => name !== "") : [];
  const strange = new Set(
    names.map((name) => name.split("/")[0] ?? "").filter((name) => !name.startsWith(".") && !topLevel.includes(name)),
  );
  assert.deepEqual([...strange], []);
});

test("links in pages lead to files that are there", () => {
  const pages = ["README.md", ...["server", "sdk", "recipes", "test"].flatMap(filesBelow)].filter((file) =>
    file.endsWith(".md"),
  );
  const broken = pages.flatMap((page) =>
    [...readFileSync(join(repositoryRoot, page), "utf8").matchAll(/\]\((?!https?:)([^)#]+)/g)]
      .map(([, target]) => join(dirname(page), target ?? ""))
      .filter((target) => !existsSync(join(repositoryRoot, target)))
      .map((target) => `${page} leads to ${target}`),
  );
  assert.deepEqual(broken, []);
});

test("formatting and lint", () => {
  const biome = join(repositoryRoot, "node_modules", ".bin", "biome");
  const result = spawnSync(biome, ["check", "--error-on-warnings", "."], { cwd: repositoryRoot, encoding: "utf8" });
  assert.equal(result.status, 0, result.stdout + result.stderr);
});

test("generated code is current", () => {
  const scratch = mkdtempSync(join(tmpdir(), "quorate-proto-"));
  try {
    cpSync(join(repositoryRoot, "proto"), join(scratch, "proto"), { recursive: true });
    symlinkSync(join(repositoryRoot, "node_modules"), join(scratch, "node_modules"));
    const buf = join(repositoryRoot, "node_modules", ".bin", "buf");
    const result = spawnSync(buf, ["generate"], { cwd: join(scratch, "proto"), encoding: "utf8" });
    assert.equal(result.status, 0, result.stderr);
    for (const file of filesBelow("proto/gen")) {
      const fresh = join(scratch, file);
      assert(existsSync(fresh), `${file} is no longer generated: run npm run generate`);
      assert.equal(readFileSync(fresh, "utf8"), textOf.get(file), `${file} is stale: run npm run generate`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
