// `put`: writes a key, with a value from the command line or from standard input.
import { methods } from "../../../sdk/index.ts";
import type { CommandContext } from "../client/context.ts";
import { readAll } from "../client/line-reader.ts";
import { readPut } from "../client/put-request.ts";

export async function run(context: CommandContext): Promise<void> {
  const request = await readPut(context.args, context.flags, () => readAll(context.io.input));
  const client = await context.client();
  const response = await client.raw.call(methods.kv.put, request, context.callOptions);
  await context.print({ kind: "put", response });
}
