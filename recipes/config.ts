// Typed configuration that reloads while the program runs. What is shown is always one whole state that the schema has
// accepted: a change is judged before it is shown, all keys of a transaction at once, and what is refused is told while
// the old stays.
import { EventEmitter } from "node:events";
import { inspect } from "node:util";
import { type Logger, type SchemaOutput, type StandardSchema, toMs } from "../sdk/index.ts";
import { ConfigError } from "./config-error.ts";
import { ConfigJudge, type Slot } from "./config-judge.ts";
import type { ConfigChange, ConfigEvents, ConfigOptions, ConfigOrigin, ConfigRejection } from "./config-options.ts";
import { Selection } from "./config-selection.ts";
import type { LiveFeed, LiveSource, SourceState, StaticSource } from "./config-sources.ts";
import {
  type DeepReadonly,
  differingPaths,
  freezeDeep,
  maskSecrets,
  PathPatterns,
  pathText,
  valueAt,
} from "./config-tree.ts";
import { configChannel } from "./diagnostics.ts";
import { loadLastGood, type SavedConfig, saveLastGood } from "./last-good.ts";
import { LatestQueue } from "./latest-queue.ts";
import { surface } from "./surface.ts";
import { timeLimit, untilAborted } from "./waiting.ts";

/**
 * The configuration, from {@link loadConfig}. Read `current` where a value is needed instead of keeping it: it is
 * replaced as a whole by each change.
 */
export class Config<T> extends EventEmitter<ConfigEvents<T>> implements AsyncDisposable {
  readonly #judge: ConfigJudge<T>;
  readonly #slots: readonly Slot[];
  readonly #feeds: LiveFeed[] = [];
  readonly #secrets: PathPatterns;
  readonly #restartRequired: PathPatterns;
  readonly #lastGoodPath: string | undefined;
  readonly #logger: Logger | undefined;
  readonly #followers = new Set<LatestQueue<DeepReadonly<T>>>();
  readonly #pendingRestart = new Set<string>();
  #current: DeepReadonly<T> | undefined;
  #revision = 0n;
  #origin: ConfigOrigin = { kind: "live" };
  #rejected: ConfigRejection | undefined;
  #isStarted = false;
  #isClosed = false;
  /** Judges one state after the other, in the order of their arrival. */
  #work: Promise<void> = Promise.resolve();

  /** @internal Use {@link loadConfig}. */
  constructor(options: ConfigOptions<StandardSchema>) {
    super();
    this.#slots = options.sources.map((source) => ({ source, state: undefined, applied: undefined }));
    this.#secrets = new PathPatterns(options.secrets ?? []);
    this.#judge = new ConfigJudge(options.schema, this.#secrets);
    this.#restartRequired = new PathPatterns(options.restartRequired ?? []);
    this.#lastGoodPath = options.lastGood;
    this.#logger = options.logger;
  }

  /** The state as the schema returned it, frozen. */
  get current(): DeepReadonly<T> {
    return this.#current as DeepReadonly<T>;
  }

  /** Revision of the store up to which it was applied; `0n` before anything came from there. */
  get revision(): bigint {
    return this.#revision;
  }

  get origin(): ConfigOrigin {
    return this.#origin;
  }

  /** The newest update, if it was refused; `undefined` once a later one is good. */
  get rejected(): ConfigRejection | undefined {
    return this.#rejected;
  }

  /** Paths that have changed since the start and need a restart to take effect. */
  get pendingRestart(): readonly string[] {
    return [...this.#pendingRestart];
  }

  /** Milliseconds since all live sources were last connected; 0 while they are. */
  staleForMs(): number {
    return Math.max(0, ...this.#feeds.map((feed) => feed.staleForMs()));
  }

  /** The state now and after every change. A slow reader gets the newest state, not every one. Ends with `close()`. */
  changes(): AsyncIterableIterator<DeepReadonly<T>> {
    const queue = new LatestQueue<DeepReadonly<T>>(() => this.#followers.delete(queue));
    if (this.#isClosed) queue.end();
    else {
      this.#followers.add(queue);
      queue.offer(this.current);
    }
    return queue;
  }

  /**
   * A part of the state that is followed by itself: it tells only changes that concern it.
   *
   * @example
   * const timeout = config.select((c) => c.http.timeoutMs);
   * timeout.on("change", (next) => server.setTimeout(next));
   */
  select<Part>(selector: (state: DeepReadonly<T>) => Part): Selection<Part> {
    const selection = new Selection(selector(this.current), () => this.off("change", onChange));
    const onChange = (next: DeepReadonly<T>): void => selection.offer(selector(next));
    this.on("change", onChange);
    return selection;
  }

  /** Reads files and environment again. What they say now is judged like any other update. */
  async reload(): Promise<void> {
    for (const slot of this.#slots) {
      if (slot.source.kind !== "static") continue;
      const state = await readStatic(slot.source);
      await this.#enqueue(() => this.#consider(slot, state));
    }
  }

  /** Stops following. `current` stays. Closing twice is fine. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#feeds.map((feed) => feed.close()));
    for (const follower of [...this.#followers]) follower.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The state for logs and screens: secrets are masked. */
  toJSON(): unknown {
    return maskSecrets(this.#current, this.#secrets);
  }

  [inspect.custom](): unknown {
    return this.toJSON();
  }

  // --- the start ---

  /** @internal */
  async start(options: Pick<ConfigOptions<StandardSchema>, "wait" | "signal">): Promise<void> {
    const saved = await this.#readLastGood();
    for (const slot of this.#slots) {
      if (slot.source.kind === "static") slot.state = await readStatic(slot.source);
      else slot.applied = saved?.sources.find(({ name }) => name === slot.source.name);
    }
    const arrivals = this.#slots.map((slot) =>
      slot.source.kind === "live" ? this.#follow(slot, slot.source) : undefined,
    );
    const limit = timeLimit(toMs(options.wait ?? "5s", "wait"));
    const patience = options.signal === undefined ? limit.signal : AbortSignal.any([limit.signal, options.signal]);
    try {
      await untilAborted(Promise.all(arrivals), patience);
    } catch (error) {
      options.signal?.throwIfAborted();
      // Time is up; what has arrived by now decides.
      if (!limit.signal.aborted) throw error;
    } finally {
      limit.dispose();
    }
    await this.#enqueue(() => this.#begin(saved));
  }

  /** Takes what the sources say, or the last good state where that cannot be used. */
  async #begin(saved: SavedConfig | undefined): Promise<void> {
    this.#isStarted = true;
    const reason = await this.#apply(
      this.#slots.map(({ state }) => state),
      undefined,
    );
    if (reason === undefined) return;
    if (saved === undefined) throw reason;
    const states = this.#slots.map(({ source, state }) => {
      if (source.kind === "static") return state;
      const { tree, revision } = saved.sources.find(({ name }) => name === source.name) ?? { tree: {}, revision: 0n };
      return { tree, problems: [], revision };
    });
    const failure = await this.#apply(states, undefined);
    if (failure !== undefined) {
      const text = `${reason.message}; and the last good state does not fit any more: ${failure.message}`;
      throw new ConfigError("CONFIG_INVALID", text, failure.issues, { cause: reason });
    }
    this.#origin = { kind: "lastGood", savedAt: saved.savedAt, reason };
    if (reason.code === "CONFIG_INVALID") this.#rejected = { revision: 0n, source: "", error: reason };
    this.#warn(`configuration: using the last good state, saved at ${saved.savedAt}: ${reason.message}`);
    this.#publish("last-good", this.#revision, []);
  }

  async #readLastGood(): Promise<SavedConfig | undefined> {
    if (this.#lastGoodPath === undefined) return undefined;
    try {
      return await loadLastGood(this.#lastGoodPath);
    } catch (error) {
      // A file that cannot be read is as good as none, but nobody should learn that in the next outage.
      this.#warn(`configuration: the last good state cannot be used: ${String(error)}`);
      return undefined;
    }
  }

  /** Resolves with the first state of a live source; the later ones are judged as they come. */
  #follow(slot: Slot, source: LiveSource): Promise<void> {
    return new Promise((resolve) => {
      const onState = async (state: SourceState): Promise<void> => {
        if (this.#isStarted) await this.#enqueue(() => this.#consider(slot, state));
        else {
          slot.state = state;
          resolve();
        }
      };
      const onTrouble = (error: unknown): void => {
        surface(() => this.emit("trouble", error));
      };
      this.#feeds.push(source.follow({ onState, onTrouble }));
    });
  }

  // --- judging ---

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => undefined);
    return done;
  }

  async #consider(slot: Slot, state: SourceState): Promise<void> {
    if (this.#isClosed) return;
    slot.state = state;
    // Until all have answered, what is shown is the last good state.
    if (this.#slots.some((other) => other.state === undefined)) return;
    const failure = await this.#apply(
      this.#slots.map((other) => other.state),
      slot,
    );
    if (failure !== undefined) this.#reject(failure, slot.source.name, state.revision);
  }

  /** Judges what the sources say together, and shows it if it is good. Returns why it is not. */
  async #apply(
    states: readonly (SourceState | undefined)[],
    cause: Slot | undefined,
  ): Promise<ConfigError | undefined> {
    const outcome = await this.#judge.judge(this.#slots, states);
    if (outcome instanceof ConfigError) return outcome;
    const previous = this.#current;
    const next = freezeDeep(outcome.value);
    this.#current = next;
    this.#rejected = undefined;
    this.#origin = { kind: "live" };
    for (const [index, { source, applied }] of this.#slots.entries()) {
      const revision = states[index]?.revision ?? 0n;
      if (revision > this.#revision) this.#revision = revision;
      const clusterId = source.kind === "live" ? (source.clusterId() ?? applied?.clusterId ?? 0n) : 0n;
      this.#slots[index]!.applied = { name: source.name, clusterId, revision };
    }
    const differences = previous === undefined ? [] : differingPaths(previous, next);
    if (previous !== undefined && differences.length > 0) this.#tell(next, previous, differences, cause);
    await this.#save(states);
    return undefined;
  }

  #reject(error: ConfigError, source: string, revision: bigint): void {
    this.#rejected = { revision, source, error };
    this.#warn(`configuration: an update is refused, the old state stays: ${error.message}`);
    this.#publish(
      "rejected",
      revision,
      error.issues.map(({ path }) => path),
    );
    const rejection = this.#rejected;
    surface(() => this.emit("rejected", rejection));
  }

  #tell(
    next: DeepReadonly<T>,
    previous: DeepReadonly<T>,
    paths: readonly (readonly string[])[],
    cause: Slot | undefined,
  ): void {
    const differences = paths.map((path) => ({
      path: pathText(path),
      before: maskSecrets(valueAt(previous, path), this.#secrets, path),
      after: maskSecrets(valueAt(next, path), this.#secrets, path),
    }));
    const restartRequired = paths.filter((path) => this.#restartRequired.touches(path)).map(pathText);
    for (const path of restartRequired) this.#pendingRestart.add(path);
    const revision = cause?.state?.revision ?? 0n;
    this.#logger?.info(
      { paths: differences.map(({ path }) => path), revision: String(revision) },
      "configuration changed",
    );
    this.#publish(
      "applied",
      revision,
      differences.map(({ path }) => path),
    );
    const change: ConfigChange = { revision, source: cause?.source.name ?? "", differences, restartRequired };
    for (const follower of this.#followers) follower.offer(next);
    surface(() => this.emit("change", next, previous, change));
  }

  async #save(states: readonly (SourceState | undefined)[]): Promise<void> {
    if (this.#lastGoodPath === undefined) return;
    const sources = this.#slots.flatMap(({ source, applied }, index) => {
      const tree = states[index]?.tree;
      return source.kind === "live" && applied !== undefined && tree !== undefined ? [{ ...applied, tree }] : [];
    });
    try {
      await saveLastGood(this.#lastGoodPath, sources);
    } catch (error) {
      this.#warn(`configuration: the last good state could not be saved: ${String(error)}`);
      surface(() => this.emit("trouble", error));
    }
  }

  #warn(message: string): void {
    if (this.#logger !== undefined) this.#logger.warn({ part: "config" }, message);
    else process.emitWarning(message, "QuorateConfigWarning");
  }

  #publish(event: "applied" | "rejected" | "last-good", revision: bigint, paths: readonly string[]): void {
    if (configChannel.hasSubscribers) configChannel.publish({ event, revision, paths });
  }
}

async function readStatic(source: StaticSource): Promise<SourceState> {
  try {
    return await source.read();
  } catch (cause) {
    const text = `${source.name} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new ConfigError("CONFIG_UNAVAILABLE", text, [], { cause });
  }
}

/**
 * Loads the configuration and follows it from then on.
 *
 * When the cluster does not answer in time, or what it says is refused, the last good state is taken from disk, loudly,
 * and replaced as soon as the cluster says something good.
 *
 * @throws {ConfigError} `CONFIG_INVALID`, `CONFIG_UNAVAILABLE`: there is nothing good to start with.
 *
 * @example
 * const config = await loadConfig({
 *   schema: z.object({ http: z.object({ port: z.number(), timeoutMs: z.number() }) }),
 *   sources: [defaults({ http: { port: 8080, timeoutMs: 1000 } }), env({ prefix: "APP_" }), cluster(client, { prefix: "config/app/" })],
 *   lastGood: "/var/lib/app/config.json",
 * });
 * config.on("change", (next) => console.log("timeout is now", next.http.timeoutMs));
 */
export async function loadConfig<S extends StandardSchema>(
  options: ConfigOptions<S>,
): Promise<Config<SchemaOutput<S>>> {
  const config = new Config<SchemaOutput<S>>(options);
  try {
    await config.start(options);
  } catch (error) {
    await config.close();
    throw error;
  }
  return config;
}
