// Changes of who belongs to the cluster. Whether raft can make a change is decided when it is proposed; here it is
// checked against the members themselves, and a change that does not fit them is void on every member alike.
import type { MemberTable } from "./cluster/member-table.ts";
import type { MembershipCommand } from "./command.ts";
import { StateError } from "./errors.ts";

/** @throws StateError Nothing was changed then. */
export function applyMembership(members: MemberTable, command: MembershipCommand): void {
  switch (command.kind) {
    case "member-add": {
      const { id, peerUrls, isLearner } = command.member;
      // A removed member's id never comes back: its log may still be somewhere.
      if (members.get(id) !== undefined || members.wasRemoved(id)) throw new StateError("member-exists");
      refuseUsedPeerUrls(members, peerUrls, undefined);
      const learners = members.list().filter((member) => member.isLearner).length;
      if (isLearner && learners >= command.learnersMax) throw new StateError("too-many-learners");
      members.set({ id, name: "", peerUrls, clientUrls: [], isLearner });
      return;
    }
    case "member-remove":
      if (members.get(command.id) === undefined) throw new StateError("member-not-found");
      members.remove(command.id);
      return;
    case "member-update": {
      const member = members.get(command.id);
      if (member === undefined) throw new StateError("member-not-found");
      refuseUsedPeerUrls(members, command.peerUrls, command.id);
      members.set({ ...member, peerUrls: command.peerUrls });
      return;
    }
    case "member-promote": {
      const member = members.get(command.id);
      if (member === undefined) throw new StateError("member-not-found");
      if (!member.isLearner) throw new StateError("member-not-learner");
      members.set({ ...member, isLearner: false });
      return;
    }
  }
}

function refuseUsedPeerUrls(members: MemberTable, peerUrls: readonly string[], exceptId: bigint | undefined): void {
  for (const member of members.list()) {
    if (member.id !== exceptId && member.peerUrls.some((url) => peerUrls.includes(url))) {
      throw new StateError("peer-url-exists");
    }
  }
}
