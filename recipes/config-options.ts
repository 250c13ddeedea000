// What a configuration is loaded with, and what it tells.
import type { Duration, Logger, StandardSchema } from "../sdk/index.ts";
import type { ConfigError } from "./config-error.ts";
import type { ConfigSource } from "./config-sources.ts";
import type { DeepReadonly } from "./config-tree.ts";

export interface ConfigOptions<S extends StandardSchema> {
  /** Any Standard Schema (zod, valibot, arktype, ...), asynchronous ones too. What it returns is what is shown. */
  readonly schema: S;
  /** Where values come from, later sources on top: {@link defaults}, {@link file}, {@link env}, {@link cluster}. */
  readonly sources: readonly ConfigSource[];
  /** File that keeps the last good state of the cluster, for starts without it. Default: none. */
  readonly lastGood?: string;
  /** Paths whose values are never shown in logs, events or JSON: `db.password`, `services.*.token`. */
  readonly secrets?: readonly string[];
  /** Paths that a running program does not take up: changes of them are marked. */
  readonly restartRequired?: readonly string[];
  /** Time that the cluster has to answer at the start. Default 5 s. */
  readonly wait?: Duration;
  /** Default: warnings of the process for what must not be overlooked. */
  readonly logger?: Logger;
  readonly signal?: AbortSignal;
}

export interface ConfigDifference {
  readonly path: string;
  /** As they were and are; secrets are masked. */
  readonly before: unknown;
  readonly after: unknown;
}

export interface ConfigChange {
  /** Revision of the store that made the change; `0n` for a change of another source. */
  readonly revision: bigint;
  readonly source: string;
  readonly differences: readonly ConfigDifference[];
  /** Those of the changed paths that need a restart to take effect. */
  readonly restartRequired: readonly string[];
}

/** An update that was refused. */
export interface ConfigRejection {
  readonly revision: bigint;
  readonly source: string;
  readonly error: ConfigError;
}

/** Where the state that is shown comes from: the sources as they are, or the disk because they could not be used. */
export type ConfigOrigin =
  | { readonly kind: "live" }
  | { readonly kind: "lastGood"; readonly savedAt: string; readonly reason: ConfigError };

export interface ConfigEvents<T> {
  change: [next: DeepReadonly<T>, previous: DeepReadonly<T>, change: ConfigChange];
  rejected: [rejection: ConfigRejection];
  /** Something that does not touch what is shown failed: the last good state could not be saved, a watch began anew. */
  trouble: [error: unknown];
}
