// Members to and from the bytes that the table keeps.
import { MemberRecord } from "../../../proto/gen/quoratepb/command.ts";

export interface Member {
  readonly id: bigint;
  /** Empty until the member has started for the first time. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Empty until the member has started for the first time. */
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export function encodeMember(member: Member): Uint8Array {
  return MemberRecord.encode({
    ...member,
    peerUrls: [...member.peerUrls],
    clientUrls: [...member.clientUrls],
  }).finish();
}

export function decodeMember(bytes: Uint8Array): Member {
  return MemberRecord.decode(bytes);
}
