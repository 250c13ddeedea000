// Planted bugs. A test that never failed proves little, so each rule worth a test carries, at the very line that
// decides, a way to break it by name; tests and the simulator arm one and demand that it is found. In production
// nothing is armed and a decision costs one look at a boolean.

const known = new Map<string, string>();
const armed = new Set<string>();
let anyArmed = false;

/**
 * Makes a table of planted bugs known, each with a sentence on what it breaks, and returns the question to ask at the
 * decision: is this one armed? Names start with the room they are planted in: `raft/...`.
 */
export function declareMutations<const Table extends Readonly<Record<string, string>>>(
  table: Table,
): (name: keyof Table & string) => boolean {
  for (const [name, sentence] of Object.entries(table)) {
    if (known.has(name)) throw new Error(`mutation ${name} is declared twice`);
    known.set(name, sentence);
  }
  return (name) => anyArmed && armed.has(name);
}

/** Switches a planted bug on, for the whole process. For tests and the simulator only. */
export function armMutation(name: string): void {
  if (!known.has(name)) throw new Error(`no mutation ${name}; known: ${[...known.keys()].join(", ")}`);
  armed.add(name);
  anyArmed = true;
}

/** Switches all of them off. */
export function disarmMutations(): void {
  armed.clear();
  anyArmed = false;
}

/** All planted bugs of the rooms that were loaded, name to sentence, in order of declaration. */
export function knownMutations(): ReadonlyMap<string, string> {
  return known;
}
