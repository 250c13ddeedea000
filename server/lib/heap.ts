// A binary min-heap whose items can be moved and removed: each item keeps its place in a field of the heap's own.

interface Slot<T> {
  readonly item: T;
  rank: number;
}

export class Heap<T> {
  readonly #slots: Slot<T>[] = [];
  readonly #positions = new Map<T, number>();

  get size(): number {
    return this.#slots.length;
  }

  /** The item of the lowest rank, and that rank. */
  peek(): { readonly item: T; readonly rank: number } | undefined {
    return this.#slots[0];
  }

  has(item: T): boolean {
    return this.#positions.has(item);
  }

  rankOf(item: T): number | undefined {
    const position = this.#positions.get(item);
    return position === undefined ? undefined : this.#slots[position]?.rank;
  }

  /** Adds an item, or moves it to another rank. */
  set(item: T, rank: number): void {
    const position = this.#positions.get(item);
    if (position === undefined) {
      this.#slots.push({ item, rank });
      this.#positions.set(item, this.#slots.length - 1);
      this.#rise(this.#slots.length - 1);
      return;
    }
    (this.#slots[position] as Slot<T>).rank = rank;
    this.#rise(position);
    this.#sink(this.#positions.get(item) as number);
  }

  delete(item: T): boolean {
    const position = this.#positions.get(item);
    if (position === undefined) return false;
    this.#positions.delete(item);
    const last = this.#slots.pop() as Slot<T>;
    if (last.item === item) return true;
    this.#place(position, last);
    this.#rise(position);
    this.#sink(this.#positions.get(last.item) as number);
    return true;
  }

  clear(): void {
    this.#slots.length = 0;
    this.#positions.clear();
  }

  #place(position: number, slot: Slot<T>): void {
    this.#slots[position] = slot;
    this.#positions.set(slot.item, position);
  }

  #rise(start: number): void {
    let position = start;
    const slot = this.#slots[position] as Slot<T>;
    while (position > 0) {
      const parentPosition = (position - 1) >>> 1;
      const parent = this.#slots[parentPosition] as Slot<T>;
      if (parent.rank <= slot.rank) break;
      this.#place(position, parent);
      position = parentPosition;
    }
    this.#place(position, slot);
  }

  #sink(start: number): void {
    let position = start;
    const slot = this.#slots[position] as Slot<T>;
    for (;;) {
      let childPosition = position * 2 + 1;
      let child = this.#slots[childPosition];
      if (child === undefined) break;
      const right = this.#slots[childPosition + 1];
      if (right !== undefined && right.rank < child.rank) {
        child = right;
        childPosition++;
      }
      if (child.rank >= slot.rank) break;
      this.#place(position, child);
      position = childPosition;
    }
    this.#place(position, slot);
  }
}
