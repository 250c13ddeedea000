// Hooks for whoever wants to measure or trace, through node:diagnostics_channel: they cost nothing while nobody listens.
//
// Channels and what they publish:
// - `quorate:call`: one message per finished unary call, {@link CallDiagnostics};
// - `quorate:connection`: a connection opened, closed or refused, {@link ConnectionDiagnostics};
// - `quorate:watch`: a watch started, resumed, was paused, resynchronized or ended, {@link WatchDiagnostics};
// - `quorate:lease`: a lease was granted, renewed or lost, and stalls of the event loop, {@link LeaseDiagnostics}.
import { channel } from "node:diagnostics_channel";
import type { ClientError } from "./errors.ts";

export interface CallDiagnostics {
  /** gRPC path, such as `/etcdserverpb.KV/Put`. */
  readonly method: string;
  readonly endpoint: string | undefined;
  readonly durationMs: number;
  /** Times the request was started, 1 without retries. */
  readonly attempts: number;
  readonly error: ClientError | undefined;
}

export interface ConnectionDiagnostics {
  readonly event: "open" | "closed" | "failed" | "refused";
  readonly endpoint: string;
  readonly error: Error | undefined;
}

export interface WatchDiagnostics {
  readonly event: "start" | "resume" | "pause" | "resync" | "end";
  readonly key: string;
  /** Where the watch stands: every event up to here was handed over or is in its buffer. */
  readonly revision: bigint;
}

export interface LeaseDiagnostics {
  readonly event: "grant" | "renew" | "late" | "lost" | "stall";
  readonly leaseId: bigint | undefined;
  /** `renew`: until the deadline; `stall`: how long the event loop stood still. */
  readonly ms: number;
}

export const callChannel = channel("quorate:call");
export const connectionChannel = channel("quorate:connection");
export const watchChannel = channel("quorate:watch");
export const leaseChannel = channel("quorate:lease");
