// Cuts a history into parts that have nothing to do with each other: no key, no range of keys and no lease in common.
import { includesKey, type Keys, type Operation, type Request } from "./operation.ts";
import { type Touched, touchedBy } from "./touched.ts";

/**
 * Parts whose union is the history. Sound only where revisions are not compared: those are the whole store's. A history
 * with anything that names a revision, or a comparison with one, stays in one piece.
 */
export function partition(history: readonly Operation[]): readonly (readonly Operation[])[] {
  if (history.some(({ request }) => namesRevision(request))) return [history];
  const touched = history.map(({ request }) => touchedBy(request));
  const intervals = touched.flatMap(({ keys }) => keys.filter((range) => range.kind === "interval"));
  // A range joins every key in it, whether it exists or not; one such range over everything is not worth more thought.
  const groups = new Groups();
  for (const { keys, leases } of touched) {
    const names = [...keys.map((range) => nameOf(range, intervals)), ...[...leases].map((id) => `lease ${id}`)];
    for (const name of names) groups.join(names[0] as string, name);
  }
  const parts = new Map<string, Operation[]>();
  for (const [at, operation] of history.entries()) {
    const { keys, leases } = touched[at] as Touched;
    const first = keys[0];
    const name = first === undefined ? `lease ${[...leases][0] ?? 0n}` : nameOf(first, intervals);
    const root = groups.rootOf(name);
    const part = parts.get(root);
    if (part === undefined) parts.set(root, [operation]);
    else part.push(operation);
  }
  return [...parts.values()];
}

function nameOf(range: Keys, intervals: readonly Keys[]): string {
  if (range.kind === "interval" || intervals.some((interval) => includesKey(interval, range.key))) return "intervals";
  return `key ${range.key}`;
}

function namesRevision(request: Request): boolean {
  if (request.kind === "compact") return true;
  if (request.kind === "range") return (request.revision ?? 0) !== 0;
  if (request.kind !== "txn") return false;
  const { compares, success, failure } = request;
  const comparesRevision = compares.some(({ operand }) => operand.target === "create" || operand.target === "mod");
  return comparesRevision || [...success, ...failure].some(namesRevision);
}

/** Sets that are joined. */
class Groups {
  readonly #parents = new Map<string, string>();

  rootOf(name: string): string {
    let root = name;
    for (let parent = this.#parents.get(root); parent !== undefined; parent = this.#parents.get(root)) root = parent;
    return root;
  }

  join(a: string, b: string): void {
    const rootA = this.rootOf(a);
    const rootB = this.rootOf(b);
    if (rootA !== rootB) this.#parents.set(rootB, rootA);
  }
}
