// Header blocks of requests as a gRPC client sends them: each field is put into the dynamic table the first time and is
// one octet from then on (HPACK, RFC 7541 section 6). It encodes the few fields of this load generator, no others.

/** Static table index of a full field or of a name; RFC 7541 appendix A. */
const staticFull = new Map([
  [":method: POST", 3],
  [":scheme: http", 6],
]);
const staticNames = new Map([
  [":authority", 1],
  [":path", 4],
  ["content-type", 31],
  ["user-agent", 58],
]);
const staticCount = 61;

export class HeaderWriter {
  readonly #authority: string;
  /** Newest first, as the other end numbers them. Never so many that one would be evicted from 4096 bytes. */
  readonly #table: string[] = [];
  readonly #blocks = new Map<string, Buffer>();

  constructor(authority: string) {
    this.#authority = authority;
  }

  /** The block that opens a call. Blocks must be sent in the order in which they were asked for. */
  blockFor(path: string): Buffer {
    const known = this.#blocks.get(path);
    if (known !== undefined) return known;
    const parts: number[] = [];
    let isNew = false;
    for (const [name, value] of [
      [":method", "POST"],
      [":scheme", "http"],
      [":path", path],
      [":authority", this.#authority],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ["user-agent", "quorate-bench"],
    ] as const) {
      isNew = this.#write(parts, name, value) || isNew;
    }
    const block = Buffer.from(parts);
    // New entries move the older ones back, so blocks that were kept no longer say what they said.
    if (isNew) this.#blocks.clear();
    else this.#blocks.set(path, block);
    return block;
  }

  #write(parts: number[], name: string, value: string): boolean {
    const field = `${name}: ${value}`;
    const fixed = staticFull.get(field);
    const kept = this.#table.indexOf(field);
    if (fixed !== undefined || kept !== -1) {
      parts.push(0x80 | (fixed ?? staticCount + 1 + kept));
      return false;
    }
    // Literal with incremental indexing; every index and length here fits its prefix.
    const nameIndex = staticNames.get(name);
    parts.push(0x40 | (nameIndex ?? 0));
    if (nameIndex === undefined) parts.push(name.length, ...Buffer.from(name, "latin1"));
    parts.push(value.length, ...Buffer.from(value, "latin1"));
    this.#table.unshift(field);
    return true;
  }
}
