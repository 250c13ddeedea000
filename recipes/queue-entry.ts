// A place in the queue for a name: how it is taken, how one waits in it, how one leaves it. Locks and elections are both
// made of it. The rules:
// - the key is made only if it is absent, under the session's lease; its create revision is the place in the queue;
// - one waits for the immediate predecessor alone, so that a release wakes one waiter and not all of them;
// - one owns the name when a single linearizable read shows the own key at its own create revision and nobody before it.
//   To find the own key is not enough: it may have been deleted and made anew, behind others.
// - whoever stops waiting takes the key away again and says so only when it is gone, or that it could not find out.
import { ClientError, CompactedError, compare, type KeyInfo, op } from "../sdk/index.ts";
import { contenderKey, isContender, type Predecessor, predecessorAmong, queuePrefix } from "./contenders.ts";
import { RecipeError, UnconfirmedError } from "./errors.ts";
import type { Turn } from "./local-queue.ts";
import type { Session } from "./session.ts";
import { followSignals, mayPass, type Patience, pauseMs, sleep, untilAborted } from "./waiting.ts";

/** Keys looked at to find the predecessor. More are read only where longer names crowd the prefix. */
const lookBackMax = 8;

interface Position {
  /** Revision at which the queue was seen like this. */
  readonly revision: bigint;
  /** `undefined`: nobody comes before, the name is owned. */
  readonly predecessor: Predecessor | undefined;
}

/** How a key went: we deleted it, it was not ours any more, or it dies with its session. */
export type Departure = "deleted" | "absent" | "session";

export class QueueEntry {
  readonly session: Session;
  readonly name: string;
  readonly key: string;
  readonly #value: string;
  readonly #turn: Turn;
  #token = 0n;
  #leaving: Promise<Departure> | undefined;

  constructor(session: Session, turn: Turn, name: string, value: string) {
    this.session = session;
    this.name = name;
    this.key = contenderKey(name, session.id);
    this.#value = value;
    this.#turn = turn;
  }

  /** Create revision of the key: the place in the queue, later the fencing token. */
  get token(): bigint {
    return this.#token;
  }

  /** The condition that the key is still the one that was made here. */
  isOwn() {
    return compare(this.key).createRevision("==", this.#token);
  }

  /**
   * Joins the queue and waits for its head. Resolves with the revision at which the name was seen to be owned. When it
   * rejects, the place in the queue is gone again, or the error is an {@link UnconfirmedError}.
   */
  async waitForTurn(patience: Patience): Promise<bigint> {
    try {
      let position = await this.#join(patience);
      while (position.predecessor !== undefined) {
        await this.#untilGone(position.predecessor, position.revision, patience);
        position = await this.#look(patience);
      }
      this.session.throwIfLost();
      // Whoever gave up must not be handed something to hold; time that ran out at the last moment does no harm.
      if (patience.isGivenUp) throw patience.error;
      return position.revision;
    } catch (error) {
      throw await this.#abandon(error, patience);
    }
  }

  /**
   * Joins the queue only if nobody is in it, and tells the revision at which the name was seen to be owned; `undefined`
   * when somebody else is in the queue.
   */
  async takeIfFree(patience: Patience): Promise<bigint | undefined> {
    try {
      const position = await this.#join(patience, true);
      if (position !== undefined && position.predecessor === undefined) {
        this.session.throwIfLost();
        return position.revision;
      }
    } catch (error) {
      throw await this.#abandon(error, patience);
    }
    if (this.#token !== 0n) await this.leave(patience.settled);
    else this.#turn.leave();
    return undefined;
  }

  /**
   * Takes the key away, and resolves when it is gone: deleted, or left to die with a session that is lost. `patience`
   * bounds the waiting only; the work goes on in the background. Calling it twice is fine.
   *
   * @throws {UnconfirmedError} `patience` ended first.
   */
  async leave(patience: AbortSignal | undefined): Promise<Departure> {
    this.#leaving ??= this.#leave();
    if (patience === undefined) return this.#leaving;
    try {
      return await untilAborted(this.#leaving, patience);
    } catch (cause) {
      if (!patience.aborted) throw cause;
      throw new UnconfirmedError(`${this.key}: could not make sure that it is gone; still trying`, { cause });
    }
  }

  // --- joining ---

  async #join(patience: Patience): Promise<Position>;
  async #join(patience: Patience, isOnlyIfFree: true): Promise<Position | undefined>;
  async #join(patience: Patience, isOnlyIfFree = false): Promise<Position | undefined> {
    const { client, id: leaseId } = this.session;
    const prefix = { prefix: queuePrefix(this.name) };
    const nearest = op.keys(prefix, { sort: { by: "createRevision", order: "descending" }, limit: lookBackMax });
    const attempt = client
      .txn()
      .if(compare(isOnlyIfFree ? prefix : this.key).missing())
      .then(op.put(this.key, this.#value, { leaseId }), nearest)
      .else(op.get(this.key, { codec: anyValue }), op.keys(prefix));
    // Not under the caller's signal: a request that was sent is waited for, so that its key is known and can be deleted.
    const result = await this.#persist(
      patience,
      (signal) => attempt.commit({ signal }),
      () => this.#turn.taint(),
    );
    if (result.succeeded) {
      this.#token = result.revision;
      const [, keys] = result.responses;
      const predecessor = predecessorAmong(this.name, keys, this.#token);
      // As many keys as were asked for and none of a contender among them: there may be one further back.
      if (predecessor === undefined && keys.length >= lookBackMax) return this.#look(patience);
      return { revision: result.revision, predecessor };
    }
    const [own, keys] = result.responses;
    if (own !== undefined) {
      this.#adopt(own.createRevision, own.leaseId);
      return this.#look(patience);
    }
    // Only with isOnlyIfFree. Keys of longer names do not count.
    if (keys.some(({ key }) => isContender(this.name, key))) return undefined;
    return this.#join(patience);
  }

  /**
   * The key was there already. It is ours if a request of ours got no answer: then that one made it. Otherwise somebody
   * else works under the same lease, and taking the key for ours would be sharing a lock without knowing.
   */
  #adopt(createRevision: bigint, leaseId: bigint): void {
    if (!this.#turn.isTainted || leaseId !== this.session.id) {
      throw new RecipeError("CONFLICT", `${this.key} exists already: another program uses the same lease for it`);
    }
    this.#token = createRevision;
  }

  // --- waiting ---

  /** Reads, in one linearizable step, whether the own key is as it was made and who comes right before it. */
  async #look(patience: Patience): Promise<Position> {
    const { client } = this.session;
    const before = this.#keysBefore(this.#token);
    const { responses, revision } = await this.#persist(patience, (signal) =>
      client
        .txn()
        .then(op.get(this.key, { codec: anyValue }), before)
        .commit({ signal }),
    );
    const [own, keys = []] = responses;
    if (own?.createRevision !== this.#token) {
      throw new RecipeError("REMOVED", `${this.key}: the place in the queue was removed while waiting for its turn`);
    }
    return { revision, predecessor: await this.#predecessorAmong(keys, revision, patience) };
  }

  #keysBefore(token: bigint, revision?: bigint) {
    return op.keys(
      { prefix: queuePrefix(this.name) },
      {
        sort: { by: "createRevision", order: "descending" },
        limit: lookBackMax,
        createRevision: { max: token - 1n },
        ...(revision === undefined ? {} : { revision }),
      },
    );
  }

  /** Looks further back, at the same revision, as long as there are only keys of longer names. */
  async #predecessorAmong(
    keys: readonly KeyInfo[],
    revision: bigint,
    patience: Patience,
  ): Promise<Predecessor | undefined> {
    let page = keys;
    for (;;) {
      const found = predecessorAmong(this.name, page, this.#token);
      const last = page.at(-1);
      if (found !== undefined || page.length < lookBackMax || last === undefined || last.createRevision <= 1n)
        return found;
      const further = this.#keysBefore(last.createRevision, revision);
      const { responses } = await this.#persist(patience, (signal) =>
        this.session.client.txn().then(further).commit({ signal }),
      );
      page = responses[0] ?? [];
    }
  }

  /** Waits until the predecessor's key is deleted, by a watch on that key alone. */
  async #untilGone(predecessor: Predecessor, revision: bigint, patience: Patience): Promise<void> {
    const scope = followSignals(this.session.signal, patience.signal);
    const watch = this.session.client.watch(predecessor.key, {
      startRevision: revision + 1n,
      only: "delete",
      resync: "error",
      signal: scope.signal,
    });
    try {
      await watch.next();
    } catch (error) {
      if (scope.signal.aborted) throw scope.signal.reason;
      // What happened meanwhile is forgotten on the server; looking again tells where things stand.
      if (!(error instanceof CompactedError)) throw error;
    } finally {
      scope.stop();
      await watch.close();
    }
  }

  /**
   * Makes a call again and again until it is answered: what passes here may be repeated, since it only reads, or creates
   * what is absent. `onUnknown` hears of each request whose outcome stays open.
   */
  async #persist<T>(
    patience: Patience,
    call: (signal: AbortSignal) => Promise<T>,
    onUnknown: () => void = () => undefined,
  ): Promise<T> {
    const scope = followSignals(this.session.signal, patience.settled);
    try {
      for (let attempt = 1; ; attempt++) {
        this.session.throwIfLost();
        if (patience.signal.aborted) throw patience.error;
        try {
          return await call(scope.signal);
        } catch (error) {
          if (error instanceof ClientError && error.outcome === "unknown") onUnknown();
          throwIfNoLease(this.session, error);
          this.session.throwIfLost();
          if (scope.signal.aborted || !mayPass(error)) throw error;
        }
        await sleep(pauseMs(attempt), patience.signal);
      }
    } finally {
      scope.stop();
    }
  }

  // --- leaving ---

  /** Takes the place in the queue away and returns what the caller of the acquisition is told. */
  async #abandon(error: unknown, patience: Patience): Promise<unknown> {
    const isOver = patience.signal.aborted;
    patience.end();
    try {
      await this.leave(patience.settled);
    } catch (unconfirmed) {
      // The more telling of the two is that something may be left behind; why it was given up is its cause.
      return unconfirmed instanceof UnconfirmedError
        ? new UnconfirmedError(unconfirmed.message, { cause: isOver ? patience.error : error })
        : unconfirmed;
    }
    return this.session.lost ?? (isOver ? patience.error : error);
  }

  async #leave(): Promise<Departure> {
    try {
      return await this.#delete();
    } finally {
      this.#turn.leave();
    }
  }

  /** Deletes the key unless it is not ours. Deleting by create revision or lease is safe to repeat. */
  async #delete(): Promise<Departure> {
    if (this.#token === 0n && !this.#turn.isTainted) return "absent"; // Nothing was ever made.
    const { client, id, signal } = this.session;
    const isOurs = this.#token === 0n ? compare(this.key).leaseId("==", id) : this.isOwn();
    const removal = client.txn().if(isOurs).then(op.delete(this.key));
    let isUnanswered = false;
    for (let attempt = 1; this.session.lost === undefined; attempt++) {
      try {
        const { succeeded } = await removal.commit({ signal });
        // Where an earlier try got no answer, that one may have done it.
        return succeeded || isUnanswered ? "deleted" : "absent";
      } catch (error) {
        if (this.session.lost !== undefined) break;
        if (!mayPass(error)) throw error;
        isUnanswered ||= error.outcome === "unknown";
        await sleep(pauseMs(attempt), signal, false);
      }
    }
    return "session";
  }
}

/** The value is of no interest and may be anything. */
const anyValue = {
  name: "any",
  encode: (value: Uint8Array) => value,
  decode: (stored: Uint8Array): Uint8Array => stored,
};

/** "No such lease" is the end of the session, whatever the keepalive has heard so far. */
export function throwIfNoLease(session: Session, error: unknown): void {
  if (!(error instanceof ClientError) || error.code !== "LEASE_NOT_FOUND") return;
  session.disown(error.message, error);
  session.throwIfLost();
}
