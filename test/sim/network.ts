// The wires between members: how long a message takes, which ones get lost, doubled or late, and who cannot reach whom
// at the moment. It knows nothing of what messages mean.
import type { Random } from "../../server/lib/random.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Weather } from "./weather.ts";

export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #weather: Weather["network"];
  /** Directions that let nothing through: `from>to`. */
  readonly #cut = new Set<string>();
  /** When the way between two members last broke. */
  readonly #brokenMs = new Map<string, number>();
  /** Everything takes this much longer. */
  extraDelayMs = 0;
  #isCalm = false;
  lost = 0;
  doubled = 0;
  late = 0;

  constructor(scheduler: Scheduler, random: Random, weather: Weather["network"]) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#weather = weather;
  }

  /** From now on nothing is lost, and nothing is slow. */
  calm(): void {
    this.#isCalm = true;
    this.extraDelayMs = 0;
    this.healAll();
  }

  cut(from: bigint, to: bigint): void {
    this.#cut.add(`${from}>${to}`);
    this.#break(from, to);
  }

  healAll(): void {
    for (const way of this.#cut) {
      const [from = "", to = ""] = way.split(">");
      this.#break(BigInt(from), BigInt(to));
    }
    this.#cut.clear();
  }

  isCut(from: bigint, to: bigint): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  get isWhole(): boolean {
    return this.#cut.size === 0;
  }

  /** A connection needs both directions, whichever of them broke. */
  #break(a: bigint, b: bigint): void {
    this.#brokenMs.set(a < b ? `${a}-${b}` : `${b}-${a}`, this.#scheduler.nowMs);
  }

  /** When two members, both of them up, were last cut off from each other; undefined when they are now. */
  brokenMs(a: bigint, b: bigint): number | undefined {
    if (this.isCut(a, b) || this.isCut(b, a)) return undefined;
    return this.#brokenMs.get(a < b ? `${a}-${b}` : `${b}-${a}`) ?? 0;
  }

  /** How long one message takes. */
  delayMs(): number {
    const { delayMinMs, delayMaxMs } = this.#weather;
    const base = delayMinMs + this.#random.next() ** 3 * delayMaxMs;
    return this.#isCalm ? delayMinMs : base + this.extraDelayMs;
  }

  /** After how long each copy of a message arrives: none when it is lost. */
  fate(from: bigint, to: bigint): readonly number[] {
    if (this.isCut(from, to)) return [];
    const { lossChance, duplicateChance, lateChance, lateMaxMs } = this.#weather;
    const random = this.#random;
    if (this.#isCalm) return [this.delayMs()];
    if (random.next() < lossChance) {
      this.lost++;
      return [];
    }
    const arrival = (): number => {
      if (random.next() >= lateChance) return this.delayMs();
      this.late++;
      return this.delayMs() + random.next() * lateMaxMs;
    };
    if (random.next() >= duplicateChance) return [arrival()];
    this.doubled++;
    return [arrival(), arrival()];
  }
}
