// Every example in the SDK's documentation compiles against the declarations that ship.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { repositoryRoot } from "../support/paths.ts";

/** What examples take for granted. Its imports are put together so that nobody takes them for this file's own. */
const preamble = `
${`import * as sdk from ${JSON.stringify("../sdk/index.js")}`};
${`import { z } from ${JSON.stringify("zod")}`};
export const { connect, op, compare, json, bytes, ClientError, methods } = sdk;
declare const client: sdk.Client;
declare const seen: bigint;
declare const userSchema: z.ZodType<{ name: string }>;
declare function findOutWhetherItIsPaid(): Promise<void>;
declare function work(options: { signal: AbortSignal }): Promise<void>;
export const used = [client, seen, userSchema, findOutWhetherItIsPaid, work, z];
`;

function examplesIn(file: string): string[] {
  const source = readFileSync(file, "utf8");
  return [...source.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap(([comment]) => {
    const lines = comment.split("\n").map((line) => line.replace(/^\s*(\/\*\*|\*\/|\* ?)/, ""));
    return lines
      .join("\n")
      .split(/^@example\n/m)
      .slice(1)
      .map((rest) => rest.split(/^@(?:param|returns|throws)/m)[0] ?? "");
  });
}

test("the examples in the documentation compile", () => {
  const folder = join(repositoryRoot, "sdk");
  const examples = readdirSync(folder)
    .filter((name) => name.endsWith(".ts"))
    .flatMap((name) => examplesIn(join(folder, name)).map((code) => ({ name, code })));
  assert(examples.length >= 10, `${examples.length} examples found`);
  const scratch = mkdtempSync(join(repositoryRoot, "dist", "examples-"));
  try {
    symlinkSync(join(repositoryRoot, "node_modules"), join(scratch, "node_modules"));
    const files = examples.map(({ name, code }, index) => {
      const file = `${name.replace(".ts", "")}-${index}.ts`;
      writeFileSync(join(scratch, file), `${preamble}\nexport async function example(): Promise<void> {\n${code}\n}\n`);
      return file;
    });
    const options = { noUnusedLocals: false, noUnusedParameters: false, noEmit: true, rootDir: "/", types: ["node"] };
    const config = { extends: join(repositoryRoot, "tsconfig.json"), compilerOptions: options, include: [], files };
    writeFileSync(join(scratch, "tsconfig.json"), JSON.stringify(config));
    const compiler = join(repositoryRoot, "node_modules", "typescript", "bin", "tsc");
    const result = spawnSync(process.execPath, [compiler, "-p", scratch], { encoding: "utf8" });
    assert.equal(result.status, 0, result.stdout + result.stderr);
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
