// Keeps one key as it should be, under a lease, whatever happens: writes it, writes it again under a new session when the
// old one is lost or the key was removed, takes it away when it is no longer wanted. Each write demands the version that
// was last seen, so none can undo a newer one, and what became of a write without an answer is found out before the next.
import { bytes, ClientError, type ClientErrorCode, compare, type KeyValue, op, type Watch } from "../sdk/index.ts";
import { RecipeError, SessionLostError } from "./errors.ts";
import { type Turn, takeTurnNow } from "./local-queue.ts";
import { throwIfNoLease } from "./queue-entry.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./session-source.ts";
import { followSignals, mayPass, pauseMs, sleep } from "./waiting.ts";

/** How a stored value relates to what is kept. */
export type Authorship = "this" | "earlier" | "foreign";

export interface KeptKeyOptions {
  readonly sessions: Sessions;
  readonly key: string;
  /** The value to write: `epoch` counts the times it had to be made anew, `version` the writes. */
  readonly value: (epoch: number, version: number) => string;
  /** Whether a stored value is the one of this epoch and version, an earlier one of ours, or somebody else's. */
  readonly authorOf: (value: Uint8Array, epoch: number, version: number) => Authorship;
  /** The key is as it should be. */
  readonly onWritten: (session: Session, revision: bigint) => void;
  /** The key is gone and nobody asked for it; it will be made anew. */
  readonly onVanished: (session: Session) => void;
  /** Somebody else has written the key. It is left to them, for good. */
  readonly onReplaced: () => void;
  /** Something failed; it will be tried again. */
  readonly onTrouble: (error: unknown) => void;
  /** Something failed that trying again will not mend. Nothing more will happen. */
  readonly onFailed: (error: unknown) => void;
}

interface Written {
  readonly session: Session;
  readonly version: number;
  readonly modRevision: bigint;
}

export class KeptKey {
  readonly #options: KeptKeyOptions;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #isWanted = false;
  #version = 0;
  #epoch = 1;
  /** The next write begins a new incarnation. */
  #isAnew = false;
  #turn: { readonly session: Session; readonly turn: Turn } | undefined;
  #written: Written | undefined;
  /** True once the key has been ours: from then on a foreign value means that we were replaced. */
  #hasBeenOurs = false;
  #isReplaced = false;
  #watch: Watch<Uint8Array> | undefined;
  #wake: (() => void) | undefined;
  #isNews = false;
  #failure: unknown;
  readonly #waiting = new Set<() => void>();

  constructor(options: KeptKeyOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** True once the key has been written. */
  get hasBeenOurs(): boolean {
    return this.#hasBeenOurs;
  }

  /** Waits until the key is written, without asking for it. */
  async untilWritten(signal?: AbortSignal): Promise<void> {
    await this.#until(() => this.#written !== undefined, signal);
  }

  /** Has the key written, or written anew with what `value` says now. Returns once it is, see {@link settled}. */
  async want(signal?: AbortSignal): Promise<void> {
    this.#isWanted = true;
    this.#version += 1;
    this.#tell();
    const version = this.#version;
    await this.#until(() => (this.#written?.version ?? 0) >= version, signal);
  }

  /** Has the key taken away. Returns once it is gone, or somebody else's. */
  async unwant(signal?: AbortSignal): Promise<void> {
    this.#isWanted = false;
    this.#tell();
    await this.#until(() => this.#isGone, signal);
  }

  /** Takes the key away and ends. `patience` bounds the waiting; then the work goes on until the session ends. */
  async close(patience?: AbortSignal): Promise<void> {
    try {
      await this.unwant(patience);
    } finally {
      if (this.#isGone) await this.#end();
      else
        void this.unwant().then(
          () => this.#end(),
          () => undefined,
        );
    }
  }

  get #isGone(): boolean {
    return this.#written === undefined && (this.#turn === undefined || this.#turn.session.lost !== undefined);
  }

  async #end(): Promise<void> {
    this.#ending.abort();
    this.#tell();
    await this.#watch?.close();
    await this.#running;
  }

  /** Waits until `isReached`; rejects when that cannot be any more, or `signal` aborts. */
  async #until(isReached: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const settle = (end: () => void): void => {
        this.#waiting.delete(look);
        signal?.removeEventListener("abort", look);
        end();
      };
      const look = (): void => {
        if (isReached()) settle(resolve);
        else if (signal?.aborted) settle(() => reject(signal.reason));
        else if (this.#failure !== undefined) settle(() => reject(this.#failure));
      };
      this.#waiting.add(look);
      signal?.addEventListener("abort", look, { once: true });
      look();
    });
  }

  #notify(): void {
    for (const look of [...this.#waiting]) look();
  }

  #tell(): void {
    this.#isNews = true;
    this.#wake?.();
  }

  // --- the loop ---

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    for (let attempt = 1; !signal.aborted; ) {
      try {
        this.#isNews = false;
        await this.#reconcile();
        attempt = 1;
        this.#notify();
        await this.#untilNews();
      } catch (error) {
        if (signal.aborted) return;
        if (isFinal(error)) {
          this.#fail(error);
          this.#options.onFailed(error);
        }
        if (this.#failure !== undefined) return;
        this.#options.onTrouble(error);
        await this.#pause(pauseMs(attempt++));
      }
    }
  }

  #fail(error: unknown): void {
    this.#failure = error;
    this.#isWanted = false;
    this.#turn?.turn.leave();
    this.#turn = undefined;
    this.#notify();
  }

  async #reconcile(): Promise<void> {
    if (this.#isReplaced) return;
    if (!this.#isWanted) return this.#remove();
    const session = await this.#session();
    if (!this.#isWanted) return this.#remove();
    await this.#takeTurn(session);
    const written = this.#written;
    if (written?.session === session && written.version >= this.#version) {
      if (this.#watch === undefined) void this.#follow(session, written.modRevision + 1n);
      return;
    }
    // A new session is a new incarnation, though the key may still be there from the old one.
    if (written !== undefined && written.session !== session) this.#isAnew = true;
    await this.#write(session);
  }

  async #session(): Promise<Session> {
    try {
      return await this.#options.sessions.get(this.#ending.signal);
    } catch (error) {
      // The one session that it may use, and there will be no other.
      if (error instanceof SessionLostError) throw new RecipeError("SESSION_LOST", error.message, { cause: error });
      throw error;
    }
  }

  /** One key of one session has one keeper in a process: two would undo each other's work. */
  async #takeTurn(session: Session): Promise<void> {
    if (this.#turn?.session === session) return;
    this.#turn?.turn.leave();
    this.#turn = undefined;
    const turn = await takeTurnNow(session, this.#options.key);
    if (turn === undefined) {
      throw new RecipeError("CONFLICT", `${this.#options.key} is registered already by this process`);
    }
    this.#turn = { session, turn };
  }

  async #write(session: Session): Promise<void> {
    const { key, value, authorOf } = this.#options;
    const { client } = session;
    let expected: bigint;
    if (this.#written !== undefined) expected = this.#written.modRevision;
    else {
      // First contact: whoever registered the key before gives way, unless it was us.
      const there = await client.kv.get(key, { codec: bytes, signal: session.signal });
      if (this.#isForeign(there) && this.#hasBeenOurs) return this.#onReplaced();
      expected = there?.modRevision ?? 0n;
    }
    for (;;) {
      if (this.#isAnew && this.#hasBeenOurs) this.#epoch += 1;
      this.#isAnew = false;
      const version = this.#version;
      const epoch = this.#epoch;
      const attempt = client
        .txn()
        .if(compare(key).modRevision("==", expected))
        .then(op.put(key, value(epoch, version), { leaseId: session.id }))
        .else(op.get(key, { codec: bytes }));
      const result = await this.#send(attempt, session);
      if (result.succeeded) return this.#onWritten(session, version, result.revision);
      this.#written = undefined;
      const now = result.responses[0];
      // A write without an answer that was carried out after all.
      if (now !== undefined && authorOf(now.value, epoch, version) === "this") {
        return this.#onWritten(session, version, now.modRevision);
      }
      if (this.#isForeign(now) && this.#hasBeenOurs) return this.#onReplaced();
      // Whatever is there now is what the next try demands.
      expected = now?.modRevision ?? 0n;
    }
  }

  #isForeign(now: KeyValue<Uint8Array> | undefined): boolean {
    return now !== undefined && this.#options.authorOf(now.value, this.#epoch, this.#version) === "foreign";
  }

  /** Deletes the key if it is still as it was last written here. */
  async #remove(): Promise<void> {
    const { key } = this.#options;
    const held = this.#turn;
    if (held === undefined) return;
    const { session, turn } = held;
    while (session.lost === undefined) {
      // Where a write got no answer, what is there decides; what may still come is the sweeper's.
      const known = this.#written?.modRevision ?? (turn.isTainted ? await this.#revisionOfOwn(session) : undefined);
      if (known === undefined) break;
      const removal = session.client.txn().if(compare(key).modRevision("==", known)).then(op.delete(key));
      const result = await this.#send(removal.else(op.get(key, { codec: bytes })), session);
      this.#written = undefined;
      const now = result.succeeded ? undefined : result.responses[0];
      if (now === undefined || this.#isForeign(now)) break;
    }
    this.#written = undefined;
    this.#isAnew = true;
    this.#turn = undefined;
    turn.leave();
  }

  async #revisionOfOwn(session: Session): Promise<bigint | undefined> {
    const now = await session.client.kv.get(this.#options.key, { codec: bytes, signal: session.signal });
    return this.#isForeign(now) ? undefined : now?.modRevision;
  }

  /** Commits until there is an answer. Repeating is safe: each of these demands the version that it replaces. */
  async #send<T>(txn: { commit(options: { signal: AbortSignal }): Promise<T> }, session: Session): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await txn.commit({ signal: session.signal });
      } catch (error) {
        if (error instanceof ClientError && error.outcome === "unknown") this.#turn?.turn.taint();
        throwIfNoLease(session, error);
        session.throwIfLost();
        if (!mayPass(error)) throw error;
        await sleep(pauseMs(attempt), session.signal, false);
      }
    }
  }

  #onWritten(session: Session, version: number, modRevision: bigint): void {
    this.#written = { session, version, modRevision };
    this.#hasBeenOurs = true;
    this.#options.onWritten(session, modRevision);
    if (this.#watch === undefined) void this.#follow(session, modRevision + 1n);
  }

  #onReplaced(): void {
    this.#isReplaced = true;
    this.#isWanted = false;
    this.#written = undefined;
    this.#turn?.turn.leave();
    this.#turn = undefined;
    this.#options.onReplaced();
    this.#fail(new RecipeError("REPLACED", `${this.#options.key} was registered by somebody else`));
  }

  // --- what happens to the key ---

  async #follow(session: Session, startRevision: bigint): Promise<void> {
    const watch = session.client.watch(this.#options.key, { startRevision, codec: bytes, ref: false });
    this.#watch = watch;
    try {
      for await (const { events, isWhole, revision } of watch) {
        if (isWhole && events.length === 0) this.#onDeleted(revision);
        for (const event of events) {
          if (event.type === "put") this.#onPut(event.kv);
          else this.#onDeleted(event.modRevision);
        }
      }
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      // Without it a removal by another hand goes unnoticed: it is begun anew in a moment.
      this.#options.onTrouble(error);
      void sleep(pauseMs(10), this.#ending.signal, false).then(() => this.#tell());
    } finally {
      this.#watch = undefined;
    }
  }

  #onPut(kv: KeyValue<Uint8Array>): void {
    const isNews = this.#written === undefined || kv.modRevision > this.#written.modRevision;
    if (!isNews || !this.#isWanted || !this.#isForeign(kv)) return;
    this.#onReplaced();
    this.#tell();
  }

  #onDeleted(revision: bigint): void {
    const written = this.#written;
    if (written === undefined || revision <= written.modRevision || !this.#isWanted) return;
    this.#written = undefined;
    this.#isAnew = true;
    this.#version += 1;
    this.#options.onVanished(written.session);
    // The session may have ended without our knowing; then everything else under it should know, too.
    void written.session.doubt();
    this.#tell();
  }

  /** Waits until there is something to do. */
  async #untilNews(): Promise<void> {
    const scope = followSignals(this.#ending.signal, this.#turn?.session.signal);
    try {
      await new Promise<void>((resolve) => {
        if (this.#isNews || scope.signal.aborted) return resolve();
        this.#wake = resolve;
        scope.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    } finally {
      this.#wake = undefined;
      scope.stop();
    }
  }

  async #pause(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const scope = followSignals(woken.signal, this.#ending.signal);
    await sleep(ms, scope.signal, false);
    scope.stop();
    this.#wake = undefined;
  }
}

/** Beside what may pass at any time: the lease ended on the way, space may be made, a lost session ended the call. */
const mayPassLater: ReadonlySet<ClientErrorCode> = new Set(["LEASE_NOT_FOUND", "NO_SPACE", "ABORTED"]);

/** What will not get better by trying again. A session that is lost on the way does: there will be another. */
function isFinal(error: unknown): boolean {
  if (error instanceof SessionLostError) return false;
  if (error instanceof RecipeError) return true;
  if (!(error instanceof ClientError)) return true;
  return !mayPassLater.has(error.code) && !mayPass(error);
}
