// From a wish to own a name to a place in the queue that owns it: session, turn inside the process, queue on the server.
// Locks and elections begin the same way and differ in what they make of it.
import { contenderKey } from "./contenders.ts";
import { ownershipChannel } from "./diagnostics.ts";
import { takeTurn, takeTurnNow } from "./local-queue.ts";
import { QueueEntry } from "./queue-entry.ts";
import type { Sessions } from "./session-source.ts";
import { followSignals, monotonicMs, Patience, type WaitOptions, whileWaiting } from "./waiting.ts";

export interface Claim {
  readonly kind: "lock" | "election";
  readonly name: string;
  readonly sessions: Sessions;
  /** Value of the key, made when the queue is joined. */
  readonly value: () => string;
}

export interface Acquired {
  readonly entry: QueueEntry;
  /** Revision at which the name was seen to be owned. */
  readonly revision: bigint;
}

/** Waits for the name. Rejects as {@link QueueEntry.waitForTurn} does. */
export function acquire(claim: Claim, options: WaitOptions): Promise<Acquired> {
  return whileWaiting(waitFor(claim, options));
}

async function waitFor(claim: Claim, options: WaitOptions): Promise<Acquired> {
  const startMs = monotonicMs();
  const patience = new Patience(claim.name, options);
  let entry: QueueEntry | undefined;
  try {
    const session = await claim.sessions.get(patience.signal);
    const scope = followSignals(session.signal, patience.signal);
    const key = contenderKey(claim.name, session.id);
    const turn = await takeTurn(session, key, scope.signal).finally(() => scope.stop());
    entry = new QueueEntry(session, turn, claim.name, claim.value());
    const revision = await entry.waitForTurn(patience);
    publish(claim, "held", entry.token, startMs, undefined);
    return { entry, revision };
  } catch (error) {
    publish(claim, "given-up", entry?.token ?? 0n, startMs, error);
    throw error;
  } finally {
    patience.dispose();
  }
}

/** Takes the name if it is free and nobody waits for it; `undefined` otherwise. */
export async function tryAcquire(
  claim: Claim,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<Acquired | undefined> {
  const startMs = monotonicMs();
  const patience = new Patience(claim.name, options);
  try {
    const session = await claim.sessions.get(patience.signal);
    const turn = await takeTurnNow(session, contenderKey(claim.name, session.id));
    if (turn === undefined) return undefined;
    const entry = new QueueEntry(session, turn, claim.name, claim.value());
    const revision = await entry.takeIfFree(patience);
    if (revision === undefined) return undefined;
    publish(claim, "held", entry.token, startMs, undefined);
    return { entry, revision };
  } finally {
    patience.dispose();
  }
}

function publish(claim: Claim, event: "held" | "given-up", token: bigint, startMs: number, error: unknown): void {
  if (!ownershipChannel.hasSubscribers) return;
  const { kind, name } = claim;
  ownershipChannel.publish({ kind, event, name, token, ms: monotonicMs() - startMs, error });
}
