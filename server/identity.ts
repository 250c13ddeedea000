// Who this member is: its id and its cluster's. Decided at the first start, kept in a file of its own, and from then
// on the flags that decided it are not looked at again.
import { join } from "node:path";
import type { MemberConfig } from "./config.ts";
import { crc32 } from "./lib/crc32.ts";
import type { Disk } from "./lib/disk.ts";
import type { Member } from "./state/cluster/member-codec.ts";
import { clusterIdOf, memberIdOf } from "./state/cluster/member-id.ts";

export interface Identity {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** The cluster's first members, as every one of them was told; none for a member that joined later. */
  readonly initialMembers: readonly Member[];
  /** Where to find others before the table of members says so. */
  readonly initialPeers: readonly { readonly id: bigint; readonly peerUrls: readonly string[] }[];
}

/** The member cannot be started as it is configured, or from what its folder holds. The message says what to do. */
export class StartError extends Error {
  override readonly name = "StartError";
}

const fileName = "identity.json";

interface IdentityFile {
  readonly format: 1;
  /** Of everything else in it, in hexadecimal. A digit that changed would make this another member. */
  readonly checksum: string;
  readonly memberId: string;
  readonly clusterId: string;
  readonly initialMembers: readonly IdentityFilePeer[];
  readonly initialPeers: readonly IdentityFilePeer[];
}

type IdentityContent = Omit<IdentityFile, "checksum">;

interface IdentityFilePeer {
  readonly id: string;
  readonly peerUrls: readonly string[];
}

/** What a running cluster says of itself. */
export interface RunningCluster {
  readonly clusterId: bigint;
  readonly members: readonly Member[];
}

/**
 * Reads who this member is, or decides it and writes it down durably.
 * @param askCluster Asks the members at these URLs, in this order, who they are, and gives the first answer; for a member
 *   that joins a running cluster.
 * @throws StartError
 */
export async function loadIdentity(
  disk: Disk,
  folder: string,
  config: MemberConfig,
  askCluster: (peerUrls: readonly string[]) => Promise<RunningCluster | undefined>,
): Promise<Identity> {
  if (disk.list(folder).includes(fileName)) return readIdentity(disk, join(folder, fileName));
  const identity =
    config.initialClusterState === "existing" ? await joinCluster(config, askCluster) : createIdentity(config);
  await writeIdentity(disk, folder, identity);
  return identity;
}

/** A member that was added to a running cluster is known there by its peer URLs. */
async function joinCluster(
  config: MemberConfig,
  askCluster: (peerUrls: readonly string[]) => Promise<RunningCluster | undefined>,
): Promise<Identity> {
  const others = config.initialCluster.filter(({ name }) => name !== config.name).flatMap(({ peerUrls }) => peerUrls);
  const ownUrls = [...config.initialAdvertisePeerUrls].sort().join();
  const ownIn = ({ members }: RunningCluster) =>
    members.find(({ peerUrls }) => [...peerUrls].sort().join() === ownUrls);
  let cluster = await askCluster(others);
  // One that lags behind may not have heard of this member yet: each is to be the first that is asked.
  for (let first = 1; first < others.length && cluster !== undefined && ownIn(cluster) === undefined; first++) {
    cluster = (await askCluster([...others.slice(first), ...others.slice(0, first)])) ?? cluster;
  }
  if (cluster === undefined) {
    throw new StartError(
      `no member of the existing cluster answers at ${others.join(", ") || "(no other member in --initial-cluster)"}; ` +
        "check --initial-cluster, or start with --initial-cluster-state new",
    );
  }
  const own = ownIn(cluster);
  if (own === undefined) {
    throw new StartError(
      `the cluster has no member with the peer URLs ${ownUrls}; ` +
        `add it first: quorate member add ${config.name} --peer-urls=${ownUrls}`,
    );
  }
  return { memberId: own.id, clusterId: cluster.clusterId, initialMembers: [], initialPeers: cluster.members };
}

function createIdentity(config: MemberConfig): Identity {
  const initialMembers = config.initialCluster.map(({ peerUrls }) => ({
    id: memberIdOf(peerUrls, config.initialClusterToken),
    name: "",
    peerUrls,
    clientUrls: [],
    isLearner: false,
  }));
  const ownIndex = config.initialCluster.findIndex(({ name }) => name === config.name);
  const own = initialMembers[ownIndex];
  if (own === undefined) {
    throw new StartError(`--initial-cluster does not name this member: --name is ${config.name}`);
  }
  const clusterId = clusterIdOf(initialMembers.map(({ id }) => id));
  return { memberId: own.id, clusterId, initialMembers, initialPeers: initialMembers };
}

function readIdentity(disk: Disk, path: string): Identity {
  const file = disk.open(path, "existing");
  const text = file.read(0, file.sizeBytes()).toString("utf8");
  void file.close();
  try {
    const parsed = JSON.parse(text) as IdentityFile;
    if (parsed.format !== 1) throw new StartError(`${path} was written by a newer version (format ${parsed.format})`);
    const { checksum: _, ...content } = parsed;
    // As it was written, to the letter.
    if (textOf(content) !== text) throw new Error("its checksum does not match");
    return {
      memberId: BigInt(`0x${parsed.memberId}`),
      clusterId: BigInt(`0x${parsed.clusterId}`),
      initialMembers: parsed.initialMembers.map(({ id, peerUrls }) => ({
        id: BigInt(`0x${id}`),
        name: "",
        peerUrls,
        clientUrls: [],
        isLearner: false,
      })),
      initialPeers: parsed.initialPeers.map(({ id, peerUrls }) => ({ id: BigInt(`0x${id}`), peerUrls })),
    };
  } catch (cause) {
    if (cause instanceof StartError) throw cause;
    throw new StartError(`${path} is damaged: ${(cause as Error).message}`, { cause });
  }
}

async function writeIdentity(disk: Disk, folder: string, identity: Identity): Promise<void> {
  const content: IdentityContent = {
    format: 1,
    memberId: identity.memberId.toString(16),
    clusterId: identity.clusterId.toString(16),
    initialMembers: identity.initialMembers.map(toFilePeer),
    initialPeers: identity.initialPeers.map(toFilePeer),
  };
  const temporary = join(folder, `${fileName}.tmp`);
  disk.remove(temporary);
  const file = disk.open(temporary, "create");
  await file.writeDurably(Buffer.from(textOf(content)), 0);
  await file.close();
  disk.rename(temporary, join(folder, fileName));
  await disk.syncFolder(folder);
}

/** The whole file. */
function textOf(content: IdentityContent): string {
  const checksum = crc32(Buffer.from(JSON.stringify(content))).toString(16);
  const file: IdentityFile = { ...content, checksum };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

function toFilePeer({ id, peerUrls }: { readonly id: bigint; readonly peerUrls: readonly string[] }): IdentityFilePeer {
  return { id: id.toString(16), peerUrls };
}
