// Reads a V8 CPU profile: how much time each function, and each part of the program, spent in itself.

/** The parts of V8's format that are used here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Microseconds from the sample before. */
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  /** Where it is: a path from the checkout's top, `node:...`, or nothing for V8's own. */
  readonly place: string;
  readonly micros: number;
}

/** Time in itself of each function, most first. `root` is cut off the front of paths. */
export function selfTimes(profile: CpuProfile, root: string): readonly SelfTime[] {
  const microsOf = new Map<number, number>();
  for (const [i, id] of profile.samples.entries()) {
    microsOf.set(id, (microsOf.get(id) ?? 0) + Math.max(0, profile.timeDeltas[i] ?? 0));
  }
  const byFunction = new Map<string, SelfTime>();
  for (const { id, callFrame } of profile.nodes) {
    const micros = microsOf.get(id) ?? 0;
    // The profiler's own messages to the inspector, at the start and the end.
    if (micros === 0 || (callFrame.functionName === "dispatch" && callFrame.url === "")) continue;
    const path = pathOf(callFrame.url, root);
    const place = path === "" ? "" : `${path}:${callFrame.lineNumber + 1}`;
    const name = callFrame.functionName === "" ? "(anonymous)" : callFrame.functionName;
    const key = `${name} ${place}`;
    byFunction.set(key, { name, place, micros: micros + (byFunction.get(key)?.micros ?? 0) });
  }
  return [...byFunction.values()].sort((a, b) => b.micros - a.micros);
}

function pathOf(url: string, root: string): string {
  const path = url.replace(/^file:\/\//, "");
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
}

/** The same by part: `server/log`, `node_modules/lmdb`, `node`, V8's `(garbage collector)`, most first. */
export function selfTimesByPart(times: readonly SelfTime[]): readonly SelfTime[] {
  const byPart = new Map<string, number>();
  for (const { name, place, micros } of times) {
    const part = partOf(name, place);
    byPart.set(part, (byPart.get(part) ?? 0) + micros);
  }
  return [...byPart].map(([name, micros]) => ({ name, place: "", micros })).sort((a, b) => b.micros - a.micros);
}

function partOf(name: string, place: string): string {
  if (place === "") return name.startsWith("(") ? name : "native";
  if (place.startsWith("node:")) return "node";
  const packageName = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(place)?.[1];
  if (packageName !== undefined) return `node_modules/${packageName}`;
  return place
    .replace(/^dist\//, "")
    .split("/")
    .slice(0, 2)
    .join("/");
}
