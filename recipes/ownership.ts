// What locks and leaderships have in common once they are held: they end with their session or their key, say so through
// a signal that is honest about the clock, and are proven to the server inside the transactions that depend on them.
import {
  type CallOptions,
  type Client,
  CompactedError,
  type Compare,
  compare,
  createHonestSignal,
  type Op,
  type Txn,
  type TxnResult,
  type Watch,
} from "../sdk/index.ts";
import { ownershipChannel } from "./diagnostics.ts";
import { LeadershipLostError, LockLostError, type OwnershipLostError, type OwnershipLostReason } from "./errors.ts";
import type { QueueEntry } from "./queue-entry.ts";
import type { Session, SessionState } from "./session.ts";
import { monotonicMs, settleMs, timeLimit, untilAborted } from "./waiting.ts";

/** `held` and `suspended` as the session; `lost` and `released` are final. */
export type OwnershipState = SessionState | "released";

export type ReleaseResult =
  | { readonly released: true }
  /** It was not held any more; `lost` says why. Nothing was changed. */
  | { readonly released: false; readonly lost: OwnershipLostError };

type Ops = readonly Op<unknown>[];

/** Something that one program in the cluster owns at a time. See {@link HeldLock} and {@link Leadership}. */
export abstract class Ownership implements AsyncDisposable {
  /** The name that is locked, or the election. */
  readonly name: string;
  /** The key that stands for it in the store. */
  readonly key: string;
  /**
   * Fencing token: the create revision of {@link key}. It grows with every acquisition of the name, so whatever is
   * written with it can be told from what an earlier holder writes late.
   */
  readonly token: bigint;
  readonly session: Session;
  /** For those who extend it: the place in the queue. */
  protected readonly entry: QueueEntry;
  readonly #kind: "lock" | "election";
  readonly #honest = createHonestSignal(() => this.#check());
  readonly #sinceMs = monotonicMs();
  readonly #onSessionLost = (): void => this.#check();
  #lost: OwnershipLostError | undefined;
  #watch: Watch<unknown> | undefined;
  #releasing: Promise<ReleaseResult> | undefined;

  /** @internal `revision`: where the key was seen to own the name. */
  constructor(kind: "lock" | "election", entry: QueueEntry, revision: bigint) {
    this.#kind = kind;
    this.entry = entry;
    this.name = entry.name;
    this.key = entry.key;
    this.token = entry.token;
    this.session = entry.session;
    this.session.signal.addEventListener("abort", this.#onSessionLost, { once: true });
    this.#check();
    void this.#watchKey(revision + 1n);
  }

  /** Aborts, with an {@link OwnershipLostError}, when it ends. Reading `aborted` looks at the clock first. */
  get signal(): AbortSignal {
    return this.#honest.signal;
  }

  get state(): OwnershipState {
    this.#check();
    if (this.#lost !== undefined) return this.#lost.reason === "released" ? "released" : "lost";
    return this.session.state;
  }

  /** Why it ended, once it has. */
  get lost(): OwnershipLostError | undefined {
    this.#check();
    return this.#lost;
  }

  /** Milliseconds that it can still be relied on without a further keepalive; 0 once it has ended. */
  remainingMs(): number {
    return this.lost === undefined ? this.session.remainingMs() : 0;
  }

  /** Throws the {@link OwnershipLostError} if it has ended. */
  throwIfLost(): void {
    const { lost } = this;
    if (lost !== undefined) throw lost;
  }

  /**
   * The condition "it is still ours", for transactions. A key that was deleted and made anew has another create revision.
   */
  ifOwner(): Compare {
    return compare(this.key).createRevision("==", this.token);
  }

  /**
   * Adds {@link ifOwner} to the conditions of a transaction on the same client: the server carries its `then` out only
   * while this is held. That is true mutual exclusion, whatever clocks and networks do; nothing else is.
   *
   * @throws {OwnershipLostError} It is known to be lost already.
   */
  guard<Then extends Ops, Else extends Ops>(txn: Txn<Then, Else>): Txn<Then, Else> {
    this.throwIfLost();
    return txn.if(this.ifOwner());
  }

  /**
   * Carries a transaction out only while this is held, and tells a lost ownership from conditions of the transaction's
   * own that do not hold.
   *
   * @throws {OwnershipLostError} It is not held any more; nothing was written.
   */
  async commit<Then extends Ops, Else extends Ops>(
    txn: Txn<Then, Else>,
    options: CallOptions = {},
  ): Promise<TxnResult<Then, Else>> {
    this.throwIfLost();
    const result = await this.client.txn().if(this.ifOwner()).then(txn.asOp()).commit(options);
    if (result.succeeded) return result.responses[0];
    throw this.markLost("deleted");
  }

  /**
   * Gives it up. The signal aborts first; then the key is deleted, provided that it is still the one that was made for
   * this. Resolves when the server has confirmed it. Releasing what is lost changes nothing and says that it was lost.
   *
   * @throws {UnconfirmedError} The server did not answer in time. The key is still being removed in the background.
   */
  release(options: Pick<CallOptions, "signal"> = {}): Promise<ReleaseResult> {
    const releasing = (this.#releasing ??= this.#release());
    // A failure is told to each caller, and to nobody if there is none.
    releasing.catch(() => undefined);
    return untilAborted(releasing, options.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  protected get client(): Client {
    return this.session.client;
  }

  /** Ends it, if it has not ended yet, and returns why it ended. The signal aborts before anything else. */
  protected markLost(reason: OwnershipLostReason, cause?: unknown): OwnershipLostError {
    if (this.#lost !== undefined) return this.#lost;
    const LostError = this.#kind === "lock" ? LockLostError : LeadershipLostError;
    const lost = new LostError(this.name, this.token, reason, { cause });
    this.#lost = lost;
    this.session.signal.removeEventListener("abort", this.#onSessionLost);
    this.#honest.abort(lost);
    void this.#watch?.close();
    if (reason === "deleted") void this.session.doubt();
    if (reason !== "released") void this.#leaveBehind();
    this.#publish(reason === "released" ? "released" : "lost");
    return lost;
  }

  async #release(): Promise<ReleaseResult> {
    const before = this.lost;
    if (before !== undefined) return { released: false, lost: before };
    this.markLost("released");
    const limit = timeLimit(settleMs);
    const departure = await this.entry.leave(limit.signal).finally(() => limit.dispose());
    if (departure === "deleted") return { released: true };
    const reason = this.session.lost === undefined ? "deleted" : "session";
    const LostError = this.#kind === "lock" ? LockLostError : LeadershipLostError;
    return { released: false, lost: new LostError(this.name, this.token, reason, { cause: this.session.lost }) };
  }

  /** What is lost must not stay in the queue: if its key is there after all, it goes. */
  async #leaveBehind(): Promise<void> {
    try {
      await this.entry.leave(undefined);
    } catch {
      // Refused for good, for want of a permission: the key ends with its session. The loss itself has been told.
    }
  }

  #check(): void {
    if (this.#lost === undefined && this.session.lost !== undefined) this.markLost("session", this.session.lost);
  }

  /** Hears of it when somebody removes the key, which the session alone would not notice. */
  async #watchKey(startRevision: bigint): Promise<void> {
    for (let from = startRevision; this.#lost === undefined; ) {
      const watch = this.client.watch(this.key, { startRevision: from, only: "delete", resync: "error", ref: false });
      this.#watch = watch as Watch<unknown>;
      try {
        const { done } = await watch.next();
        if (done !== true) this.markLost("deleted");
        return;
      } catch (error) {
        // Closed client, withdrawn permission: the session's own end, or the next guarded write, will tell.
        if (!(error instanceof CompactedError) || this.#lost !== undefined) return;
        const revision = await this.#revisionWhereOwned();
        if (revision === undefined) return;
        from = revision + 1n;
      } finally {
        await watch.close();
      }
    }
  }

  /** Looks whether the key is still there; marks the loss if it is not. `undefined`: nothing more to watch for. */
  async #revisionWhereOwned(): Promise<bigint | undefined> {
    try {
      const result = await this.client.txn().if(this.ifOwner()).commit({ signal: this.session.signal });
      if (result.succeeded) return result.revision;
      this.markLost("deleted");
    } catch {
      // As above: other ways of finding out remain.
    }
    return undefined;
  }

  #publish(event: "released" | "lost"): void {
    if (!ownershipChannel.hasSubscribers) return;
    const ms = monotonicMs() - this.#sinceMs;
    ownershipChannel.publish({ kind: this.#kind, event, name: this.name, token: this.token, ms, error: this.#lost });
  }
}
