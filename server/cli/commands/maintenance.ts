// `alarm`, `move-leader` and `defrag`.
import { methods, type wire } from "../../../sdk/index.ts";
import { badArguments, exitStatus, SilentExit } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { parseMemberId } from "../client/ids.ts";

const everyMember = { memberID: 0n, alarm: 0 } as const;

export const alarmList = {
  async run(context: CommandContext): Promise<void> {
    if (context.args.length > 0) throw badArguments("alarm list command accepts no arguments");
    const client = await context.client();
    const response = await client.raw.call(
      methods.maintenance.alarmGet,
      { action: 0, ...everyMember },
      context.callOptions,
    );
    await context.print({ kind: "alarm", response });
  },
};

export const alarmDisarm = {
  async run(context: CommandContext): Promise<void> {
    if (context.args.length > 0) throw badArguments("alarm disarm command accepts no arguments");
    const client = await context.client();
    const found = await client.raw.call(
      methods.maintenance.alarmGet,
      { action: 0, ...everyMember },
      context.callOptions,
    );
    const disarmed: wire.AlarmResponse["alarms"] = [];
    for (const { memberID, alarm } of found.alarms) {
      const request = { action: 2, memberID, alarm } as const;
      const { alarms } = await client.raw.call(methods.maintenance.alarm, request, context.callOptions);
      disarmed.push(...alarms);
    }
    await context.print({ kind: "alarm", response: { header: undefined, alarms: disarmed } });
  },
};

export const moveLeader = {
  async run(context: CommandContext): Promise<void> {
    const [text] = context.args;
    if (text === undefined || context.args.length !== 1) throw badArguments("move-leader command needs 1 argument");
    const targetID = parseMemberId(text, "bad member ID arg");
    // Only the leader can do it, so it is looked for among the endpoints first.
    for (const endpoint of await context.endpoints()) {
      const client = await context.connect([endpoint]);
      const { header, leader } = await client.raw.call(methods.maintenance.status, {}, context.callOptions);
      if (header?.memberId !== leader) continue;
      await client.raw.call(methods.maintenance.moveLeader, { targetID }, context.callOptions);
      await context.out.write(`Leadership transferred from ${leader.toString(16)} to ${targetID.toString(16)}\n`);
      return;
    }
    throw badArguments(`no leader endpoint given at [${(await context.endpoints()).join(" ")}]`);
  },
};

export const defrag = {
  async run(context: CommandContext): Promise<void> {
    context.expectAtMost(0, "defrag takes no arguments");
    let endpoints = await context.endpoints();
    if (context.flags.boolean("cluster")) {
      const client = await context.client();
      const { members } = await client.raw.call(
        methods.cluster.memberList,
        { linearizable: true },
        context.callOptions,
      );
      endpoints = members.flatMap(({ clientURLs }) => clientURLs);
    }
    let hasFailed = false;
    for (const endpoint of endpoints) {
      try {
        const client = await context.connect([endpoint]);
        await client.raw.call(methods.maintenance.defragment, {}, context.callOptions);
        await context.out.write(`Finished defragmenting etcd member[${endpoint}]\n`);
      } catch (error) {
        hasFailed = true;
        context.warn(`Failed to defragment etcd member[${endpoint}] (${(error as Error).message})`);
      }
    }
    if (hasFailed) throw new SilentExit(exitStatus.error);
  },
};
