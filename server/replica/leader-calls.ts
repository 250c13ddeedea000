// What only the leader can answer, asked at any member: lease times, and the promotion of a learner. A member that
// does not lead passes the question on, and asks again when leadership moves meanwhile.
import type { Clock } from "../lib/clock.ts";
import type { RoleState } from "../raft/types.ts";
import { StateError, type StateErrorCode, stateErrorCodes } from "../state/errors.ts";
import { ReplicaError, type ReplicaErrorCode } from "./errors.ts";
import type { LeaseTime, Lessor } from "./lessor.ts";
import { mutated } from "./mutations.ts";
import type { PeerRequest, PeerResponse, Transport } from "./transport.ts";

export interface LeaderCallsOptions {
  readonly lessor: Lessor;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly roleState: () => RoleState;
  /** Resolves once this member's state is current; undefined when it is. */
  readonly readBarrier: () => Promise<void> | undefined;
  /** Promotes a learner, as leader. */
  readonly promote: (id: bigint) => Promise<void>;
}

/** How long to wait before the leader is asked again. */
const retryMs = 50;

export class LeaderCalls {
  readonly #options: LeaderCallsOptions;

  constructor(options: LeaderCallsOptions) {
    this.#options = options;
  }

  /**
   * Gives a lease its full time again. 0 when there is no such lease.
   * @throws ReplicaError `no-leader`, `timed-out`
   */
  async renewLease(id: bigint): Promise<number> {
    const response = await this.#ask({ kind: "lease-renew", id });
    return response.kind === "lease-renewed" ? response.ttlSeconds : 0;
  }

  /**
   * How long a lease has left; undefined when there is no such lease.
   * @throws ReplicaError `no-leader`, `timed-out`
   */
  async leaseTimeToLive(id: bigint): Promise<LeaseTime | undefined> {
    const response = await this.#ask({ kind: "lease-time-to-live", id });
    if (response.kind !== "lease-time" || response.grantedTtlSeconds === 0) return undefined;
    return response;
  }

  /** @throws ReplicaError StateError */
  async promoteMember(id: bigint): Promise<void> {
    await this.#ask({ kind: "member-promote", id });
  }

  /** Asks whoever leads, until there is an answer or no time left. */
  async #ask(request: PeerRequest): Promise<PeerResponse> {
    const { clock, transport, roleState } = this.#options;
    const deadlineMs = clock.nowMs() + this.#options.timeoutMs;
    for (;;) {
      const { role, leader } = roleState();
      let response: PeerResponse;
      if (role === "leader") response = await this.answer(request);
      else if (leader === undefined) response = { kind: "failed", code: "no-leader" satisfies ReplicaErrorCode };
      else response = await transport.call(leader, request).catch((error: unknown) => unanswered(request, error));
      if (response.kind !== "failed") return response;
      const isMoving = response.code === "not-leader" || response.code === "no-leader";
      if (!isMoving || clock.nowMs() + retryMs >= deadlineMs) throw fromFailure(response.code);
      await new Promise<void>((resolve) => clock.setTimer(retryMs, resolve));
    }
  }

  /** Answers a question as leader. Never rejects: a failure is an answer. */
  async answer(request: PeerRequest): Promise<PeerResponse> {
    const { lessor, readBarrier, promote } = this.#options;
    try {
      // Proof that this member still decides comes before every answer: another one may have let the lease end.
      if (!mutated("replica/renewed-without-quorum")) await readBarrier();
      if (!lessor.isPrimary) throw new ReplicaError("not-leader");
      switch (request.kind) {
        case "lease-renew":
          return { kind: "lease-renewed", ttlSeconds: (await lessor.renew(request.id))?.ttlSeconds ?? 0 };
        case "lease-time-to-live": {
          const time = lessor.timeToLive(request.id);
          return { kind: "lease-time", grantedTtlSeconds: 0, remainingSeconds: 0, ...time };
        }
        case "member-promote":
          await promote(request.id);
          return { kind: "done" };
      }
    } catch (error) {
      return toFailure(error);
    }
  }
}

/**
 * No answer came. A time can be asked for again; a promotion may have happened, and may be told neither as one that was
 * not tried nor made twice.
 */
function unanswered({ kind }: PeerRequest, error: unknown): ReturnType<typeof toFailure> {
  const failure = toFailure(error);
  const isChange = kind === "member-promote" && failure.code === ("no-leader" satisfies ReplicaErrorCode);
  return isChange ? { kind: "failed", code: "leader-changed" satisfies ReplicaErrorCode } : failure;
}

function toFailure(error: unknown): { readonly kind: "failed"; readonly code: string } {
  if (error instanceof ReplicaError || error instanceof StateError) return { kind: "failed", code: error.code };
  throw error;
}

function fromFailure(code: string): Error {
  if (stateErrorCodes.includes(code as StateErrorCode)) return new StateError(code as StateErrorCode);
  return new ReplicaError(code as ReplicaErrorCode);
}
