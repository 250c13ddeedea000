// The Cluster service: who the members are, and changing that.
import type { ServiceImplementation } from "nice-grpc";
import { ClusterDefinition, type Member as WireMember } from "../../../proto/gen/etcdserverpb/rpc.ts";
import type { Clock } from "../../lib/clock.ts";
import { ReplicaError } from "../../replica/errors.ts";
import type { Replica } from "../../replica/replica.ts";
import type { Member } from "../../state/cluster/member-codec.ts";
import { memberIdOf } from "../../state/cluster/member-id.ts";
import type { MembershipCommand } from "../../state/command.ts";
import type { Header } from "./header.ts";
import { expectResult } from "./kv-service.ts";
import type { RpcGuard } from "./rpc-guard.ts";

export interface ClusterServiceOptions {
  readonly replica: Replica;
  readonly header: Header;
  readonly guard: RpcGuard;
  readonly clock: Clock;
  /** Goes into the ids of new members. */
  readonly initialClusterToken: string;
  readonly learnersMax: number;
}

const path = (method: string): string => `/${ClusterDefinition.fullName}/${method}`;

export function createClusterService(options: ClusterServiceOptions): ServiceImplementation<typeof ClusterDefinition> {
  const { replica, header, guard, clock } = options;
  // The services of the cluster answer without a revision.
  const fields = () => header.fields(0);
  const members = (): WireMember[] => replica.machine.members.list().map(toWireMember);

  async function change(command: MembershipCommand): Promise<void> {
    const { result } = await replica.changeMembership(command);
    expectResult(result, "membership");
  }

  return {
    memberList: guard.unary(path("MemberList"), async ({ linearizable }) => {
      await (linearizable ? replica.readBarrier() : replica.localBarrier());
      return { header: fields(), members: members() };
    }),
    memberAdd: guard.unary(path("MemberAdd"), async ({ peerURLs, isLearner }) => {
      const peerUrls = checkedPeerUrls(peerURLs);
      const id = memberIdOf(peerUrls, options.initialClusterToken, Math.floor(clock.wallMs() / 1000));
      const { learnersMax } = options;
      await change({ kind: "member-add", member: { id, peerUrls, isLearner }, learnersMax });
      const list = members();
      return { header: fields(), member: list.find(({ ID }) => ID === id), members: list };
    }),
    memberRemove: guard.unary(path("MemberRemove"), async ({ ID }) => {
      await change({ kind: "member-remove", id: ID });
      return { header: fields(), members: members() };
    }),
    memberUpdate: guard.unary(path("MemberUpdate"), async ({ ID, peerURLs }) => {
      await change({ kind: "member-update", id: ID, peerUrls: checkedPeerUrls(peerURLs) });
      return { header: fields(), members: members() };
    }),
    memberPromote: guard.unary(path("MemberPromote"), async ({ ID }) => {
      await replica.leaderCalls.promoteMember(ID);
      // The leader has applied it; this member may be a moment behind.
      await replica.readBarrier();
      return { header: fields(), members: members() };
    }),
  };
}

function toWireMember(member: Member): WireMember {
  return {
    ID: member.id,
    name: member.name,
    peerURLs: [...member.peerUrls],
    clientURLs: [...member.clientUrls],
    isLearner: member.isLearner,
  };
}

/** etcd's rule: a list of http or https URLs, each with host and port and without a path. */
function checkedPeerUrls(urls: readonly string[]): readonly string[] {
  const isValid = (url: string): boolean => /^https?:\/\/[^/?#@\s]+:\d{1,5}$/.test(url) && URL.canParse(url);
  if (urls.length === 0 || !urls.every(isValid)) throw new ReplicaError("member-urls-invalid");
  return [...urls].sort();
}
