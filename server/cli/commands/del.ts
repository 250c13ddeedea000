// `del`: deletes a key or a range of keys.
import { methods } from "../../../sdk/index.ts";
import type { CommandContext } from "../client/context.ts";
import { readDelete } from "../client/put-request.ts";

export async function run(context: CommandContext): Promise<void> {
  const request = readDelete(context.args, context.flags);
  const client = await context.client();
  const response = await client.raw.call(methods.kv.deleteRange, request, context.callOptions);
  await context.print({ kind: "del", response });
}
