// Passwords from a terminal, not shown while typed; from a pipe, one line.
import { badArguments } from "./command-error.ts";
import type { Io } from "./io.ts";
import { LineReader } from "./line-reader.ts";

/** Asks on standard error, so that standard output stays what the command prints. */
export async function askPassword(question: string, { input, errors }: Io): Promise<string> {
  errors.write(question);
  if (input.isTTY !== true) {
    const line = await new LineReader(input).next();
    if (line === undefined) throw badArguments("a password was expected on standard input");
    return line;
  }
  try {
    return await readHidden(input);
  } finally {
    errors.write("\n");
  }
}

function readHidden(input: Io["input"]): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed = "";
    input.setRawMode?.(true);
    input.setEncoding("utf8");
    input.resume();
    const end = (): void => {
      input.setRawMode?.(false);
      input.pause();
      input.off("data", onData);
    };
    const onData = (text: string): void => {
      for (const letter of text) {
        if (letter === "\r" || letter === "\n") {
          end();
          resolve(typed);
          return;
        }
        if (letter === "\u0003" || letter === "\u0004") {
          end();
          reject(badArguments("no password was given"));
          return;
        }
        typed = letter === "\u007f" || letter === "\b" ? typed.slice(0, -1) : typed + letter;
      }
    };
    input.on("data", onData);
  });
}
