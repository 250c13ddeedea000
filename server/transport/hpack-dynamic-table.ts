// The decoder's dynamic table (RFC 7541 section 2.3.2): newest first, bounded in octets, oldest out first. A ring, so
// that neither inserting nor evicting moves entries.
import { assert } from "../lib/assert.ts";
import { type HeaderField, headerFieldOverheadBytes } from "./header-field.ts";

export class HpackDynamicTable {
  /** What SETTINGS_HEADER_TABLE_SIZE allows the peer; it may choose less. */
  readonly #sizeBytesLimit: number;
  #sizeBytesMax: number;
  #sizeBytes = 0;
  #ring: (HeaderField | undefined)[] = [];
  /** Slot of the newest entry. */
  #newest = 0;
  #count = 0;

  constructor(sizeBytesLimit: number) {
    this.#sizeBytesLimit = sizeBytesLimit;
    this.#sizeBytesMax = sizeBytesLimit;
  }

  get count(): number {
    return this.#count;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The entry `age` insertions old, 0 being the newest; undefined where there is none. */
  at(age: number): HeaderField | undefined {
    return age < this.#count ? this.#ring[(this.#newest - age) & (this.#ring.length - 1)] : undefined;
  }

  /** Adds a field. One that is larger than the whole table empties it and is not kept (RFC 7541 section 4.4). */
  insert(field: HeaderField): void {
    this.#evictTo(this.#sizeBytesMax - field.sizeBytes);
    if (field.sizeBytes > this.#sizeBytesMax) return;
    if (this.#count === this.#ring.length) this.#grow();
    this.#newest = (this.#newest + 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = field;
    this.#count += 1;
    this.#sizeBytes += field.sizeBytes;
  }

  /** Follows a size update from the peer. False where it asks for more than it was allowed. */
  resize(sizeBytesMax: number): boolean {
    if (sizeBytesMax > this.#sizeBytesLimit) return false;
    this.#sizeBytesMax = sizeBytesMax;
    this.#evictTo(sizeBytesMax);
    return true;
  }

  #evictTo(sizeBytes: number): void {
    while (this.#count > 0 && this.#sizeBytes > sizeBytes) {
      const slot = (this.#newest - this.#count + 1) & (this.#ring.length - 1);
      const oldest = this.#ring[slot];
      assert(oldest !== undefined, "hpack: an entry of the dynamic table is missing");
      this.#ring[slot] = undefined;
      this.#count -= 1;
      this.#sizeBytes -= oldest.sizeBytes;
    }
  }

  /** Doubles the ring. Each entry counts at least 32 octets, so the size limit bounds the slots too. */
  #grow(): void {
    const slots = this.#ring.length === 0 ? 8 : this.#ring.length * 2;
    assert(slots <= 16 + (this.#sizeBytesLimit / headerFieldOverheadBytes) * 2, "hpack: the ring outgrew its table");
    const larger: (HeaderField | undefined)[] = new Array(slots).fill(undefined);
    for (let age = 0; age < this.#count; age++) larger[this.#count - 1 - age] = this.at(age);
    this.#ring = larger;
    this.#newest = this.#count - 1;
  }
}
