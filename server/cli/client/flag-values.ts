// The flags of one call of a client command: given on the command line, else by a variable, else the default.
import { parseBoolean, parseDurationMs } from "../serve/flag-value.ts";
import type { ClientFlag, ClientFlagType } from "./command-description.ts";
import { CommandError, exitStatus } from "./command-error.ts";
import { variablesOf } from "./global-flags.ts";

export type Environment = { readonly [name: string]: string | undefined };

const integerText = /^[+-]?\d+$/;

/** Go's words for a text that is no value of its type. */
function faultOf(type: ClientFlagType, value: string): string | undefined {
  switch (type) {
    case "boolean":
      return parseBoolean(value) === undefined ? `strconv.ParseBool: parsing "${value}": invalid syntax` : undefined;
    case "integer":
      if (!integerText.test(value)) return `strconv.ParseInt: parsing "${value}": invalid syntax`;
      return isInt64(BigInt(value)) ? undefined : `strconv.ParseInt: parsing "${value}": value out of range`;
    case "duration":
      return parseDurationMs(value) === undefined ? `time: invalid duration "${value}"` : undefined;
    case "text":
    case "list":
      return undefined;
  }
}

export const isInt64 = (value: bigint): boolean => value >= -(2n ** 63n) && value < 2n ** 63n;

export class FlagValues {
  readonly #flags: ReadonlyMap<string, ClientFlag>;
  readonly #given: ReadonlyMap<string, readonly string[]>;
  readonly #environment: Environment;
  readonly #globals: ReadonlySet<string>;

  /**
   * @param given What was typed, in order, by flag.
   * @param globals Names of the flags that variables can stand for.
   */
  constructor(
    flags: readonly ClientFlag[],
    given: ReadonlyMap<string, readonly string[]>,
    environment: Environment,
    globals: readonly string[],
  ) {
    this.#flags = new Map(flags.map((flag) => [flag.name, flag]));
    this.#given = given;
    this.#environment = environment;
    this.#globals = new Set(globals);
    for (const [name, values] of given) {
      const flag = this.#flags.get(name)!;
      for (const value of values)
        this.#check(flag, value, flag.short === undefined ? `--${name}` : `-${flag.short}, --${name}`);
    }
    for (const name of globals) this.#check(this.#flags.get(name)!, this.text(name), variablesOf(name).join(" or "));
  }

  #check(flag: ClientFlag, value: string, label: string): void {
    const fault = faultOf(flag.type, value);
    if (fault !== undefined) {
      throw new CommandError(`invalid argument "${value}" for "${label}" flag: ${fault}`, exitStatus.error);
    }
  }

  /** Whether the flag was set anywhere. */
  isSet(name: string): boolean {
    return this.#found(name) !== undefined;
  }

  #found(name: string): readonly string[] | undefined {
    const given = this.#given.get(name);
    if (given !== undefined || !this.#globals.has(name)) return given;
    const found = variablesOf(name).map((variable) => this.#environment[variable]);
    const value = found.find((candidate) => candidate !== undefined && candidate !== "");
    return value === undefined ? undefined : [value];
  }

  /** The value that counts: of a repeated flag, the last. */
  text(name: string): string {
    return this.#found(name)?.at(-1) ?? this.#flags.get(name)!.default;
  }

  boolean(name: string): boolean {
    return parseBoolean(this.text(name))!;
  }

  integer(name: string): bigint {
    return BigInt(this.text(name));
  }

  durationMs(name: string): number {
    return parseDurationMs(this.text(name))!;
  }

  /** Comma-separated values; a repeated flag adds to them. */
  list(name: string): readonly string[] {
    const values = this.#found(name) ?? [this.#flags.get(name)!.default];
    return values.flatMap((value) => value.split(",")).filter((value) => value !== "");
  }
}
