// Refuses answers that cannot be right: from another cluster, or from a store that is older than what this client has
// already seen. Both happen when a member is wiped, restored or its address reused, and both would otherwise look fine.
import type { ResponseHeader } from "../proto/gen/etcdserverpb/rpc.ts";
import { GuardError, type Outcome } from "./errors.ts";

export class Guards {
  #clusterId: bigint | undefined;
  #revision = 0n;

  /** The cluster that this client talks to: the one that answered first. */
  get clusterId(): bigint | undefined {
    return this.#clusterId;
  }

  /** Highest store revision that any answer or event has carried. */
  get revision(): bigint {
    return this.#revision;
  }

  /**
   * Checks the header of an answer and learns from it. `revisionMin` is what a linearizable answer must reach: the
   * highest revision seen before the request was sent. Throws {@link GuardError}.
   */
  check(header: ResponseHeader | undefined, endpoint: string, revisionMin: bigint, outcome: Outcome): void {
    // Some answers (Defragment, MoveLeader) carry no header.
    if (header === undefined) return;
    if (header.clusterId !== 0n) {
      this.#clusterId ??= header.clusterId;
      if (header.clusterId !== this.#clusterId) {
        throw new GuardError(
          "CLUSTER_MISMATCH",
          `${endpoint} belongs to cluster ${header.clusterId.toString(16)}, expected ${this.#clusterId.toString(16)}`,
          { endpoint, outcome },
        );
      }
    }
    // Zero: an answer that does not speak of the store.
    if (header.revision === 0n) return;
    if (header.revision < revisionMin) {
      throw new GuardError(
        "REVISION_REGRESSED",
        `${endpoint} answered at revision ${header.revision}, but revision ${revisionMin} had been seen before: its data is older`,
        { endpoint, outcome },
      );
    }
    if (header.revision > this.#revision) this.#revision = header.revision;
  }

  /** Learns a revision from an event. */
  see(revision: bigint): void {
    if (revision > this.#revision) this.#revision = revision;
  }
}
