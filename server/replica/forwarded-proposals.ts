// This member's proposals that went to the leader, for as long as nothing is known of them. A leader that dies takes them
// along without a word; but only the leader of the term that a proposal was sent in can put it into the log, and once an
// entry of a newer term is applied here, no entry of an older one can follow: what did not come by then never will.
import type { ProposalId } from "../state/command-codec.ts";
import { mutated } from "./mutations.ts";

interface Forwarded {
  readonly id: ProposalId;
  /** The term of the leader that it was sent to; undefined while it has not left. */
  sentTerm: number | undefined;
}

export class ForwardedProposals {
  readonly #isWaiting: (id: ProposalId) => boolean;
  /** By raft's number, oldest first: numbers and terms only grow. */
  readonly #byNumber = new Map<number, Forwarded>();

  /** @param isWaiting Whether a client still waits for this proposal. */
  constructor(isWaiting: (id: ProposalId) => boolean) {
    this.#isWaiting = isWaiting;
  }

  /** What it remembers; those that nobody waits for go when others come. */
  get size(): number {
    return this.#byNumber.size;
  }

  /** Raft has queued a proposal for the leader under this number. */
  add(number: number, id: ProposalId): void {
    for (const [oldest, forwarded] of this.#byNumber) {
      if (this.#isWaiting(forwarded.id)) break;
      this.#byNumber.delete(oldest);
    }
    this.#byNumber.set(number, { id, sentTerm: undefined });
  }

  /** Raft's numbers `first` to `first + count - 1` leave for the leader of `term`, and for no other. */
  onSent(first: number, count: number, term: number): void {
    for (let number = first; number < first + count; number++) {
      const forwarded = this.#byNumber.get(number);
      if (forwarded !== undefined) forwarded.sentTerm = term;
    }
  }

  /** Raft's numbers `first` to `first + count - 1` were refused: they are in nobody's log, and will never be. */
  onRefused(first: number, count: number): readonly ProposalId[] {
    const refused: ProposalId[] = [];
    for (let number = first; number < first + count; number++) {
      const forwarded = this.#byNumber.get(number);
      if (forwarded !== undefined) refused.push(forwarded.id);
      this.#byNumber.delete(number);
    }
    return refused;
  }

  /**
   * An entry of this term was applied, and all before it. Returns the proposals that were sent to leaders of earlier
   * terms: none of them can come to be in the log any more.
   */
  onApplied(term: number): readonly ProposalId[] {
    const lost: ProposalId[] = [];
    for (const [number, { id, sentTerm }] of this.#byNumber) {
      if (sentTerm === undefined || sentTerm >= term) break;
      lost.push(id);
      this.#byNumber.delete(number);
    }
    return lost;
  }

  /** A snapshot took the place of entries up to one of this term: what became of proposals sent by then is not known. */
  forgetTo(term: number): void {
    if (mutated("replica/forwarded-outlive-snapshot")) return;
    for (const [number, { sentTerm }] of this.#byNumber) {
      if (sentTerm === undefined || sentTerm > term) break;
      this.#byNumber.delete(number);
    }
  }
}
