// Where this member's proposals stand in the log, for as long as they are not applied. When another entry turns out to
// stand in a proposal's place, the proposal is lost for good, and its client need not wait for a timeout to hear so.
import type { ProposalId } from "../state/command-codec.ts";

export class AcceptedProposals {
  /** By index; indexes only grow within a term. */
  readonly #byIndex = new Map<number, ProposalId>();

  get size(): number {
    return this.#byIndex.size;
  }

  /** A proposal was given this place in the leader's log. */
  add(index: number, id: ProposalId): ProposalId | undefined {
    const replaced = this.#byIndex.get(index);
    this.#byIndex.set(index, id);
    return replaced;
  }

  /** An entry was applied. Returns the proposal that had its place and was not in it. */
  onApplied(index: number, id: ProposalId | undefined): ProposalId | undefined {
    const expected = this.#byIndex.get(index);
    if (expected === undefined) return undefined;
    this.#byIndex.delete(index);
    const isSame = expected.proposer === id?.proposer && expected.sequence === id.sequence;
    return isSame ? undefined : expected;
  }

  /** A snapshot took the place of all entries up to `index`: what became of these proposals is not known. */
  forgetTo(index: number): void {
    for (const at of this.#byIndex.keys()) if (at <= index) this.#byIndex.delete(at);
  }
}
