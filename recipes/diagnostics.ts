// Hooks for whoever wants to measure or trace, through node:diagnostics_channel: they cost nothing while nobody listens.
// Sessions are leases; their keepalives, losses and stalls of the event loop are on the SDK's channel `quorate:lease`.
//
// Channels and what they publish:
// - `quorate:ownership`: locks and leaderships waited for, held, released and lost, {@link OwnershipDiagnostics};
// - `quorate:registration`: a registration changed its state, {@link RegistrationDiagnostics};
// - `quorate:resolution`: a resolver's list changed or a pick failed, {@link ResolutionDiagnostics};
// - `quorate:config`: a configuration was applied, rejected or taken from disk, {@link ConfigDiagnostics}.
import { channel } from "node:diagnostics_channel";

export interface OwnershipDiagnostics {
  readonly kind: "lock" | "election";
  readonly event: "held" | "given-up" | "released" | "lost";
  readonly name: string;
  /** Fencing token; 0 where none was reached. */
  readonly token: bigint;
  /** `held`, `given-up`: time waited; `released`, `lost`: time held. */
  readonly ms: number;
  readonly error: unknown;
}

export interface RegistrationDiagnostics {
  readonly service: string;
  readonly key: string;
  readonly state: string;
  readonly epoch: number;
  readonly error: unknown;
}

export interface ResolutionDiagnostics {
  readonly event: "change" | "failure";
  readonly service: string;
  readonly endpoints: number;
  readonly revision: bigint;
}

export interface ConfigDiagnostics {
  readonly event: "applied" | "rejected" | "last-good";
  readonly revision: bigint;
  /** Paths that changed; never their values. */
  readonly paths: readonly string[];
}

export const ownershipChannel = channel("quorate:ownership");
export const registrationChannel = channel("quorate:registration");
export const resolutionChannel = channel("quorate:resolution");
export const configChannel = channel("quorate:config");
