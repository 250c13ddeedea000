// Commands of this member's clients on their way through the log, and the clients that wait for them.
import type { Clock, Timer } from "../lib/clock.ts";
import type { Gauge, Metrics } from "../lib/metrics.ts";
import type { Command } from "../state/command.ts";
import { type CommandEnvelope, decodeEnvelope, type ProposalId, proposalIdOf } from "../state/command-codec.ts";
import type { ApplyOutcome } from "../state/outcome.ts";
import { ReplicaError } from "./errors.ts";
import { mutated } from "./mutations.ts";

/** Who waits for what becomes of a command. Exactly one of its methods is called, once, and must not throw. */
export interface OutcomeWaiter {
  /** The command was applied. Called while entries are being applied: to be brief. */
  onOutcome(outcome: ApplyOutcome): void;
  onFailure(error: ReplicaError): void;
}

interface Waiting {
  readonly sequence: number;
  readonly command: Command;
  /** As it goes into the log; undefined for what is not to be proposed again. */
  readonly data: Uint8Array | undefined;
  readonly waiter: OutcomeWaiter;
  readonly deadlineMs: number;
}

/** The same as a promise. */
export function outcomeOf(start: (waiter: OutcomeWaiter) => void): Promise<ApplyOutcome> {
  return new Promise((resolve, reject) => start({ onOutcome: resolve, onFailure: reject }));
}

/** How often deadlines are looked at. An answer may come this much late; there is no timer per request. */
const sweepMs = 250;
const slotsMin = 256;

export class ProposalTable {
  readonly #proposer: number;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #pendingGauge: Gauge;
  readonly #failed: { add(amount: number): void };
  /** By the last bits of the sequence: numbers that wait at the same time are near each other. */
  #slots: (Waiting | undefined)[] = Array.from({ length: slotsMin }, () => undefined);
  #size = 0;
  #sequence = 0;
  /** Nobody waits whose sequence is before this one. */
  #oldest = 1;
  #timer: Timer | undefined;

  constructor(options: { proposer: number; clock: Clock; timeoutMs: number; metrics: Metrics }) {
    this.#proposer = options.proposer >>> 0;
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
    this.#pendingGauge = options.metrics.gauge("etcd_server_proposals_pending");
    this.#failed = options.metrics.counter("etcd_server_proposals_failed_total");
  }

  get size(): number {
    return this.#size;
  }

  isWaiting(id: ProposalId): boolean {
    return id.proposer === this.#proposer && this.#get(id.sequence) !== undefined;
  }

  /** What to propose again; undefined when nobody waits, or when it must not be. */
  dataOf(id: ProposalId): Uint8Array | undefined {
    return id.proposer === this.#proposer ? this.#get(id.sequence)?.data : undefined;
  }

  nextId(): ProposalId {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return { proposer: this.#proposer, sequence: this.#sequence };
  }

  /**
   * Tells `waiter` the outcome of a command that was just proposed under `id`, or that it will not be known:
   * `timed-out`, `stopped-waiting`, `leader-changed`.
   */
  wait(id: ProposalId, command: Command, waiter: OutcomeWaiter, data?: Uint8Array): void {
    this.#timer ??= this.#clock.setTimer(sweepMs, () => this.#sweep());
    const { sequence } = id;
    while (this.#slots[this.#slotOf(sequence)] !== undefined) this.#grow();
    const deadlineMs = this.#clock.nowMs() + this.#timeoutMs;
    this.#slots[this.#slotOf(sequence)] = { sequence, command, data, waiter, deadlineMs };
    // A number may be given long before it is waited for.
    if (((sequence - this.#oldest) | 0) < 0) this.#oldest = sequence;
    this.#size++;
    this.#pendingGauge.set(this.#size);
  }

  #slotOf(sequence: number): number {
    return sequence & (this.#slots.length - 1);
  }

  #get(sequence: number): Waiting | undefined {
    const waiting = this.#slots[this.#slotOf(sequence)];
    return waiting?.sequence === sequence ? waiting : undefined;
  }

  #take(sequence: number): Waiting | undefined {
    const waiting = this.#get(sequence);
    if (waiting === undefined) return undefined;
    this.#slots[this.#slotOf(sequence)] = undefined;
    this.#size--;
    this.#pendingGauge.set(this.#size);
    return waiting;
  }

  #grow(): void {
    const slots = this.#slots;
    this.#slots = Array.from({ length: slots.length * 2 }, () => undefined);
    for (const waiting of slots) if (waiting !== undefined) this.#slots[this.#slotOf(waiting.sequence)] = waiting;
  }

  /** Whoever has waited longest. */
  #first(): Waiting | undefined {
    if (this.#size === 0) {
      this.#oldest = (this.#sequence + 1) >>> 0;
      return undefined;
    }
    for (;;) {
      const waiting = this.#get(this.#oldest);
      if (waiting !== undefined) return waiting;
      this.#oldest = (this.#oldest + 1) >>> 0;
    }
  }

  /** The command of a committed entry: the decoded one if it is ours and somebody waits, else decoded from the log. */
  envelopeOf(data: Uint8Array): CommandEnvelope {
    const id = proposalIdOf(data);
    const waiting = id.proposer === this.#proposer ? this.#get(id.sequence) : undefined;
    return waiting === undefined ? decodeEnvelope(data) : { id, command: waiting.command };
  }

  /** Answers whoever waits for this proposal. */
  resolve(id: ProposalId, outcome: ApplyOutcome): void {
    if (id.proposer === this.#proposer) this.#take(id.sequence)?.waiter.onOutcome(outcome);
  }

  /** Tells one who waits that its proposal did not make it. */
  reject(id: ProposalId, error: ReplicaError): void {
    const waiting = this.#take(id.sequence);
    if (waiting === undefined) return;
    this.#failed.add(1);
    waiting.waiter.onFailure(error);
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    for (let waiting = this.#first(); waiting !== undefined; waiting = this.#first()) {
      if (waiting.deadlineMs > nowMs) break;
      this.reject({ proposer: this.#proposer, sequence: waiting.sequence }, new ReplicaError("timed-out"));
    }
    this.#timer = this.#size === 0 ? undefined : this.#clock.setTimer(sweepMs, () => this.#sweep());
  }

  /** Tells everybody who waits that there will be no answer. What they proposed may be carried out all the same. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const stopped = new ReplicaError(mutated("replica/pending-called-refused") ? "stopped" : "stopped-waiting");
    for (let waiting = this.#first(); waiting !== undefined; waiting = this.#first()) {
      this.reject({ proposer: this.#proposer, sequence: waiting.sequence }, stopped);
    }
  }
}
