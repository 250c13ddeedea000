// Writes a history down: what each client asked for, what came back and when, on the one clock of this process.
import type { Operation, Outcome, Request, Result } from "../../linearizability/operation.ts";
import type { SerializableRead } from "../../linearizability/serializable-check.ts";

/** What a client was told. */
export type Answer =
  | { readonly kind: "returned"; readonly result: Result }
  | { readonly kind: "unknown" }
  /** Told for sure that nothing was done, nor will be. */
  | { readonly kind: "failed" };

interface Pending {
  readonly id: number;
  readonly client: string;
  readonly request: Request;
  readonly invokedAt: number;
}

export class Recorder {
  readonly operations: Operation[] = [];
  readonly serializableReads: SerializableRead[] = [];
  readonly #pending = new Set<Pending>();
  #lastId = 0;

  /** Milliseconds; never goes back. */
  get now(): number {
    return performance.now();
  }

  /** Asks, and writes down what came of it. */
  async record(client: string, request: Request, ask: () => Promise<Answer>): Promise<Answer> {
    const pending = { id: ++this.#lastId, client, request, invokedAt: this.now };
    this.#pending.add(pending);
    const answer = await ask();
    this.#pending.delete(pending);
    this.operations.push({ ...pending, outcome: this.#outcomeOf(answer) });
    return answer;
  }

  /** As `record`, for a read that its member answers alone. */
  async recordSerializable(
    client: string,
    request: Request,
    life: () => string,
    ask: () => Promise<Answer>,
  ): Promise<void> {
    const before = life();
    const pending = { id: ++this.#lastId, client, request, invokedAt: this.now };
    const answer = await ask();
    // Whichever of two lives of the member answered: nothing can be held against it.
    if (life() !== before || answer.kind !== "returned") return;
    const operation = { ...pending, outcome: this.#outcomeOf(answer) };
    this.serializableReads.push({ operation, life: before, appliedRevision: undefined });
  }

  /** Something that the cluster may do by itself from `earliestAt` on. */
  expect(client: string, request: Request, earliestAt: number): void {
    const id = ++this.#lastId;
    this.operations.push({ id, client, request, invokedAt: earliestAt, outcome: { kind: "unknown" } });
  }

  #outcomeOf(answer: Answer): Outcome {
    return answer.kind === "returned" ? { ...answer, time: this.now } : answer;
  }

  /** The whole history. What was never answered is in it as such. */
  finish(): readonly Operation[] {
    const open = [...this.#pending].map((pending) => ({ ...pending, outcome: { kind: "unknown" } as const }));
    return [...this.operations, ...open];
  }
}
