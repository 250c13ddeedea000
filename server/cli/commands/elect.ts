// `elect`: stands in an election and leads until it is interrupted; with -l, shows who leads and every change of it.
import { Election, openSession } from "../../../recipes/index.ts";
import { methods } from "../../../sdk/index.ts";
import { badArguments, CommandError, exitStatus } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { aborted, onStop } from "../client/until-signal.ts";
import { singleKey } from "./single-key.ts";

/** etcdctl's sessions live as long, too. */
const sessionTtl = "60s";

export async function run(context: CommandContext): Promise<void> {
  const [name, proposal] = context.args;
  if (name === undefined || context.args.length > 2) {
    throw badArguments("elect takes one election name argument and an optional proposal argument");
  }
  const isListening = context.flags.boolean("listen");
  if (isListening && proposal !== undefined) throw badArguments("proposal given but -l is set");
  if (!isListening && proposal === undefined) throw badArguments("no proposal argument but -l not set");
  if (isListening) await observe(context, name);
  else await campaign(context, name, proposal!);
}

async function observe(context: CommandContext, name: string): Promise<void> {
  using stop = onStop();
  const client = await context.client();
  const changes = new Election(client, name).observe({ signal: stop.signal });
  try {
    for await (const { leader, revision } of changes) {
      if (leader === undefined) continue;
      const request = { ...singleKey(leader.key), revision };
      const response = await client.raw.call(methods.kv.range, request, context.callOptions);
      // As etcdctl, which passes on an answer without a count.
      await context.print({ kind: "get", response: { ...response, count: 0n }, isValueOnly: false });
      if (context.out.isGone) return;
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
}

async function campaign(context: CommandContext, name: string, proposal: string): Promise<void> {
  using stop = onStop();
  const client = await context.client();
  await using session = await openSession(client, { ttl: sessionTtl });
  const leadership = await new Election(client, name, { session })
    .campaign(proposal, { signal: stop.signal })
    .catch((error: unknown) => {
      if (stop.signal.aborted) throw new CommandError("context canceled", exitStatus.error, { cause: error });
      throw error;
    });
  const response = await client.raw.call(methods.kv.range, singleKey(leadership.key), context.callOptions);
  await context.print({ kind: "get", response, isValueOnly: false });
  await aborted(stop.signal, leadership.signal);
  const result = await leadership.resign();
  if (!result.released) throw new CommandError(result.lost.message);
}
