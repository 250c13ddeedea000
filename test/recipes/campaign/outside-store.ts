// The resource outside: a value per name with a version. Whoever writes says which version the new value was made from;
// if that is not the newest, an update is lost. A fenced store refuses every access with a smaller token than it has
// seen, reads included: a read that is let through becomes the base of a write.

interface Entry {
  version: number;
  token: bigint;
  /** Tokens that have read and not written yet: more than one means that two are inside at the same time. */
  readonly inside: Set<bigint>;
}

export class OutsideStore {
  readonly #isFenced: boolean;
  readonly #entries = new Map<string, Entry>();
  accepted = 0;
  refused = 0;
  lostUpdates = 0;
  overlaps = 0;

  constructor(isFenced: boolean) {
    this.#isFenced = isFenced;
  }

  /** Names and tokens of those who have read and not written yet, the newest last. */
  inside(name: string): readonly bigint[] {
    return [...(this.#entries.get(name)?.inside ?? [])];
  }

  read(name: string, token: bigint): { readonly accepted: boolean; readonly version: number } {
    const entry = this.#entry(name);
    if (!this.#lets(entry, token)) return { accepted: false, version: entry.version };
    if (entry.inside.size > 0) this.overlaps += 1;
    entry.inside.add(token);
    return { accepted: true, version: entry.version };
  }

  write(name: string, token: bigint, basedOn: number): { readonly accepted: boolean; readonly version: number } {
    const entry = this.#entry(name);
    entry.inside.delete(token);
    if (!this.#lets(entry, token)) return { accepted: false, version: entry.version };
    if (basedOn !== entry.version) this.lostUpdates += 1;
    entry.version += 1;
    this.accepted += 1;
    return { accepted: true, version: entry.version };
  }

  #lets(entry: Entry, token: bigint): boolean {
    if (!this.#isFenced) return true;
    if (token < entry.token) {
      this.refused += 1;
      return false;
    }
    entry.token = token;
    return true;
  }

  #entry(name: string): Entry {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { version: 0, token: 0n, inside: new Set() };
      this.#entries.set(name, entry);
    }
    return entry;
  }
}
