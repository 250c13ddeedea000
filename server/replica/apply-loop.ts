// Applies committed entries one after the other, tells watchers, then answers whoever waits. Nothing in it waits: one
// entry is applied without interruption, and between batches the event loop gets its turn.
import type { Clock } from "../lib/clock.ts";
import type { Counter, Gauge, Metrics } from "../lib/metrics.ts";
import { type Entry, entrySizeBytes } from "../raft/types.ts";
import type { ProposalId } from "../state/command-codec.ts";
import type { EventBatch } from "../state/mvcc/events.ts";
import type { ApplyOutcome } from "../state/outcome.ts";
import type { StateMachine } from "../state/state-machine.ts";
import type { ProposalTable } from "./proposals.ts";

export interface ApplyLoopOptions {
  readonly machine: StateMachine;
  readonly proposals: ProposalTable;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Watchers are told before the caller is answered: whoever saw its write acknowledged finds it on its watch. */
  readonly onEvents: (batch: EventBatch) => void;
  /** A command's outcome, for this member's own duties. */
  readonly onOutcome: (outcome: ApplyOutcome, entry: Entry) => void;
  /** Applies a change of membership, state machine included. */
  readonly applyConfChange: (entry: Entry) => { readonly id: ProposalId; readonly outcome: ApplyOutcome } | undefined;
  /** An entry of this place in the log was applied, whoever proposed it. */
  readonly onEntry: (entry: Entry, id: ProposalId | undefined) => void;
  /** Everything up to `index` was applied. */
  readonly onApplied: (index: number) => void;
  /** While it answers true nothing is applied; {@link ApplyLoop.resume} says when to look again. */
  readonly isPaused: () => boolean;
  /** An entry could not be applied. The state cannot be trusted any more, so the process must stop. */
  readonly onFailed: (error: unknown) => void;
}

/** Work done before the event loop gets its turn. */
const batchMs = 4;
/** The clock is looked at once in this many bytes of entries. */
const clockCheckBytes = 32 * 1024;

export class ApplyLoop {
  readonly #options: ApplyLoopOptions;
  readonly #appliedGauge: Gauge;
  readonly #slowApplies: Counter;
  #queue: Entry[] = [];
  #head = 0;
  #isScheduled = false;
  #isClosed = false;

  constructor(options: ApplyLoopOptions) {
    this.#options = options;
    this.#appliedGauge = options.metrics.gauge("etcd_server_proposals_applied_total");
    this.#slowApplies = options.metrics.counter("etcd_server_slow_apply_total");
  }

  /** Entries that were handed in and not applied. */
  get backlog(): number {
    return this.#queue.length - this.#head;
  }

  /** Takes committed entries, in order, and applies what it may at once. */
  add(entries: readonly Entry[]): void {
    // What was applied goes, also from a queue that never runs empty.
    if (this.#head === this.#queue.length || this.#head > 4096) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    for (const entry of entries) this.#queue.push(entry);
    if (!this.#isScheduled) this.#run();
  }

  /** Goes on after a pause. */
  resume(): void {
    if (this.backlog > 0 && !this.#isScheduled) this.#schedule();
  }

  #schedule(): void {
    this.#isScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#isScheduled = false;
      this.#run();
    });
  }

  #run(): void {
    const { clock, machine } = this.#options;
    if (this.#isClosed || this.backlog === 0 || this.#options.isPaused()) return;
    const startedMs = clock.nowMs();
    let unchecked = 0;
    try {
      while (this.#head < this.#queue.length && !this.#isClosed) {
        const entry = this.#queue[this.#head] as Entry;
        this.#head++;
        this.#applyEntry(entry);
        unchecked += entrySizeBytes(entry);
        if (unchecked < clockCheckBytes) continue;
        unchecked = 0;
        if (clock.nowMs() - startedMs >= batchMs) break;
      }
    } catch (error) {
      this.#isClosed = true;
      this.#options.onFailed(error);
      return;
    }
    // etcd counts an apply as slow from 100 ms on.
    if (clock.nowMs() - startedMs >= 100) this.#slowApplies.add(1);
    this.#appliedGauge.set(machine.appliedIndex);
    if (this.backlog > 0) this.#schedule();
    this.#options.onApplied(machine.appliedIndex);
  }

  #applyEntry(entry: Entry): void {
    const { machine, proposals } = this.#options;
    if (entry.kind === "no-op") {
      machine.apply(entry.index, entry.term, undefined);
      this.#options.onEntry(entry, undefined);
      return;
    }
    if (entry.kind === "conf-change") {
      const applied = this.#options.applyConfChange(entry);
      this.#options.onEntry(entry, applied?.id);
      if (applied !== undefined) proposals.resolve(applied.id, applied.outcome);
      return;
    }
    const { id, command } = proposals.envelopeOf(entry.data);
    const outcome = machine.apply(entry.index, entry.term, command);
    if (outcome.events !== undefined) this.#options.onEvents(outcome.events);
    this.#options.onOutcome(outcome, entry);
    this.#options.onEntry(entry, id);
    proposals.resolve(id, outcome);
  }

  /** Forgets what was handed in: a snapshot is about to take its place. */
  drop(): void {
    this.#queue = [];
    this.#head = 0;
  }

  close(): void {
    this.#isClosed = true;
  }
}
