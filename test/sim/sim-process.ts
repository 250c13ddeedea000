// One life of a member's process: what happens in it happens through here. It has a clock of its own, which may run
// fast or slow, can stand still for a while as a stopped process does, and is dead after its end: nothing that was
// under way in it goes on.
import type { Clock, Timer } from "../../server/lib/clock.ts";
import type { Random } from "../../server/lib/random.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SimProcessOptions {
  readonly scheduler: Scheduler;
  /** How fast its clock runs; 1 is as fast as the world's. */
  readonly rate: number;
  /** What its clock shows at its start. */
  readonly startMs: number;
  readonly random: Random;
  /** Something in it threw, and nobody caught it: a real process would end. */
  readonly onUncaught: (error: unknown) => void;
}

/** What wakes a process: a timer of its own, or something from outside. */
type Kind = "timer" | "input";

export class SimProcess {
  readonly clock: Clock;
  readonly #options: SimProcessOptions;
  readonly #bornMs: number;
  /** What fell due while the process stood still. Undefined when it runs. */
  #missed: { readonly kind: Kind; readonly run: () => void }[] | undefined;
  #isDead = false;

  constructor(options: SimProcessOptions) {
    const { scheduler, rate, startMs } = options;
    this.#options = options;
    this.#bornMs = scheduler.nowMs;
    this.clock = {
      nowMs: () => startMs + (scheduler.nowMs - this.#bornMs) * rate,
      wallMs: () => 1_700_000_000_000 + startMs + (scheduler.nowMs - this.#bornMs) * rate,
      setTimer: (delayMs, callback): Timer => this.#enqueue("timer", Math.max(0, delayMs) / rate, callback),
      nextTurn: (callback) => {
        this.#enqueue("timer", 0, callback);
      },
    };
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get isPaused(): boolean {
    return this.#missed !== undefined;
  }

  /** Something from outside reaches the process after `delayMs` of the world's time: a message, or the disk is done. */
  input(delayMs: number, run: () => void): void {
    this.#enqueue("input", delayMs, run);
  }

  #enqueue(kind: Kind, delayMs: number, run: () => void): Timer {
    let isCancelled = false;
    const event = this.#options.scheduler.after(delayMs, () => {
      if (this.#isDead || isCancelled) return;
      if (this.#missed !== undefined) this.#missed.push({ kind, run: () => (isCancelled ? undefined : run()) });
      else this.#run(run);
    });
    return {
      cancel: () => {
        isCancelled = true;
        event.cancel();
      },
    };
  }

  #run(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#options.onUncaught(error);
    }
  }

  /** Stops the process as SIGSTOP does. */
  pause(): void {
    this.#missed ??= [];
  }

  /** Lets it go on. It finds its timers due and its sockets full, and nobody says which it looks at first. */
  resume(): void {
    const missed = this.#missed;
    this.#missed = undefined;
    if (missed === undefined || this.#isDead) return;
    const first: Kind = this.#options.random.below(3) === 0 ? "input" : "timer";
    const ordered = [...missed.filter(({ kind }) => kind === first), ...missed.filter(({ kind }) => kind !== first)];
    for (const { kind, run } of ordered) this.#enqueue(kind, 0, run);
  }

  /** Ends it at once. */
  kill(): void {
    this.#isDead = true;
    this.#missed = undefined;
  }
}
