// The Lease service.
import type { ServiceImplementation } from "nice-grpc";
import { bytesOf } from "../../lib/byte-string.ts";
import type { Random } from "../../lib/random.ts";
import type { Replica } from "../../replica/replica.ts";
import { StateError } from "../../state/errors.ts";
import { leaseTtlSecondsMax } from "../../state/lease/lease-store.ts";
import { type Answer, KeepAliveAnswer } from "./answers.ts";
import { keepAliveWireDefinition, leaseDefinition } from "./definitions.ts";
import type { Header } from "./header.ts";
import { Inlet } from "./inlet.ts";
import { expectResult } from "./kv-service.ts";
import { Outlet } from "./outlet.ts";
import type { RpcGuard } from "./rpc-guard.ts";

export interface LeaseServiceOptions {
  readonly replica: Replica;
  readonly header: Header;
  readonly guard: RpcGuard;
  readonly random: Random;
  /** Shorter TTLs are raised to this. */
  readonly ttlSecondsMin: number;
}

const path = (method: string): string => `/${leaseDefinition.fullName}/${method}`;

export function createKeepAliveService(
  options: LeaseServiceOptions,
): ServiceImplementation<typeof keepAliveWireDefinition> {
  return {
    leaseKeepAlive: options.guard.stream(keepAliveWireDefinition.leaseKeepAlive.path, (ids, { signal }) =>
      keepAlive(options, ids, signal),
    ),
  };
}

/** Requests that may be under way or answered and unread, before further ones are left unread, too. */
const keepAlivesMax = 1000;

/**
 * Keepalives that this member can decide about alone are answered in the turn that brought them. What takes a question
 * to others is answered in the order that was asked, but not one after the other: a client that holds many leases must
 * not wait for the quorum once for each of them.
 */
function keepAlive(options: LeaseServiceOptions, ids: AsyncIterable<bigint>, signal: AbortSignal): Outlet<Answer> {
  const { header, replica } = options;
  let answers: Answer[] = [];
  let head = 0;
  let unanswered = 0;
  let inOrder: Promise<void> = Promise.resolve();
  let hasEnded = false;
  let inlet: Inlet<bigint> | undefined;
  const hasRoom = (): boolean => unanswered + answers.length < keepAlivesMax;
  const outlet = new Outlet<Answer>({
    signal,
    next: () => {
      const answer = answers[head++];
      if (answer !== undefined) return answer;
      answers = [];
      head = 0;
      if (hasRoom()) inlet?.resume();
      return undefined;
    },
    onEnd: () => inlet?.stop(),
  });
  const answer = (revision: number, id: bigint, ttlSeconds: number): void => {
    const message = new KeepAliveAnswer(header, revision, id, ttlSeconds);
    if (answers.length === 0 && outlet.tryWrite(message)) return;
    answers.push(message);
    outlet.wake();
  };
  const maybeFinish = (): void => {
    if (hasEnded && unanswered === 0) outlet.finish();
  };
  const answerLater = (revision: number, id: bigint): void => {
    unanswered++;
    inOrder = Promise.all([replica.leaderCalls.renewLease(id), inOrder]).then(([ttlSeconds]) => {
      unanswered--;
      answer(revision, id, ttlSeconds);
      maybeFinish();
    });
    inOrder.catch((error: unknown) => outlet.end(error));
  };
  inlet = new Inlet(ids, {
    take: (id) => {
      // The header is as old as the question, not as new as the answer.
      const revision = header.currentRevision;
      const ttlSeconds = unanswered === 0 ? renewAtOnce(replica, id) : undefined;
      if (ttlSeconds === undefined) answerLater(revision, id);
      else answer(revision, id, ttlSeconds);
      return hasRoom();
    },
    onEnd: (error) => {
      hasEnded = true;
      if (error === undefined) maybeFinish();
      else outlet.end(error);
    },
  });
  return outlet;
}

/** Gives a lease its full time again; undefined where this member cannot do so alone, or not at once. */
function renewAtOnce(replica: Replica, id: bigint): number | undefined {
  if (!replica.lessor.isPrimary) return undefined;
  const barrier = replica.readBarrier();
  if (barrier === undefined) return replica.lessor.renewAtOnce(id);
  // Reads of one turn share their question to the others: whoever renews later, in this turn, waits for this one.
  barrier.catch(() => undefined);
  return undefined;
}

export function createLeaseService(options: LeaseServiceOptions): ServiceImplementation<typeof leaseDefinition> {
  const { replica, header, guard } = options;
  const { machine, lessor, leaderCalls } = replica;

  return {
    leaseGrant: guard.unary(path("LeaseGrant"), async ({ ID, TTL }) => {
      replica.checkQuota({ kind: "lease-grant", id: ID, ttlSeconds: 0 });
      if (TTL > leaseTtlSecondsMax) throw new StateError("lease-ttl-too-large");
      const ttlSeconds = Math.max(Number(TTL), options.ttlSecondsMin);
      for (;;) {
        const id = ID === 0n ? randomLeaseId(options.random) : ID;
        const { result } = await replica.proposeInternal({ kind: "lease-grant", id, ttlSeconds });
        // An id that we drew may be taken; one that the client chose is its own affair.
        if (ID === 0n && result.kind === "refused" && result.error.code === "lease-exists") continue;
        const granted = expectResult(result, "lease-grant");
        return {
          header: header.fields(granted.revision),
          ID: granted.id,
          TTL: BigInt(granted.ttlSeconds),
          error: "",
        };
      }
    }),
    leaseRevoke: guard.unary(path("LeaseRevoke"), async ({ ID }) => {
      const { result } = await replica.proposeInternal({ kind: "lease-revoke", id: ID, expiry: undefined });
      return { header: header.fields(expectResult(result, "lease-revoke").revision) };
    }),
    leaseTimeToLive: guard.unary(path("LeaseTimeToLive"), async ({ ID, keys }) => {
      await replica.readBarrier();
      const time = await leaderCalls.leaseTimeToLive(ID);
      if (time === undefined) return { header: header.fields(), ID, TTL: -1n, grantedTTL: 0n, keys: [] };
      return {
        header: header.fields(),
        ID,
        TTL: BigInt(time.remainingSeconds),
        grantedTTL: BigInt(time.grantedTtlSeconds),
        keys: keys ? machine.leases.keysOf(ID).map(bytesOf) : [],
      };
    }),
    leaseLeases: guard.unary(path("LeaseLeases"), async () => {
      await replica.readBarrier();
      return { header: header.fields(), leases: lessor.listByEnd().map((ID) => ({ ID })) };
    }),
  };
}

/** A positive 63-bit number, as etcd picks them. */
function randomLeaseId(random: Random): bigint {
  const high = BigInt(random.below(0x8000_0000));
  const low = BigInt(random.below(0x1_0000_0000));
  return (high << 32n) | low || 1n;
}
