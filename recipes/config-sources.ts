// Where configuration comes from. Sources are given in a list; each may override those before it.
import { readFile } from "node:fs/promises";
import { bytes, type Client, type Key, type WatchBatch } from "../sdk/index.ts";
import { type ConfigTree, isTree, type Path, problemOf } from "./config-tree.ts";
import { pauseMs, sleep } from "./waiting.ts";

/** Something is wrong with a source's data itself, whatever a schema would say. */
export interface SourceProblem {
  readonly path: Path;
  readonly message: string;
}

/** What a source says at one moment. */
export interface SourceState {
  readonly tree: ConfigTree;
  readonly problems: readonly SourceProblem[];
  /** Revision of the store, for sources that lie there. */
  readonly revision: bigint;
}

/** A source that is read when it is asked for. */
export interface StaticSource {
  readonly kind: "static";
  readonly name: string;
  readonly read: () => SourceState | Promise<SourceState>;
}

/** A source that tells every change. */
export interface LiveSource {
  readonly kind: "live";
  readonly name: string;
  /** The cluster it lies in; undefined until a member has answered. */
  readonly clusterId: () => bigint | undefined;
  /** States in the order in which they came about: one per revision, except where the store has forgotten some. */
  readonly follow: (options: FollowOptions) => LiveFeed;
}

export type ConfigSource = StaticSource | LiveSource;

export interface FollowOptions {
  /** Called with each state; the next is not read before it has returned. */
  readonly onState: (state: SourceState) => Promise<void>;
  /** Following failed and is begun anew. */
  readonly onTrouble: (error: unknown) => void;
}

export interface LiveFeed {
  /** Milliseconds since the feed was last connected; 0 while it is. */
  staleForMs(): number;
  close(): Promise<void>;
}

const noRevision = 0n;

/** Values to use where no other source says anything. */
export const defaults = (tree: ConfigTree): StaticSource => ({
  kind: "static",
  name: "defaults",
  read: () => ({ tree, problems: [], revision: noRevision }),
});

export interface FileOptions {
  /** `true`: a file that does not exist says nothing. Default: it is an error. */
  readonly optional?: boolean;
  /** How to read it. Default: JSON. */
  readonly parse?: (text: string) => unknown;
}

/** A file with an object in it. It is read at the start and with `reload()`. */
export const file = (path: string, options: FileOptions = {}): StaticSource => ({
  kind: "static",
  name: `file ${path}`,
  read: async () => {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if (options.optional && (error as NodeJS.ErrnoException).code === "ENOENT") return emptyState;
      throw error;
    }
    const parsed = (options.parse ?? JSON.parse)(text);
    if (!isTree(parsed)) throw new TypeError(`${path}: expected an object`);
    return { tree: parsed, problems: [], revision: noRevision };
  },
});

const emptyState: SourceState = { tree: {}, problems: [], revision: noRevision };

export interface EnvOptions {
  /** Only variables that start with it are read; it is taken off. */
  readonly prefix: string;
  /** Where they are. Default: `process.env`. */
  readonly variables?: { readonly [name: string]: string | undefined };
}

/**
 * Environment variables: `APP_HTTP__MAX_CONNECTIONS=5` with the prefix `APP_` is `{ http: { maxConnections: 5 } }`. Two
 * underscores go one level down, one makes a capital. Values are JSON where they can be, text where not.
 */
export const env = (options: EnvOptions): StaticSource => ({
  kind: "static",
  name: "environment",
  read: () => {
    const entries: [Path, unknown][] = [];
    for (const [name, text] of Object.entries(options.variables ?? process.env)) {
      if (text === undefined || !name.startsWith(options.prefix)) continue;
      const path = name.slice(options.prefix.length).split("__").map(toCamelCase);
      entries.push([path, parseValue(text)]);
    }
    return { ...treeOf(entries), revision: noRevision };
  },
});

const toCamelCase = (name: string): string =>
  name.toLowerCase().replace(/_+([^_])/g, (_, letter: string) => letter.toUpperCase());

/** JSON where it is JSON, else the text itself. `"8080"` in quotes is text, `8080` is a number. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: then it means itself.
    return text;
  }
}

/** Builds a tree from paths and values. A path that leads through a value, or two values in one place, is a problem. */
function treeOf(entries: readonly (readonly [Path, unknown])[]): Omit<SourceState, "revision"> {
  const tree: Record<string, unknown> = {};
  const problems: SourceProblem[] = [];
  for (const [path, value] of entries) {
    const problem = problemOf(path) ?? (place(tree, path, value) ? undefined : "it lies above or below another key");
    if (problem !== undefined) problems.push({ path, message: problem });
  }
  return { tree, problems };
}

function place(tree: Record<string, unknown>, path: Path, value: unknown): boolean {
  let current = tree;
  for (const name of path.slice(0, -1)) {
    const next = (current[name] ??= {});
    if (!isTree(next)) return false;
    current = next as Record<string, unknown>;
  }
  const last = path.at(-1) as string;
  if (last in current) return false;
  current[last] = value;
  return true;
}

/** Where in the store: one key with a JSON object, or a prefix with one key for each value. */
export type ClusterKeys = { readonly key: string } | { readonly prefix: string };

/**
 * The store, followed live.
 * - `{ prefix: "config/app/" }`: the key `config/app/http/port` is `{ http: { port } }`; values are JSON where they can
 *   be, text where not. Keys that are changed by one transaction arrive as one change.
 * - `{ key: "config/app" }`: one JSON object.
 */
export const cluster = (client: Client, keys: ClusterKeys): LiveSource => ({
  kind: "live",
  name: "key" in keys ? `cluster ${keys.key}` : `cluster ${keys.prefix}*`,
  clusterId: () => client.clusterId,
  follow: (options) => new ClusterFeed(client, keys, options),
});

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Follows keys of the store and turns each revision of them into a state. */
class ClusterFeed implements LiveFeed {
  readonly #client: Client;
  readonly #keys: ClusterKeys;
  readonly #options: FollowOptions;
  readonly #ending = new AbortController();
  readonly #values = new Map<string, Uint8Array>();
  readonly #running: Promise<void>;
  #watch: ReturnType<Client["watch"]> | undefined;
  #brokenSinceMs: number | undefined = performance.now();

  constructor(client: Client, keys: ClusterKeys, options: FollowOptions) {
    this.#client = client;
    this.#keys = keys;
    this.#options = options;
    this.#running = this.#run();
  }

  staleForMs(): number {
    const brokenMs = this.#brokenSinceMs === undefined ? 0 : performance.now() - this.#brokenSinceMs;
    return Math.max(brokenMs, this.#watch?.staleForMs() ?? 0);
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#watch?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    const range: Key | { prefix: Key } = "key" in this.#keys ? this.#keys.key : { prefix: this.#keys.prefix };
    for (let attempt = 1; !signal.aborted; attempt++) {
      const watch = this.#client.watch(range, { snapshot: true, codec: bytes, ref: false });
      this.#watch = watch as ReturnType<Client["watch"]>;
      try {
        for await (const batch of watch) {
          attempt = 1;
          this.#brokenSinceMs = undefined;
          await this.#apply(batch);
        }
        return; // Closed, or its client was.
      } catch (error) {
        this.#brokenSinceMs ??= performance.now();
        if (signal.aborted) return;
        this.#options.onTrouble(error);
        await sleep(pauseMs(attempt + 3), signal, false);
      }
    }
  }

  async #apply(batch: WatchBatch<Uint8Array>): Promise<void> {
    if (batch.isWhole) this.#values.clear();
    const isOneState = batch.kind !== "delta";
    for (const [index, event] of batch.events.entries()) {
      if (event.type === "delete") this.#values.delete(event.key);
      else this.#values.set(event.key, event.kv.value);
      const next = batch.events[index + 1];
      if (!isOneState && next?.modRevision !== event.modRevision) await this.#tell(event.modRevision);
    }
    if (isOneState) await this.#tell(batch.revision);
  }

  async #tell(revision: bigint): Promise<void> {
    if (this.#ending.signal.aborted) return;
    const state = "key" in this.#keys ? this.#document() : this.#tree(this.#keys.prefix);
    await this.#options.onState({ ...state, revision });
  }

  #document(): Omit<SourceState, "revision"> {
    const [value] = this.#values.values();
    if (value === undefined) return { tree: {}, problems: [] };
    const parsed = parseValue(textOf(value) ?? "");
    if (isTree(parsed)) return { tree: parsed, problems: [] };
    return { tree: {}, problems: [{ path: [], message: "it is not a JSON object" }] };
  }

  #tree(prefix: string): Omit<SourceState, "revision"> {
    const entries: [Path, unknown][] = [];
    const problems: SourceProblem[] = [];
    for (const [key, value] of this.#values) {
      const path = key.slice(prefix.length).split("/");
      const text = textOf(value);
      if (text === undefined) problems.push({ path, message: "it is not text" });
      else entries.push([path, parseValue(text)]);
    }
    // By key, so that which of two colliding ones is reported does not depend on the order in which they were written.
    entries.sort(([a], [b]) => (a.join("/") < b.join("/") ? -1 : 1));
    const built = treeOf(entries);
    return { tree: built.tree, problems: [...problems, ...built.problems] };
  }
}

function textOf(value: Uint8Array): string | undefined {
  try {
    return decoder.decode(value);
  } catch {
    // Not UTF-8; the caller reports it.
    return undefined;
  }
}
