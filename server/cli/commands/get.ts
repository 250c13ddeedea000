// `get`: reads a key or a range of keys.
import { methods } from "../../../sdk/index.ts";
import { badArguments } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { readGet } from "../client/get-request.ts";

export async function run(context: CommandContext): Promise<void> {
  const { flags, format } = context;
  const request = readGet(context.args, flags);
  if (request.countOnly && format !== "fields") throw badArguments("--count-only is only for `--write-out=fields`");
  const isValueOnly = flags.boolean("print-value-only");
  if (isValueOnly && format !== "simple") throw badArguments("print-value-only is only for `--write-out=simple`");
  const client = await context.client();
  const response = await client.raw.call(methods.kv.range, request, context.callOptions);
  await context.print({ kind: "get", response, isValueOnly });
}
