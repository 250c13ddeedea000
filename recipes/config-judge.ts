// Decides whether what the sources of a configuration say together can be used, and says why not in words that may be
// shown. It changes nothing.
import { SchemaError, type StandardSchema, validate } from "../sdk/index.ts";
import { ConfigError, type ConfigIssue } from "./config-error.ts";
import type { ConfigSource, SourceState } from "./config-sources.ts";
import { type ConfigTree, mergeTrees, type PathPatterns, pathText } from "./config-tree.ts";
import type { SavedSource } from "./last-good.ts";

/** One source of a configuration and where it stands. */
export interface Slot {
  readonly source: ConfigSource;
  /** What it said last; `undefined` until it has said something. */
  state: SourceState | undefined;
  /** What of it was applied last, also by an earlier run: the same store must not show less. */
  applied: Omit<SavedSource, "tree"> | undefined;
}

export class ConfigJudge<T> {
  readonly #schema: StandardSchema;
  readonly #secrets: PathPatterns;

  constructor(schema: StandardSchema, secrets: PathPatterns) {
    this.#schema = schema;
    this.#secrets = secrets;
  }

  /** What the schema makes of all states together, later ones on top, or why they cannot be used. */
  async judge(
    slots: readonly Slot[],
    states: readonly (SourceState | undefined)[],
  ): Promise<{ readonly value: T } | ConfigError> {
    return this.#problemOf(slots, states) ?? this.#validate(mergeTrees(states.map((state) => state?.tree ?? {})));
  }

  #problemOf(slots: readonly Slot[], states: readonly (SourceState | undefined)[]): ConfigError | undefined {
    const silent = slots.filter((_, index) => states[index] === undefined).map(({ source }) => source.name);
    if (silent.length > 0) return new ConfigError("CONFIG_UNAVAILABLE", `no answer from ${silent.join(", ")}`, []);
    for (const [index, slot] of slots.entries()) {
      const state = states[index]!;
      if (state.problems.length > 0) {
        return ConfigError.of(
          state.problems.map((issue) => this.#hidden(issue)),
          slot.source.name,
        );
      }
      const older = olderThanApplied(slot, state);
      if (older !== undefined) return older;
    }
    return undefined;
  }

  async #validate(merged: ConfigTree): Promise<{ readonly value: T } | ConfigError> {
    try {
      return { value: (await validate(this.#schema, merged)) as T };
    } catch (error) {
      if (!(error instanceof SchemaError)) {
        // A schema that throws instead of reporting. Its words may repeat a value, so they are not passed on.
        const text = `the schema failed: ${error instanceof Error ? error.name : typeof error}`;
        return new ConfigError("CONFIG_INVALID", text, []);
      }
      const issues = error.issues.map(({ path = [], message }) => ({
        path: path.map((step) => String(typeof step === "object" ? step.key : step)),
        message,
      }));
      return ConfigError.of(issues.map((issue) => this.#hidden(issue)));
    }
  }

  /** What is said about a secret may repeat it. */
  #hidden({ path, message }: { readonly path: readonly string[]; readonly message: string }): ConfigIssue {
    return { path: pathText(path), message: this.#secrets.touches(path) && path.length > 0 ? "is refused" : message };
  }
}

/** A store that shows less than was applied before has lost something; what it says now is not believed. */
function olderThanApplied({ source, applied }: Slot, { revision }: SourceState): ConfigError | undefined {
  if (source.kind !== "live" || applied === undefined) return undefined;
  const clusterId = source.clusterId() ?? applied.clusterId;
  if (clusterId !== applied.clusterId || revision >= applied.revision) return undefined;
  const text = `${source.name} is at revision ${revision}, but revision ${applied.revision} had been applied before`;
  return new ConfigError("CONFIG_INVALID", text, []);
}
