// What one flag of a member is: its name, how its text is read, and what it does here. flags-table.ts lists them all.

/**
 * How the text of a flag is read.
 * - `text`: as it is; `boolean`: `true` or `false`; `integer`: a whole number;
 * - `duration`: `1m30s`, `100ms` (the file has whole nanoseconds instead);
 * - `urls`: comma-separated URLs; `list`: comma-separated words.
 */
export type FlagType = "text" | "boolean" | "integer" | "duration" | "urls" | "list";

/**
 * What a flag does in a member.
 * - `used`: what it says;
 * - `no-effect`: it is accepted, and there is nothing here that it could change. Set to something else than its default
 *   it is mentioned in the log, with `reason`;
 * - `not-offered`: it promises something that is not there. Set to something else than its default it is refused, with
 *   `reason`, because starting without it would be a lie;
 * - `renamed`: an older spelling of `target`; for a feature gate, `gate` names it;
 * - `ignored`: accepted by etcd without any meaning, and here too.
 */
export type FlagEffect =
  | { readonly kind: "used" }
  | { readonly kind: "no-effect"; readonly reason: string }
  | { readonly kind: "not-offered"; readonly reason: string }
  | { readonly kind: "renamed"; readonly target: string; readonly gate?: string }
  | { readonly kind: "ignored" };

export interface Flag {
  readonly name: string;
  readonly type: FlagType;
  /** As it would be typed. */
  readonly default: string;
  readonly effect: FlagEffect;
  readonly help: string;
  /** The only texts it takes, where there are few. */
  readonly choices?: readonly string[];
  /** Cannot come from an environment variable or from the file. */
  readonly isCommandLineOnly?: true;
}

export interface FlagGroup {
  readonly title: string;
  readonly flags: readonly Flag[];
}

type More = Pick<Flag, "choices" | "isCommandLineOnly">;

/** Makes a flag that does what it says. */
export const used = (name: string, type: FlagType, preset: string, help: string, more: More = {}): Flag => ({
  name,
  type,
  default: preset,
  effect: { kind: "used" },
  help,
  ...more,
});

/** Makes a flag that has nothing to change here. */
export const noEffect = (
  name: string,
  type: FlagType,
  preset: string,
  help: string,
  reason: string,
  more: More = {},
): Flag => ({ name, type, default: preset, effect: { kind: "no-effect", reason }, help, ...more });

/** Makes a flag for something that is not there. */
export const notOffered = (
  name: string,
  type: FlagType,
  preset: string,
  help: string,
  reason: string,
  more: More = {},
): Flag => ({ name, type, default: preset, effect: { kind: "not-offered", reason }, help, ...more });

/** Makes an older spelling of another flag. */
export const renamed = (name: string, type: FlagType, target: string, gate?: string): Flag => ({
  name,
  type,
  default: "",
  effect: { kind: "renamed", target, ...(gate === undefined ? {} : { gate }) },
  help: gate === undefined ? `Older spelling of --${target}.` : `Older spelling of --${target}=${gate}=true.`,
});

/** Makes a flag that etcd takes and drops. */
export const ignored = (name: string): Flag => ({
  name,
  type: "text",
  default: "",
  effect: { kind: "ignored" },
  help: "Accepted and ignored, as etcd does.",
});
