// Brings a checkout to the point where dist/ can run: dependencies as the lockfile says, TypeScript compiled.
// Needs only Node and npm. Does nothing where both are current, so that a second `npm start` is quick.
// --force-build compiles even when nothing changed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const sourceFolders = ["server", "sdk", "recipes", "proto/gen", "test"];

function run(what, command, args) {
  process.stderr.write(`quorate: ${what}\n`);
  // npm's own output goes to standard error: standard output belongs to the program that runs next.
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", process.stderr, process.stderr],
    shell: process.platform === "win32",
  });
  if (result.error !== undefined || result.status !== 0) {
    const why = result.error?.message ?? `exit status ${result.status}`;
    process.stderr.write(`quorate: ${what} failed (${why}): ${command} ${args.join(" ")}\n`);
    process.exit(1);
  }
}

function isCurrent(stampFile, digest) {
  return existsSync(stampFile) && readFileSync(stampFile, "utf8") === digest;
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function install() {
  const digest = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const stampFile = join(root, "node_modules", ".quorate-install");
  if (isCurrent(stampFile, digest)) return;
  run("installing dependencies", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  writeFileSync(stampFile, digest);
}

function build(force) {
  const hash = createHash("sha256");
  const files = sourceFolders.flatMap((folder) => filesBelow(join(root, folder)));
  for (const file of [...files, join(root, "tsconfig.json"), join(root, "package-lock.json")]) {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${file}\0${mtimeMs}\0${size}\n`);
  }
  const digest = hash.digest("hex");
  const stampFile = join(root, "dist", ".build");
  if (!force && isCurrent(stampFile, digest)) return;
  // An output whose source is gone must not linger: the test runner would still find it.
  rmSync(join(root, "dist"), { recursive: true, force: true });
  run("compiling", process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", root]);
  writeFileSync(stampFile, digest);
}

install();
build(process.argv.includes("--force-build"));
