// How often and how fast the SDK tries again: backoff with jitter, and a budget that keeps retries a small share of the
// traffic. What may be tried again at all is decided in caller.ts.

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Milliseconds to wait before try number `attempt` (1 is the first repetition): doubled each time up to the maximum,
 * then drawn evenly from its upper half, so that clients that failed together do not come back together.
 */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(attempt - 1, 30));
  return ceiling * (0.5 + random() / 2);
}

/** Tokens that a new client has, for its first failures. */
const tokensAtStart = 20;
/** Most that can be saved up: enough for what a busy client has under way when its member dies. */
const tokensMax = 200;

/**
 * A bucket of tokens: each call that ends well puts in a tenth of one, each repetition takes one out. A short outage is
 * ridden out on what is saved up; in a long one repetitions stay below a tenth of the calls, and a cluster that just
 * came back is not knocked over by its own clients.
 */
export class RetryBudget {
  readonly #tokensPerSuccess: number;
  #tokens = tokensAtStart;

  constructor(share: number) {
    this.#tokensPerSuccess = share;
  }

  get tokens(): number {
    return this.#tokens;
  }

  /** A call ended well. */
  earn(): void {
    this.#tokens = Math.min(tokensMax, this.#tokens + this.#tokensPerSuccess);
  }

  /** Takes one repetition out; false when there is none left and the failure must be reported instead. */
  spend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
