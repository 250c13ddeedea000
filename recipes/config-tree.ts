// Configuration as plain data before a schema has seen it: trees of objects, merged, compared and frozen. Paths are lists
// of names; for people they are joined with dots.
import { isDeepStrictEqual } from "node:util";

/** Objects of values; the values may be objects again, or anything else that JSON can say. */
export interface ConfigTree {
  readonly [name: string]: unknown;
}

export type Path = readonly string[];

export const pathText = (path: Path): string => path.join(".");

/** Names that reach into every object of the language. */
const forbidden: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** What is wrong with a name of a path; `undefined` when nothing is. */
export function problemOf(path: Path): string | undefined {
  if (path.some((name) => name === "")) return "a name is empty";
  return path.some((name) => forbidden.has(name)) ? "a name is not allowed" : undefined;
}

export function isTree(value: unknown): value is ConfigTree {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Lays trees over each other, later ones on top: objects are joined, all else is replaced as a whole. What is `undefined`
 * says nothing. The result shares no object with what went in.
 */
export function mergeTrees(trees: readonly ConfigTree[]): ConfigTree {
  const merged: Record<string, unknown> = {};
  for (const tree of trees) {
    for (const [name, value] of Object.entries(tree)) {
      if (value === undefined || forbidden.has(name)) continue;
      const below = merged[name];
      merged[name] = isTree(value) ? mergeTrees(isTree(below) ? [below, value] : [value]) : copyOf(value);
    }
  }
  return merged;
}

function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf);
  return isTree(value) ? mergeTrees([value]) : value;
}

/** Freezes objects and arrays all the way down. Others (dates, maps, instances of classes) are left as they are. */
export function freezeDeep<T>(value: T): DeepReadonly<T> {
  if (Array.isArray(value) || isTree(value)) {
    for (const inner of Object.values(value)) freezeDeep(inner);
    Object.freeze(value);
  }
  return value as DeepReadonly<T>;
}

/** `T` with everything in it read-only, as {@link freezeDeep} makes it. */
export type DeepReadonly<T> = T extends (...args: never[]) => unknown
  ? T
  : T extends readonly (infer Item)[]
    ? readonly DeepReadonly<Item>[]
    : T extends Date | RegExp | URL | Map<unknown, unknown> | Set<unknown>
      ? T
      : T extends object
        ? { readonly [Name in keyof T]: DeepReadonly<T[Name]> }
        : T;

/** The places where two values differ, as deep as both are objects. */
export function differingPaths(before: unknown, after: unknown, at: Path = []): readonly Path[] {
  if (isTree(before) && isTree(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...names].flatMap((name) => differingPaths(before[name], after[name], [...at, name]));
  }
  return isDeepStrictEqual(before, after) ? [] : [at];
}

/** What lies at a path; `undefined` when there is nothing. */
export function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const name of path)
    current = typeof current === "object" && current !== null ? (current as ConfigTree)[name] : undefined;
  return current;
}

/** Paths such as `db.password` or `services.*.token`. A pattern also means everything below it. */
export class PathPatterns {
  readonly #patterns: readonly Path[];

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((pattern) => pattern.split("."));
  }

  /** True for a path that a pattern means, or that lies below one. */
  has(path: Path): boolean {
    return this.#patterns.some(
      (pattern) =>
        pattern.length <= path.length && pattern.every((name, index) => name === "*" || name === path[index]),
    );
  }

  /** True where a pattern means something at, above or below the path. */
  touches(path: Path): boolean {
    return this.#patterns.some((pattern) =>
      pattern.every((name, index) => index >= path.length || name === "*" || name === path[index]),
    );
  }
}

/** What stands in the place of a secret. */
export const masked = "***";

/** A copy in which secrets are not to be seen. */
export function maskSecrets(value: unknown, secrets: PathPatterns, at: Path = []): unknown {
  if (at.length > 0 && secrets.has(at)) return value === undefined ? undefined : masked;
  if (Array.isArray(value)) return value.map((item, index) => maskSecrets(item, secrets, [...at, String(index)]));
  if (!isTree(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) copy[name] = maskSecrets(inner, secrets, [...at, name]);
  return copy;
}
