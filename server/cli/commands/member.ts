// `member list|add|remove|update|promote`.
import { methods, type wire } from "../../../sdk/index.ts";
import { badArguments, CommandError } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { parseMemberId } from "../client/ids.ts";

const badId = "bad member ID arg";

export const list = {
  async run(context: CommandContext): Promise<void> {
    context.expectAtMost(0, "member list takes no arguments");
    const consistency = context.flags.text("consistency");
    if (consistency !== "l" && consistency !== "s") throw badArguments(`unknown consistency flag "${consistency}"`);
    const client = await context.client();
    const linearizable = consistency === "l";
    const response = await client.raw.call(methods.cluster.memberList, { linearizable }, context.callOptions);
    await context.print({ kind: "member-list", response });
  },
};

export const add = {
  async run(context: CommandContext): Promise<void> {
    const [name] = context.args;
    if (name === undefined) throw badArguments("member name not provided");
    if (context.args.length > 1) throw badArguments("too many arguments");
    const peerURLs = peerUrlsOf(context);
    const isLearner = context.flags.boolean("learner");
    const client = await context.client();
    const response = await client.raw.call(methods.cluster.memberAdd, { peerURLs, isLearner }, context.callOptions);
    await context.print({ kind: "member-add", response, text: addedText(name, response) });
  },
};

export const remove = {
  async run(context: CommandContext): Promise<void> {
    const ID = onlyId(context);
    const client = await context.client();
    const response = await client.raw.call(methods.cluster.memberRemove, { ID }, context.callOptions);
    const text = `Member ${idText(ID)} removed from cluster ${clusterOf(response)}\n`;
    await context.print({ kind: "member-change", response, text });
  },
};

export const update = {
  async run(context: CommandContext): Promise<void> {
    const ID = onlyId(context);
    const peerURLs = peerUrlsOf(context);
    const client = await context.client();
    const response = await client.raw.call(methods.cluster.memberUpdate, { ID, peerURLs }, context.callOptions);
    const text = `Member ${idText(ID)} updated in cluster ${clusterOf(response)}\n`;
    await context.print({ kind: "member-change", response, text });
  },
};

export const promote = {
  async run(context: CommandContext): Promise<void> {
    const ID = onlyId(context);
    const client = await context.client();
    const response = await client.raw.call(methods.cluster.memberPromote, { ID }, context.callOptions);
    const text = `Member ${idText(ID)} promoted in cluster ${clusterOf(response)}\n`;
    await context.print({ kind: "member-change", response, text });
  },
};

function onlyId(context: CommandContext): bigint {
  const [text] = context.args;
  if (text === undefined || context.args.length !== 1) throw badArguments("member ID is not provided");
  return parseMemberId(text, badId);
}

function peerUrlsOf(context: CommandContext): string[] {
  const urls = [...context.flags.list("peer-urls")];
  if (urls.length === 0) throw badArguments("member peer urls not provided");
  for (const url of urls) {
    if (!/^(https?|unixs?):\/\//.test(url)) {
      throw new CommandError(`URL scheme must be http, https, unix, or unixs: ${url}`);
    }
  }
  return urls;
}

const idText = (id: bigint): string => id.toString(16).padStart(16, " ");
const clusterOf = ({ header }: { header: wire.ResponseHeader | undefined }): string => idText(header?.clusterId ?? 0n);

/** Says what the new member has to be started with, as variables that a shell can read. */
function addedText(name: string, { member, members, header }: wire.MemberAddResponse): string {
  const id = member?.ID ?? 0n;
  const cluster = members
    .map((one) => ({ ...one, name: one.ID === id ? name : one.name }))
    .flatMap((one) => one.peerURLs.map((url) => `${one.name}=${url}`));
  return [
    `Member ${idText(id)} added to cluster ${clusterOf({ header })}`,
    "",
    `ETCD_NAME="${name}"`,
    `ETCD_INITIAL_CLUSTER="${cluster.join(",")}"`,
    `ETCD_INITIAL_ADVERTISE_PEER_URLS="${member?.peerURLs.join(",") ?? ""}"`,
    'ETCD_INITIAL_CLUSTER_STATE="existing"',
    "",
  ].join("\n");
}
