// Looks for an order of a history's operations that a store doing one thing at a time could have followed: the method
// of Wing and Gong with Lowe's just-in-time choice and memory of what was tried.
//
// A step takes an operation that was invoked before the first outstanding return, and that would answer, now, what its
// client was told. Two things keep the choice small. What changes nothing is taken as soon as it fits: it can only
// widen what may come next. And a client that was told a revision has named the place of its operation, so that mostly
// one candidate is left; the place is never believed, since operation, real time and answer must all fit there.
import type { Entry } from "./entry.ts";
import type { Change, RevisionChanges } from "./operation.ts";
import { isSameResult } from "./same-result.ts";
import { StoreModel } from "./store-model.ts";

export interface SearchOptions {
  readonly ignoresRevisions: boolean;
  /** What watchers saw of each revision. Of operations with unknown outcome only those are tried that fit. */
  readonly changes: ReadonlyMap<number, RevisionChanges> | undefined;
  /** Every revision up to here must be explained by some operation. */
  readonly explainedTo: number;
  /**
   * Tries operations of unknown outcome that change leases or compact at every point. Otherwise only where one that
   * waits would fit after it, or nothing else is left to try.
   */
  readonly isExhaustive: boolean;
  /** Choices to try before giving up. */
  readonly triesMax: number;
}

/** Where the search came furthest. */
export interface DeadEnd {
  /** In the order they were taken. */
  readonly taken: readonly Entry[];
  readonly revision: number;
  /** What might have come next, had it been told what it would have answered. */
  readonly blocked: readonly { readonly entry: Entry; readonly wouldAnswer: StoreModelAnswer }[];
}

type StoreModelAnswer = ReturnType<StoreModel["preview"]>;

export type SearchVerdict =
  | { readonly kind: "legal"; readonly order: readonly Entry[] }
  | { readonly kind: "illegal"; readonly deadEnd: DeadEnd }
  | { readonly kind: "undecided" };

/** A moment with more than one way on. */
interface Fork {
  readonly mark: number;
  readonly takenCount: number;
  readonly firstReturn: number;
  readonly firstUnplaced: number;
  readonly ways: Entry[];
}

export class Search {
  readonly #entries: readonly Entry[];
  readonly #options: SearchOptions;
  readonly #model = new StoreModel();
  readonly #isTaken: Uint8Array;
  readonly #taken: Entry[] = [];
  /** Entries that returned, in the order they did; those before `#firstReturn` are taken. */
  readonly #byReturn: readonly Entry[];
  #firstReturn = 0;
  /** Entries that returned without naming a revision, as invoked; those before `#firstUnplaced` are taken. */
  readonly #unplaced: readonly Entry[];
  #firstUnplaced = 0;
  /** Entries by the revision their client was told. */
  readonly #byRevision = new Map<number, Entry[]>();
  readonly #untakenAt = new Map<number, number>();
  readonly #unknown: readonly Entry[];
  /** Those of unknown outcome that may change something without a key. */
  readonly #silent: readonly Entry[];
  #outstanding = 0;
  /** Stands for the set of what is taken. */
  #setHash = 0;
  readonly #forks: Fork[] = [];
  readonly #tried = new Set<string>();
  #deadEnd: DeadEnd | undefined;

  constructor(entries: readonly Entry[], options: SearchOptions) {
    this.#entries = entries;
    this.#options = options;
    this.#isTaken = new Uint8Array(entries.length);
    const returned = entries.filter(({ isCertain }) => isCertain);
    this.#byReturn = [...returned].sort((a, b) => a.returnedAt - b.returnedAt);
    this.#unplaced = returned.filter(({ revision }) => revision === undefined);
    this.#unknown = entries.filter(({ isCertain }) => !isCertain);
    this.#silent = this.#unknown.filter(({ request: { kind } }) => kind === "compact" || kind.startsWith("lease-"));
    this.#outstanding = returned.length;
    for (const entry of returned) {
      if (entry.revision === undefined) continue;
      const others = this.#byRevision.get(entry.revision);
      if (others === undefined) this.#byRevision.set(entry.revision, [entry]);
      else others.push(entry);
      this.#untakenAt.set(entry.revision, (this.#untakenAt.get(entry.revision) ?? 0) + 1);
    }
  }

  run(): SearchVerdict {
    for (let tries = 0; tries < this.#options.triesMax; tries++) {
      this.#takeWhatChangesNothing();
      if (this.#outstanding === 0 && this.#model.revision >= this.#options.explainedTo) {
        return { kind: "legal", order: this.#taken };
      }
      const ways = this.#ways();
      if (ways.length > 1) {
        const key = `${this.#model.digest} ${this.#setHash} ${this.#taken.length}`;
        if (this.#tried.has(key)) ways.length = 0;
        else this.#tried.add(key);
      } else if (ways.length === 0) this.#noteDeadEnd();
      if (ways.length > 1) this.#fork(ways);
      const way = ways.length > 0 ? ways.shift() : this.#goBack();
      if (way === undefined) return { kind: "illegal", deadEnd: this.#deadEnd as DeadEnd };
      this.#take(way);
      if (this.#forks.length === 0) this.#model.forgetPast();
    }
    return { kind: "undecided" };
  }

  /** The first return that is still to come: what was invoked after it must wait. */
  get #bound(): number {
    while (this.#firstReturn < this.#byReturn.length && this.#isTaken[this.#byReturn[this.#firstReturn]!.at] === 1)
      this.#firstReturn++;
    return this.#byReturn[this.#firstReturn]?.returnedAt ?? Number.POSITIVE_INFINITY;
  }

  #isOpen(entry: Entry): boolean {
    return this.#isTaken[entry.at] === 0 && entry.invokedAt <= this.#bound;
  }

  /** Entries without a revision that may come now. */
  #openUnplaced(): Entry[] {
    while (this.#isTaken[this.#unplaced[this.#firstUnplaced]?.at ?? -1] === 1) this.#firstUnplaced++;
    const open: Entry[] = [];
    for (let at = this.#firstUnplaced; at < this.#unplaced.length; at++) {
      const entry = this.#unplaced[at] as Entry;
      if (entry.invokedAt > this.#bound) break;
      if (this.#isTaken[entry.at] === 0) open.push(entry);
    }
    return open;
  }

  #openAt(revision: number): Entry[] {
    return (this.#byRevision.get(revision) ?? []).filter((entry) => this.#isOpen(entry));
  }

  #takeWhatChangesNothing(): void {
    for (let hasTaken = true; hasTaken; ) {
      hasTaken = false;
      for (const entry of [...this.#openAt(this.#model.revision), ...this.#openUnplaced()]) {
        if (entry.effect === "revision" || entry.effect === "silent") continue;
        const answer = this.#model.preview(entry.request);
        if (answer.isChanged || !this.#fits(entry, answer)) continue;
        this.#record(entry);
        hasTaken = true;
      }
    }
  }

  #fits(entry: Entry, answer: StoreModelAnswer): boolean {
    if (entry.told !== undefined && !isSameResult(entry.told, answer.result, this.#options)) return false;
    if (entry.isCertain) return true;
    return answer.isChanged && (answer.changes === undefined || this.#agreesWithWatchers(answer.changes));
  }

  #agreesWithWatchers(made: RevisionChanges): boolean {
    const seen = this.#options.changes?.get(made.revision);
    if (this.#options.changes === undefined) return true;
    if (seen === undefined || seen.changes.length !== made.changes.length) return false;
    return seen.changes.every((change, at) => isSameChange(change, made.changes[at] as Change));
  }

  /** What may be taken next and changes something, the likeliest first. */
  #ways(): Entry[] {
    const { revision } = this.#model;
    const here = [...this.#openAt(revision), ...this.#openUnplaced()];
    const ways = here.filter((entry) => this.#changes(entry));
    // Whoever was told the present revision must come before the next one is made.
    if ((this.#untakenAt.get(revision) ?? 0) === 0) {
      ways.push(...this.#openAt(revision + 1).filter((entry) => this.#changes(entry)));
      if (!this.#isClaimed(revision + 1)) ways.push(...this.#unknownMakers(revision + 1));
    }
    ways.push(...this.#unknownSilent([...here, ...this.#openAt(revision + 1)], ways.length === 0));
    return ways;
  }

  /** Whether a client was told that its operation made this revision, so that no other can have. */
  #isClaimed(revision: number): boolean {
    const told = this.#byRevision.get(revision) ?? [];
    return told.some((entry) => entry.effect === "revision" && this.#isTaken[entry.at] === 0);
  }

  #changes(entry: Entry): boolean {
    if (entry.effect === "none") return false;
    const answer = this.#model.preview(entry.request);
    return answer.isChanged && this.#fits(entry, answer);
  }

  /**
   * Operations of unknown outcome that could have made a revision, those first that could make the fewest others. Of
   * equal requests one will do: whichever is left can still come at any later time.
   */
  #unknownMakers(revision: number): Entry[] {
    const seen = this.#options.changes?.get(revision);
    const makers = new Map<string, Entry>();
    for (const entry of this.#unknown) {
      if (!this.#isOpen(entry) || makers.has(entry.text) || !couldMake(entry, seen)) continue;
      const answer = this.#model.preview(entry.request);
      if (answer.changes !== undefined && this.#fits(entry, answer)) makers.set(entry.text, entry);
    }
    return [...makers.values()].sort((a, b) => a.breadth - b.breadth);
  }

  /**
   * Operations of unknown outcome that change no key, if one that waits would fit after them. When nothing else is left
   * to try, those that have a lease in common with one that waits.
   */
  #unknownSilent(waiting: readonly Entry[], isLastResort: boolean): Entry[] {
    const { isExhaustive } = this.#options;
    const unfit = waiting.filter((entry) => entry.leases.size > 0 || canBeCompacted(entry));
    const leases = new Set(unfit.flatMap((entry) => [...entry.leases]));
    const hasCompacted = unfit.some(canBeCompacted);
    const seen = this.#options.changes?.get(this.#model.revision + 1);
    if (isLastResort) for (const { keyValue } of seen?.changes ?? []) leases.add(keyValue.lease);
    return this.#silent.filter((entry) => {
      const isNamed = entry.request.kind === "compact" ? hasCompacted : [...entry.leases].some((id) => leases.has(id));
      return (
        (isExhaustive || isNamed) && this.#isOpen(entry) && this.#helps(entry, unfit, isExhaustive || isLastResort)
      );
    });
  }

  /** Whether an operation changes something and no key, and makes one of those that wait fit, if that is asked for. */
  #helps(entry: Entry, waiting: readonly Entry[], isEnough: boolean): boolean {
    const mark = this.#model.mark();
    const answer = this.#model.apply(entry.request);
    const helps =
      answer.isChanged &&
      answer.changes === undefined &&
      (isEnough || waiting.some((other) => this.#fits(other, this.#model.preview(other.request))));
    this.#model.goBack(mark);
    return helps;
  }

  #take(entry: Entry): void {
    this.#model.apply(entry.request);
    this.#record(entry);
  }

  #record(entry: Entry): void {
    this.#isTaken[entry.at] = 1;
    this.#taken.push(entry);
    this.#setHash ^= scramble(entry.at);
    this.#count(entry, -1);
  }

  #count(entry: Entry, by: number): void {
    if (!entry.isCertain) return;
    this.#outstanding += by;
    if (entry.revision !== undefined)
      this.#untakenAt.set(entry.revision, (this.#untakenAt.get(entry.revision) ?? 0) + by);
  }

  #fork(ways: Entry[]): void {
    this.#forks.push({
      mark: this.#model.mark(),
      takenCount: this.#taken.length,
      firstReturn: this.#firstReturn,
      firstUnplaced: this.#firstUnplaced,
      ways,
    });
  }

  /** Returns to the last fork with a way left, and gives that way. */
  #goBack(): Entry | undefined {
    for (;;) {
      const fork = this.#forks.at(-1);
      if (fork === undefined) return undefined;
      this.#model.goBack(fork.mark);
      while (this.#taken.length > fork.takenCount) {
        const entry = this.#taken.pop() as Entry;
        this.#isTaken[entry.at] = 0;
        this.#setHash ^= scramble(entry.at);
        this.#count(entry, 1);
      }
      this.#firstReturn = fork.firstReturn;
      this.#firstUnplaced = fork.firstUnplaced;
      const way = fork.ways.shift();
      if (fork.ways.length === 0) this.#forks.pop();
      if (way !== undefined) return way;
    }
  }

  #noteDeadEnd(): void {
    if (this.#deadEnd !== undefined && this.#deadEnd.taken.length >= this.#taken.length) return;
    const { revision } = this.#model;
    const blocked = this.#entries
      .filter((entry) => entry.isCertain && this.#isOpen(entry))
      .map((entry) => ({ entry, wouldAnswer: this.#model.preview(entry.request) }));
    this.#deadEnd = { taken: [...this.#taken], revision, blocked };
  }
}

/** Whether it matters to an entry what was compacted. */
function canBeCompacted({ told, request }: Entry): boolean {
  if (told?.kind === "refused") return told.reason === "compacted";
  return request.kind === "compact";
}

/** A quick look, before the model is asked. */
function couldMake({ request }: Entry, seen: RevisionChanges | undefined): boolean {
  if (request.kind === "range" || request.kind === "compact" || request.kind === "lease-grant") return false;
  if (seen === undefined || request.kind === "txn") return true;
  if (request.kind !== "put") return seen.changes.every(({ kind }) => kind === "delete");
  const change = seen.changes[0];
  return change?.kind === "put" && change.keyValue.key === request.key;
}

function isSameChange(a: Change, b: Change): boolean {
  return (
    a.kind === b.kind &&
    a.keyValue.key === b.keyValue.key &&
    a.keyValue.value === b.keyValue.value &&
    a.keyValue.version === b.keyValue.version &&
    a.keyValue.lease === b.keyValue.lease &&
    a.keyValue.createRevision === b.keyValue.createRevision &&
    a.keyValue.modRevision === b.keyValue.modRevision
  );
}

function scramble(number: number): number {
  let z = Math.imul(number + 1, 0x9e3779b1);
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  return z ^ (z >>> 13);
}
