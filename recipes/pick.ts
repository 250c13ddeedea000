// Which of several endpoints the next call goes to. Strategies know nothing of failures: they are shown only endpoints
// that may be used just now.
import { createHash } from "node:crypto";

/** What a strategy sees of an endpoint. */
export interface Candidate {
  /** Stable over updates of the same instance. */
  readonly key: string;
  readonly weight: number;
  /** Calls that were given to it and have not ended. */
  readonly pending: number;
}

/** Chooses one of at least one candidate. Made anew for each resolver, so it may remember what it chose before. */
export interface PickStrategy {
  pick<C extends Candidate>(candidates: readonly C[], affinity: string | undefined): C;
}

/** One after the other. */
export function roundRobin(): PickStrategy {
  // A random start: clients that begin together do not all begin with the same instance.
  let turn = Math.floor(Math.random() * 2 ** 20);
  return { pick: (candidates) => candidates[turn++ % candidates.length]! };
}

/** Any, with equal chances. */
export function random(): PickStrategy {
  return { pick: (candidates) => candidates[Math.floor(Math.random() * candidates.length)]! };
}

/** The one with the fewest calls under way for its weight; among equals, the next in turn. */
export function leastPending(): PickStrategy {
  const turns = roundRobin();
  const load = ({ pending, weight }: Candidate): number => (pending + 1) / Math.max(weight, Number.MIN_VALUE);
  return {
    pick: (candidates, affinity) => {
      const least = Math.min(...candidates.map(load));
      return turns.pick(
        candidates.filter((candidate) => load(candidate) === least),
        affinity,
      );
    },
  };
}

/**
 * In proportion to the weights, and evenly spread: 5, 1, 1 gives `a a b a c a a` rather than `a a a a a b c`. Weight 0
 * gets nothing unless all have it.
 */
export function weighted(): PickStrategy {
  // Each turn every candidate gains its weight; the richest is chosen and pays for all.
  const credits = new Map<string, number>();
  return {
    pick: (candidates) => {
      const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
      const weightOf = ({ weight }: Candidate): number => (total === 0 ? 1 : weight);
      let best = candidates[0]!;
      for (const candidate of candidates) {
        credits.set(candidate.key, (credits.get(candidate.key) ?? 0) + weightOf(candidate));
        if (credits.get(candidate.key)! > credits.get(best.key)!) best = candidate;
      }
      credits.set(best.key, credits.get(best.key)! - (total === 0 ? candidates.length : total));
      if (credits.size > 2 * candidates.length + 16) forgetOthers(credits, candidates);
      return best;
    },
  };
}

function forgetOthers(credits: Map<string, number>, candidates: readonly Candidate[]): void {
  const present = new Set(candidates.map(({ key }) => key));
  for (const key of credits.keys()) if (!present.has(key)) credits.delete(key);
}

/**
 * The same one for the same affinity, for as long as it is there; when it goes, only what it had moves. Without an
 * affinity in the call: the same one for everything from this process.
 */
export function sticky(): PickStrategy {
  const own = String(Math.random());
  // Highest random weight: each pair has a draw of its own, and the greatest wins.
  const draw = (affinity: string, { key, weight }: Candidate): number => {
    const digest = createHash("sha1").update(affinity).update("\0").update(key).digest();
    const uniform = (digest.readUIntBE(0, 6) + 1) / (2 ** 48 + 1);
    return -Math.max(weight, Number.MIN_VALUE) / Math.log(uniform);
  };
  return {
    pick: (candidates, affinity = own) => {
      let best = candidates[0]!;
      let bestDraw = Number.NEGATIVE_INFINITY;
      for (const candidate of candidates) {
        const drawn = draw(affinity, candidate);
        if (drawn > bestDraw) {
          best = candidate;
          bestDraw = drawn;
        }
      }
      return best;
    },
  };
}

export interface FailureBackoff {
  /** Time for which an endpoint is passed over after its first failure; doubled with each further one in a row. Default 500 ms. */
  readonly firstMs?: number;
  /** Longest such time. Default 30 s. */
  readonly maxMs?: number;
}

/** Remembers which endpoints have failed lately. Passive: it learns from calls, it makes none of its own. */
export class FailureLedger {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #failures = new Map<string, { count: number; untilMs: number }>();

  constructor({ firstMs = 500, maxMs = 30_000 }: FailureBackoff = {}) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
  }

  failed(incarnation: string, nowMs: number): void {
    const count = (this.#failures.get(incarnation)?.count ?? 0) + 1;
    const backoffMs = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(count - 1, 30)) * (0.8 + Math.random() * 0.4);
    this.#failures.set(incarnation, { count, untilMs: nowMs + backoffMs });
  }

  succeeded(incarnation: string): void {
    this.#failures.delete(incarnation);
  }

  /** Until when it is passed over; 0 if it is not. */
  untilMs(incarnation: string): number {
    return this.#failures.get(incarnation)?.untilMs ?? 0;
  }

  /** Forgets all but these: a new incarnation of an instance starts with a clean slate. */
  keepOnly(incarnations: ReadonlySet<string>): void {
    for (const incarnation of this.#failures.keys()) {
      if (!incarnations.has(incarnation)) this.#failures.delete(incarnation);
    }
  }

  /**
   * Those that may be used now. When all have failed lately it is the one whose time is up first: to call nobody would
   * turn a bad moment into an outage.
   */
  usable<C extends { readonly incarnation: string }>(candidates: readonly C[], nowMs: number): readonly C[] {
    const free = candidates.filter(({ incarnation }) => this.untilMs(incarnation) <= nowMs);
    if (free.length > 0 || candidates.length === 0) return free;
    return [candidates.reduce((a, b) => (this.untilMs(a.incarnation) <= this.untilMs(b.incarnation) ? a : b))];
  }
}
