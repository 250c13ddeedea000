// The settings of all sources put together: which one counts for each flag, and what the ones that have no meaning here
// have to say. One rule decides: command line, then QUORATE_ variables, then ETCD_ variables, then the file, then the
// default. (etcd differs: there a file shuts out everything else.)
import type { Flag } from "./flag.ts";
import { faultOf, isDefault, parseBoolean, parseDurationMs, parseInteger, parseList } from "./flag-value.ts";
import { featureGates, flagsByName } from "./flags-table.ts";
import { nearestName } from "./parse-flags.ts";
import { type Problem, type Setting, sources } from "./setting.ts";

const gatesName = "feature-gates";

/** What counts for each flag. Values are read with the type that the flag has. */
export interface SettingsTable {
  /** Where the flag was set, if anywhere. */
  setting(name: string): Setting | undefined;
  text(name: string): string;
  boolean(name: string): boolean;
  integer(name: string): number;
  durationMs(name: string): number;
  list(name: string): readonly string[];
}

export interface MergedSettings {
  readonly table: SettingsTable;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

/** Puts settings together. Values that are none are reported and count as not set. */
export function mergeSettings(settings: readonly Setting[]): MergedSettings {
  const problems: Problem[] = [];
  const warnings: string[] = [];
  const gates: Setting[] = [];
  const winners = new Map<string, Setting>();
  // From the weakest source to the strongest, so that later ones replace earlier ones.
  for (const source of [...sources].reverse()) {
    for (const setting of settings.filter((candidate) => candidate.source === source)) {
      const problem = checkValue(setting);
      if (problem !== undefined) problems.push(problem);
      else if (setting.flag.effect.kind === "renamed" && setting.flag.effect.gate !== undefined) gates.push(setting);
      else winners.set(nameOf(setting.flag), setting);
    }
  }
  for (const setting of winners.values()) {
    const said = remarkOn(setting);
    if (typeof said === "string") warnings.push(said);
    else if (said !== undefined) problems.push(said);
  }
  const gatesSetting = winners.get(gatesName);
  for (const said of [...checkGates(gatesSetting), ...gates.map(remarkOnGate)]) {
    if (typeof said === "string") warnings.push(said);
    else problems.push(said);
  }
  return { table: tableOf(winners), problems, warnings };
}

/** A flag's name without regard to older spellings. */
const nameOf = ({ name, effect }: Flag): string => (effect.kind === "renamed" ? effect.target : name);

function tableOf(winners: ReadonlyMap<string, Setting>): SettingsTable {
  const text = (name: string): string => winners.get(name)?.text ?? flagsByName.get(name)!.default;
  return {
    setting: (name) => winners.get(name),
    text,
    boolean: (name) => parseBoolean(text(name))!,
    integer: (name) => parseInteger(text(name))!,
    durationMs: (name) => parseDurationMs(text(name))!,
    list: (name) => parseList(text(name)),
  };
}

function checkValue({ flag, text, label }: Setting): Problem | undefined {
  if (flag.effect.kind === "ignored") return undefined;
  const target = flagsByName.get(nameOf(flag))!;
  const typed: Flag = flag.effect.kind === "renamed" && flag.effect.gate === undefined ? target : flag;
  const fault = faultOf(typed, text);
  if (fault === undefined) return undefined;
  return { label, found: `"${text}"`, expected: fault.expected, type: typedAs(label, fault.example) };
}

/** `label` set to `value`, in the syntax of where it stands. */
export function typedAs(label: string, value: string): string {
  const inFile = /^(?:.*\.)?(\S+) in /.exec(label);
  return inFile === null ? `${label}=${value}` : `${inFile[1]}: ${value}`;
}

/** What there is to say about a flag that does not do what its name promises. */
function remarkOn({ flag, text, label }: Setting): Problem | string | undefined {
  const target = flagsByName.get(nameOf(flag))!;
  const { effect } = target;
  if (effect.kind === "ignored") return `${label} means nothing, to etcd and here`;
  if (effect.kind !== "no-effect" && effect.kind !== "not-offered") return undefined;
  if (isDefault(target, text)) return undefined;
  if (effect.kind === "no-effect") return `${label}=${text} changes nothing: ${effect.reason}`;
  const shown = target.default === "" ? "nothing" : target.default;
  return {
    label,
    found: `"${text}"`,
    expected: `${shown}: ${effect.reason}`,
    type: `the ${label.startsWith("-") ? "command line" : "same"} without it`,
  };
}

function checkGates(setting: Setting | undefined): (Problem | string)[] {
  if (setting === undefined) return [];
  const { label } = setting;
  return parseList(setting.text).flatMap((part): (Problem | string)[] => {
    const [name = "", text = ""] = part.split("=").map((piece) => piece.trim());
    const isAll = name === "AllAlpha" || name === "AllBeta";
    const gate = featureGates.find((candidate) => candidate.name === name);
    const value = parseBoolean(text);
    if (gate === undefined && !isAll) {
      const names = featureGates.map((candidate) => candidate.name);
      const near = nearestName(name, names) ?? names[0];
      const expected = `one of ${[...names, "AllAlpha", "AllBeta"].join(", ")}`;
      return [{ label, found: `the feature "${name}"`, expected, type: typedAs(label, `${near}=true`) }];
    }
    if (value === undefined) {
      const expected = "true or false for each feature";
      return [{ label, found: `"${part}"`, expected, type: typedAs(label, `${name}=true`) }];
    }
    return gate !== undefined && gate.default !== value ? [gateWarning(label, name, value)] : [];
  });
}

function remarkOnGate({ flag, text, label }: Setting): string | Problem {
  const gate = flag.effect.kind === "renamed" ? (flag.effect.gate ?? "") : "";
  return gateWarning(label, gate, parseBoolean(text)!);
}

const gateWarning = (label: string, name: string, value: boolean): string =>
  `${label}: the feature ${name} is not here, so ${value ? "switching it on" : "switching it off"} changes nothing`;
