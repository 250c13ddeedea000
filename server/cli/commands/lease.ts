// `lease grant|revoke|timetolive|list|keep-alive`.
import { methods } from "../../../sdk/index.ts";
import { badArguments, CommandError, exitStatus } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { isInt64 } from "../client/flag-values.ts";
import { parseLeaseId } from "../client/ids.ts";
import { leaseId } from "../printers/go-text.ts";

const badId = "bad lease ID arg";

export const grant = {
  async run(context: CommandContext): Promise<void> {
    const [text] = context.args;
    if (text === undefined || context.args.length !== 1) throw badArguments("lease grant command needs TTL argument");
    if (!/^[+-]?\d+$/.test(text)) throw badArguments(`bad TTL (strconv.ParseInt: parsing "${text}": invalid syntax)`);
    const TTL = BigInt(text);
    if (!isInt64(TTL)) throw badArguments(`bad TTL (strconv.ParseInt: parsing "${text}": value out of range)`);
    const client = await context.client();
    const call = client.raw.call(methods.lease.grant, { TTL, ID: 0n }, context.callOptions);
    const response = await naming("failed to grant lease", call);
    await context.print({ kind: "lease-grant", response });
  },
};

export const revoke = {
  async run(context: CommandContext): Promise<void> {
    const [text] = context.args;
    if (text === undefined || context.args.length !== 1) throw badArguments("lease revoke command needs 1 argument");
    const id = parseLeaseId(text, badId);
    const client = await context.client();
    const call = client.raw.call(methods.lease.revoke, { ID: id }, context.callOptions);
    const response = await naming("failed to revoke lease", call);
    await context.print({ kind: "lease-revoke", response, id });
  },
};

export const timeToLive = {
  async run(context: CommandContext): Promise<void> {
    const [text] = context.args;
    if (text === undefined || context.args.length !== 1) {
      throw badArguments("lease timetolive command needs lease ID as argument");
    }
    const ID = parseLeaseId(text, badId);
    const keys = context.flags.boolean("keys");
    const client = await context.client();
    const response = await client.raw.call(methods.lease.timeToLive, { ID, keys }, context.callOptions);
    await context.print({ kind: "lease-time-to-live", response, withKeys: keys });
  },
};

export const list = {
  async run(context: CommandContext): Promise<void> {
    context.expectAtMost(0, "lease list takes no arguments");
    const client = await context.client();
    const response = await client.raw.call(methods.lease.leases, {}, context.callOptions);
    await context.print({ kind: "lease-list", response });
  },
};

export const keepAlive = {
  async run(context: CommandContext): Promise<void> {
    const [text] = context.args;
    if (text === undefined || context.args.length !== 1) {
      throw badArguments("lease keep-alive command needs lease ID as argument");
    }
    const id = parseLeaseId(text, badId);
    const client = await context.client();
    for (;;) {
      const response = await client.raw.keepAliveOnce(id, context.callOptions);
      if (response.TTL <= 0n) {
        if (!context.flags.boolean("once")) break;
        throw new CommandError("etcdserver: requested lease not found", exitStatus.badConnection);
      }
      await context.print({ kind: "lease-keep-alive", response });
      if (context.flags.boolean("once") || context.out.isGone) return;
      // A third of its life, as everybody does: two of them may be lost.
      await new Promise((resolve) => setTimeout(resolve, (Number(response.TTL) * 1000) / 3));
    }
    await context.out.write(`lease ${leaseId(id)} expired or revoked.\n`);
  },
};

/** Puts what was tried around why it failed, as etcdctl does for these two. */
async function naming<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw new CommandError(`${what} (${(error as Error).message})`, exitStatus.error, { cause: error });
  }
}
