// The cluster's members.
import type { ResponseHeader, Member as WireMember } from "../proto/gen/etcdserverpb/rpc.ts";
import type { Caller } from "./caller.ts";
import { type Header, toHeader } from "./key-value.ts";
import { clusterMethods } from "./methods.ts";
import type { CallOptions } from "./options.ts";

export interface Member {
  readonly id: bigint;
  /** Empty until the member has started. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  /** Follows the log without a vote. */
  readonly isLearner: boolean;
}

export interface MemberList {
  readonly header: Header;
  readonly members: readonly Member[];
}

const toMember = (member: WireMember): Member => ({
  id: member.ID,
  name: member.name,
  peerUrls: member.peerURLs,
  clientUrls: member.clientURLs,
  isLearner: member.isLearner,
});

const toMemberList = (answer: { header: ResponseHeader | undefined; members: readonly WireMember[] }): MemberList => ({
  header: toHeader(answer.header),
  members: answer.members.map(toMember),
});

/** Reads and changes who belongs to the cluster. */
export class Cluster {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** The members. `serializable`: as the answering member knows them, without asking the others. */
  async list(options: { readonly serializable?: boolean } & CallOptions = {}): Promise<MemberList> {
    const request = { linearizable: !(options.serializable ?? false) };
    return toMemberList(await this.#caller.unary(clusterMethods.memberList, request, options));
  }

  async add(
    peerUrls: readonly string[],
    options: { readonly isLearner?: boolean } & CallOptions = {},
  ): Promise<MemberList & { readonly member: Member }> {
    const request = { peerURLs: [...peerUrls], isLearner: options.isLearner ?? false };
    const answer = await this.#caller.unary(clusterMethods.memberAdd, request, options);
    return { ...toMemberList(answer), member: toMember(answer.member!) };
  }

  async remove(id: bigint, options: CallOptions = {}): Promise<MemberList> {
    return toMemberList(await this.#caller.unary(clusterMethods.memberRemove, { ID: id }, options));
  }

  async update(id: bigint, peerUrls: readonly string[], options: CallOptions = {}): Promise<MemberList> {
    const request = { ID: id, peerURLs: [...peerUrls] };
    return toMemberList(await this.#caller.unary(clusterMethods.memberUpdate, request, options));
  }

  /** Makes a learner a voter. */
  async promote(id: bigint, options: CallOptions = {}): Promise<MemberList> {
    return toMemberList(await this.#caller.unary(clusterMethods.memberPromote, { ID: id }, options));
  }
}
