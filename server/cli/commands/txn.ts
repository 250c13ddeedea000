// `txn`: comparisons, requests for success and requests for failure from standard input, each part ended by an empty
// line. Input that ends early is an error: half of a transaction must not be sent.
import { methods, type wire } from "../../../sdk/index.ts";
import { badArguments, CommandError, exitStatus } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { LineReader } from "../client/line-reader.ts";
import { parseCompare, parseOperation } from "../client/txn-grammar.ts";
import { isOpen } from "../client/txn-words.ts";

export async function run(context: CommandContext): Promise<void> {
  if (context.args.length > 0) throw badArguments("txn command does not accept argument");
  const lines = new LineReader(context.io.input);
  const isInteractive = context.flags.boolean("interactive");
  const prompt = async (text: string): Promise<void> => {
    if (isInteractive) await context.out.write(`${text}\n`);
  };
  await prompt("compares:");
  const compare = await readPart(lines, async (line) => parseCompare(line));
  await prompt("success requests (get, put, del):");
  const success = await readPart(lines, parseOperation);
  await prompt("failure requests (get, put, del):");
  const failure = await readPart(lines, parseOperation);
  const request: wire.TxnRequest = { compare, success, failure };
  const client = await context.client();
  const response = await client.raw.call(methods.kv.txn, request, context.callOptions);
  await context.print({ kind: "txn", response });
}

async function readPart<Item>(lines: LineReader, parse: (line: string) => Promise<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for (;;) {
    let line = await readLine(lines);
    while (isOpen(line)) line += `\n${await readLine(lines)}`;
    if (line.trim() === "") return items;
    items.push(await parse(line.trim()));
  }
}

async function readLine(lines: LineReader): Promise<string> {
  const line = await lines.next();
  if (line === undefined) throw new CommandError("EOF", exitStatus.invalidInput);
  return line;
}
