// A batch of changes as one block of memory that can be handed to the writer thread without copying, or sent to another
// member as a piece of a snapshot. Numbers of tables are positions in tables.ts, so new tables go to its end.
//
//   change := table (1 byte), kind (1 byte: bit 0 for a put; without it the row goes; other bits say nothing here),
//             key length (2 bytes), value length (4 bytes), key, value
import { assert } from "../lib/assert.ts";
import { type ByteString, byteStringFrom, writeByteString } from "../lib/byte-string.ts";
import { putBytes } from "../lib/wire-put.ts";
import type { TableChange } from "./backend.ts";
import { type TableName, tableNames } from "./tables.ts";

/** What a change takes beside the bytes of its key and value. */
export const changeHeadBytes = 8;
const putKind = 1;
const tableNumbers = new Map(tableNames.map((name, number) => [name, number]));

/** Writes a change up to its value and returns where that goes. */
export function putChangeHead(
  bytes: Buffer,
  at: number,
  tableNumber: number,
  kind: number,
  key: ByteString,
  valueBytes: number,
): number {
  bytes[at] = tableNumber;
  bytes[at + 1] = kind;
  bytes[at + 2] = key.length;
  bytes[at + 3] = key.length >>> 8;
  bytes[at + 4] = valueBytes;
  bytes[at + 5] = valueBytes >>> 8;
  bytes[at + 6] = valueBytes >>> 16;
  bytes[at + 7] = valueBytes >>> 24;
  return writeByteString(bytes, key, at + changeHeadBytes);
}

/** Length of the key of the change at `at`. */
export function keyLengthAt(bytes: Uint8Array, at: number): number {
  return (bytes[at + 2] as number) | ((bytes[at + 3] as number) << 8);
}

/** Length of the value of the change at `at`. */
export function valueLengthAt(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at + 6] as number) << 16) | ((bytes[at + 7] as number) << 24);
  return ((bytes[at + 4] as number) | ((bytes[at + 5] as number) << 8) | high) >>> 0;
}

/** Collects changes; grows as needed. */
export class BatchEncoder {
  #bytes: Buffer;
  #length = 0;

  /** @param buffer Where the batch goes unless it outgrows it; whoever gets {@link BatchEncoder.finish} owns it then. */
  constructor(buffer: ArrayBuffer = new ArrayBuffer(4096)) {
    this.#bytes = Buffer.from(buffer);
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  add(change: TableChange): void {
    const { table, key, value } = change;
    const needed = changeHeadBytes + key.length + (value?.length ?? 0);
    this.#reserve(needed);
    const kind = value === undefined ? 0 : putKind;
    const number = tableNumbers.get(table) as number;
    const at = putChangeHead(this.#bytes, this.#length, number, kind, key, value?.length ?? 0);
    if (value !== undefined) putBytes(this.#bytes, at, value);
    this.#length += needed;
  }

  /** Adds whole changes that are in batch form already. */
  append(changes: Uint8Array): void {
    this.#reserve(changes.length);
    this.#bytes.set(changes, this.#length);
    this.#length += changes.length;
  }

  /** The batch, in a buffer of its own that may be transferred. The encoder is of no further use. */
  finish(): { readonly buffer: ArrayBuffer; readonly length: number } {
    return { buffer: this.#bytes.buffer as ArrayBuffer, length: this.#length };
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.from(new ArrayBuffer(Math.max(needed, this.#bytes.length * 2)));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Changes in batch form, one at a time. */
export function* encodeChanges(changes: Iterable<TableChange>): Iterable<Uint8Array> {
  for (const change of changes) {
    const encoder = new BatchEncoder(
      new ArrayBuffer(changeHeadBytes + change.key.length + (change.value?.length ?? 0)),
    );
    encoder.add(change);
    const { buffer, length } = encoder.finish();
    yield new Uint8Array(buffer, 0, length);
  }
}

/** Calls `visit` for every change. Key and value are views of `bytes`. */
export function decodeBatch(
  bytes: Buffer,
  visit: (tableNumber: number, key: Buffer, value: Buffer | undefined) => void,
): void {
  let at = 0;
  while (at < bytes.length) {
    const tableNumber = bytes[at] as number;
    assert(tableNumber < tableNames.length, `unknown table ${tableNumber} in a batch`);
    const isPut = ((bytes[at + 1] as number) & putKind) !== 0;
    const keyAt = at + changeHeadBytes;
    const keyEnd = keyAt + keyLengthAt(bytes, at);
    const valueEnd = keyEnd + valueLengthAt(bytes, at);
    visit(tableNumber, bytes.subarray(keyAt, keyEnd), isPut ? bytes.subarray(keyEnd, valueEnd) : undefined);
    at = valueEnd;
  }
}

/** The changes of a batch in memory of their own. */
export function decodeChanges(batch: Uint8Array): TableChange[] {
  const changes: TableChange[] = [];
  decodeBatch(Buffer.from(batch.buffer, batch.byteOffset, batch.length), (tableNumber, key, value) => {
    const table = tableNames[tableNumber] as TableName;
    changes.push({ table, key: byteStringFrom(key), value: value && Buffer.from(value) });
  });
  return changes;
}
