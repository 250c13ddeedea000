// What the programs of the story say to one another: the director to an actor, an actor to the director.

export type Order =
  /** Lock: write something now. */
  | { readonly kind: "write"; readonly text: string }
  /** Lock: send what was prepared while the lock was held. */
  | { readonly kind: "send-prepared" }
  /** Leave as one should. */
  | { readonly kind: "leave" };

export type Report =
  | { readonly kind: "registered"; readonly address: string; readonly ttlMs: number }
  | { readonly kind: "renewed" }
  | { readonly kind: "waiting" }
  | { readonly kind: "acquired"; readonly token: string }
  | { readonly kind: "wrote" }
  | { readonly kind: "refused"; readonly by: "itself" | "server"; readonly why: string }
  | { readonly kind: "leads"; readonly epoch: string }
  | { readonly kind: "left" };

export type ReportOf<K extends Report["kind"]> = Extract<Report, { readonly kind: K }>;

/**
 * The leases that run out in the story: as short as a cluster with default election timeouts allows. A test takes longer
 * ones, since a busy machine may stand still for a second.
 */
export const shortTtl = process.env["QUORATE_DEMO_TTL"] ?? "4s";
/** The lease that is to outlive a leader, also where the machine is slow and the election takes its time. */
export const longTtl = "15s";
export const serviceName = "demo/greeter";
export const lockName = "demo/ledger";
export const electionName = "demo/scheduler";
