// How the user calls this program, for texts that say what to type next.
import { basename, relative } from "node:path";

/** `quorate` when it was found on PATH; from a checkout, the Node.js command that works there. */
export function programName(): string {
  const script = process.argv[1] ?? "quorate";
  if (basename(script) === "quorate") return "quorate";
  const path = relative(process.cwd(), script);
  return `node ${path === "" || path.startsWith("..") ? script : path}`;
}
