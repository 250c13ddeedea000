// The flags of a member on its command line, in Go's syntax: `--f=v`, `--f v`, `-f v`; booleans only `--f` or `--f=v`;
// of a flag that is given twice the last one counts. Knows names and forms; what values mean is resolve-config.ts.
import { flagsByName } from "./flags-table.ts";
import type { Problem, Setting, Settings } from "./setting.ts";

const source = "command line";

export function parseFlags(args: readonly string[]): Settings {
  const settings: Setting[] = [];
  const problems: Problem[] = [];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    if (arg === "--") {
      for (const extra of args.slice(at + 1)) problems.push(notAFlag(extra, undefined));
      break;
    }
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg);
    if (match === null) {
      problems.push(notAFlag(arg, args[at - 1]));
      continue;
    }
    const [, name = "", attached] = match;
    const flag = flagsByName.get(name);
    const label = `--${name}`;
    if (flag === undefined) {
      problems.push(unknownFlag(name));
      // Most likely its value, which is not worth a complaint of its own.
      if (attached === undefined && args[at + 1]?.startsWith("-") === false) at += 1;
    } else if (attached !== undefined) settings.push({ flag, text: attached, source, label });
    else if (flag.type === "boolean") settings.push({ flag, text: "true", source, label });
    else {
      const next = args[at + 1];
      if (next === undefined || isFlag(next)) {
        const type = `${label}=${flag.default === "" ? "..." : flag.default}`;
        problems.push({ label, found: "no value", expected: `a value: ${flag.help}`, type });
      } else {
        settings.push({ flag, text: next, source, label });
        at += 1;
      }
    }
  }
  return { settings, problems, warnings: [] };
}

const isFlag = (arg: string): boolean => arg.startsWith("--") && flagsByName.has(arg.slice(2).split("=")[0]!);

function notAFlag(arg: string, previous: string | undefined): Problem {
  const name = /^--?([^-=][^=]*)$/.exec(previous ?? "")?.[1] ?? "";
  const isValueOfBoolean = flagsByName.get(name)?.type === "boolean";
  return {
    label: arg,
    found: `"${arg}", which belongs to no flag`,
    expected: isValueOfBoolean ? `--${name} alone or with "="` : "only flags, such as --name=a",
    type: isValueOfBoolean ? `--${name}=${arg}` : "the command line without it",
  };
}

function unknownFlag(name: string): Problem {
  const near = nearestName(name, [...flagsByName.keys()]);
  return {
    label: `--${name}`,
    found: "a flag that there is not",
    expected: "a flag of etcd or one that `quorate serve --help` lists",
    type: near === undefined ? "the command line without it" : `--${near}, if that is what you mean`,
  };
}

/** The name that is most like a mistyped one, if any is close. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 4)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let at = 1; at <= from.length; at++) {
    const next = [at];
    for (let index = 1; index <= to.length; index++) {
      const change = row[index - 1]! + (from[at - 1] === to[index - 1] ? 0 : 1);
      next.push(Math.min(change, row[index]! + 1, next[index - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
