// `compaction`: forgets the history up to a revision.
import { methods } from "../../../sdk/index.ts";
import { badArguments, CommandError } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { isInt64 } from "../client/flag-values.ts";

export async function run(context: CommandContext): Promise<void> {
  const [text] = context.args;
  if (text === undefined || context.args.length !== 1) throw badArguments("compaction command needs 1 argument");
  if (!/^[+-]?\d+$/.test(text)) throw new CommandError(`strconv.ParseInt: parsing "${text}": invalid syntax`);
  const revision = BigInt(text);
  if (!isInt64(revision)) throw new CommandError(`strconv.ParseInt: parsing "${text}": value out of range`);
  const physical = context.flags.boolean("physical");
  const client = await context.client();
  // Waiting for the disk has no limit of its own: how long it takes depends on how much there is.
  const options = physical ? { deadline: 3_600_000 } : context.callOptions;
  await client.raw.call(methods.kv.compact, { revision, physical }, options);
  await context.out.write(`compacted revision ${revision}\n`);
}
