// What the referee of a campaign and its workers say to one another, and what a campaign is made of.

/**
 * - `outside`: sections that change a store outside, which refuses smaller fencing tokens than it has seen;
 * - `outside-unfenced`: the same with a store that believes everybody: expected to lose updates;
 * - `inside`: sections that change keys of the cluster, guarded by the lock;
 * - `inside-unguarded`: the same with plain puts: expected to lose updates;
 * - `election`: leaders that write a log, guarded by their leadership.
 */
export type Mode = "outside" | "outside-unfenced" | "inside" | "inside-unguarded" | "election";

export const modes: readonly Mode[] = ["outside", "outside-unfenced", "inside", "inside-unguarded", "election"];

/** Modes that are expected to go wrong: they show that the campaign can see what it looks for. */
export const isExpectedToFail = (mode: Mode): boolean => mode === "outside-unfenced" || mode === "inside-unguarded";

export interface WorkerOrder {
  readonly mode: Mode;
  readonly endpoint: string;
  readonly name: string;
  readonly names: readonly string[];
  readonly ttlSeconds: number;
  readonly electionTimeoutMs: number;
  readonly loops: number;
  readonly seed: number;
}

export type ToWorker =
  | { readonly kind: "answer"; readonly id: number; readonly accepted: boolean; readonly version: number }
  /** Keep the event loop busy. */
  | { readonly kind: "stall"; readonly ms: number }
  /** Move the wall clock. */
  | { readonly kind: "jump"; readonly ms: number }
  | { readonly kind: "end" };

/** How a section ended, as far as the worker knows. */
export type SectionOutcome = "done" | "refused" | "unknown" | "lost";

export type FromWorker =
  | { readonly kind: "read"; readonly id: number; readonly name: string; readonly token: string }
  | {
      readonly kind: "write";
      readonly id: number;
      readonly name: string;
      readonly token: string;
      /** The version that was read, and that the new value is made from. */
      readonly basedOn: number;
    }
  /** A section begins. */
  | { readonly kind: "enter"; readonly name: string }
  | { readonly kind: "section"; readonly name: string; readonly outcome: SectionOutcome }
  | { readonly kind: "ended" };

/** Keys that `inside` and `election` write, by the name of the lock or election. */
export const targetKey = (name: string): string => `campaign-data/${name}`;
