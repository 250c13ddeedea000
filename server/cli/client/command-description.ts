// What there is to know of a client command without running it: its words, its arguments and its flags.

export type ClientFlagType = "text" | "boolean" | "integer" | "duration" | "list";

export interface ClientFlag {
  readonly name: string;
  readonly type: ClientFlagType;
  /** As it would be typed. */
  readonly default: string;
  readonly help: string;
  /** One letter, for a single dash. */
  readonly short?: string;
}

export interface CommandDescription {
  /** The words that call it: `lease grant`. */
  readonly name: string;
  /** Its arguments, as help shows them: `<key> [range_end]`. */
  readonly usage: string;
  /** One line. */
  readonly summary: string;
  readonly flags: readonly ClientFlag[];
  /** What help adds, if the summary is not enough. */
  readonly details?: string;
}

export const text = (name: string, help: string, preset = "", short?: string): ClientFlag => ({
  name,
  type: "text",
  default: preset,
  help,
  ...(short === undefined ? {} : { short }),
});
export const boolean = (name: string, help: string, preset = "false", short?: string): ClientFlag => ({
  name,
  type: "boolean",
  default: preset,
  help,
  ...(short === undefined ? {} : { short }),
});
export const integer = (name: string, help: string, preset = "0"): ClientFlag => ({
  name,
  type: "integer",
  default: preset,
  help,
});
export const duration = (name: string, help: string, preset: string): ClientFlag => ({
  name,
  type: "duration",
  default: preset,
  help,
});
export const list = (name: string, help: string, preset = ""): ClientFlag => ({
  name,
  type: "list",
  default: preset,
  help,
});
