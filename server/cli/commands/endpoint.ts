// `endpoint health|status|hashkv`: asks every endpoint by itself.
import { ClientError, methods } from "../../../sdk/index.ts";
import { CommandError, exitStatus, SilentExit } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import type { EndpointHash, EndpointHealth, EndpointStatus } from "../printers/answer.ts";

/** The endpoints of the command line, or with --cluster those of every member. */
async function endpointsOf(context: CommandContext): Promise<readonly string[]> {
  if (!context.flags.boolean("cluster")) return context.endpoints();
  try {
    const client = await context.client();
    const { members } = await client.raw.call(methods.cluster.memberList, { linearizable: true }, context.callOptions);
    return members.flatMap(({ clientURLs }) => clientURLs);
  } catch (error) {
    const message = `failed to fetch endpoints from etcd cluster member list: ${(error as Error).message}`;
    throw new CommandError(message, exitStatus.error, { cause: error });
  }
}

export const status = {
  async run(context: CommandContext): Promise<void> {
    context.expectAtMost(0, "endpoint status takes no arguments");
    const list: EndpointStatus[] = [];
    let hasFailed = false;
    for (const endpoint of await endpointsOf(context)) {
      try {
        const client = await context.connect([endpoint]);
        list.push({ endpoint, status: await client.raw.call(methods.maintenance.status, {}, context.callOptions) });
      } catch (error) {
        hasFailed = true;
        context.warn(`Failed to get the status of endpoint ${endpoint} (${messageOf(error)})`);
      }
    }
    await context.print({ kind: "endpoint-status", list });
    if (hasFailed) throw new SilentExit(exitStatus.error);
  },
};

export const hashKv = {
  async run(context: CommandContext): Promise<void> {
    context.expectAtMost(0, "endpoint hashkv takes no arguments");
    const revision = context.flags.integer("rev");
    const list: EndpointHash[] = [];
    let failure: string | undefined;
    for (const endpoint of await endpointsOf(context)) {
      try {
        const client = await context.connect([endpoint]);
        const hash = await client.raw.call(methods.maintenance.hashKv, { revision }, context.callOptions);
        list.push({ endpoint, hash });
      } catch (error) {
        failure = messageOf(error);
        context.warn(`Failed to get the hash of endpoint ${endpoint} (${failure})`);
      }
    }
    await context.print({ kind: "endpoint-hash", list });
    if (failure !== undefined) throw new CommandError(failure);
  },
};

export const health = {
  async run(context: CommandContext): Promise<void> {
    context.expectAtMost(0, "endpoint health takes no arguments");
    const endpoints = await endpointsOf(context);
    const list = await Promise.all(endpoints.map((endpoint) => healthOf(context, endpoint)));
    if (context.format === "simple") {
      for (const entry of list) {
        if (entry.isHealthy) await context.print({ kind: "endpoint-health", list: [entry] });
        else context.warn(`${entry.endpoint} is unhealthy: failed to commit proposal: ${entry.error}`);
      }
    } else await context.print({ kind: "endpoint-health", list });
    if (list.some(({ isHealthy }) => !isHealthy)) throw new CommandError("unhealthy cluster");
  },
};

/** Healthy is a member that answers a linearizable read, which takes the whole cluster, and has no alarm raised. */
async function healthOf(context: CommandContext, endpoint: string): Promise<EndpointHealth> {
  let start = process.hrtime.bigint();
  const took = (): number => Number(process.hrtime.bigint() - start);
  const unhealthy = (error: string): EndpointHealth => ({ endpoint, isHealthy: false, tookNanoseconds: took(), error });
  try {
    const client = await context.connect([endpoint]);
    start = process.hrtime.bigint();
    try {
      await client.kv.get("health", context.callOptions);
    } catch (error) {
      // Who may not read has been answered all the same.
      if (!(error instanceof ClientError) || error.code !== "PERMISSION_DENIED") throw error;
    }
    const tookNanoseconds = took();
    const { alarms } = await client.maintenance.alarms(context.callOptions);
    if (alarms.length === 0) return { endpoint, isHealthy: true, tookNanoseconds, error: "" };
    return unhealthy(`Active Alarm(s): ${alarms.map(({ alarm }) => `${alarm} `).join("")}`);
  } catch (error) {
    if (error instanceof ClientError && error.code === "UNIMPLEMENTED") {
      return { endpoint, isHealthy: true, tookNanoseconds: took(), error: "" };
    }
    return unhealthy(messageOf(error));
  }
}

const messageOf = (error: unknown): string => (error as Error).message;
