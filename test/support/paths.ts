// Where things are, seen from the compiled tests in dist/test.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's top folder. */
export const repositoryRoot = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");

/** The program that users run. */
export const quorateProgram = join(repositoryRoot, "dist", "server", "cli", "main.js");
