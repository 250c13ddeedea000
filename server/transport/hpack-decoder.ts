// HPACK decoding (RFC 7541): one header block in, the list of its fields out. It knows the format and its limits, not
// what the fields mean. A fault in a block leaves the two ends with different tables, so every fault ends the connection.
import { HeaderField } from "./header-field.ts";
import { HpackDynamicTable } from "./hpack-dynamic-table.ts";
import { huffmanDecode, huffmanDecodedBytesMax } from "./hpack-huffman.ts";
import { dynamicIndexFirst, staticFields } from "./hpack-static-table.ts";
import { errorCode, headerTableBytesDefault } from "./http2-constants.ts";
import { ConnectionError } from "./http2-error.ts";

/** What a header block says. */
export interface DecodedHeaders {
  /** In the order received. Cut short once `isTooLarge`. */
  readonly fields: readonly HeaderField[];
  /** The list is larger than allowed; decoding went on so that the tables stay in step, but nothing more was kept. */
  readonly isTooLarge: boolean;
  /** The block changed the dynamic table: the same bytes will not mean the same again. */
  readonly changedTable: boolean;
}

/** Header blocks rarely hold a longer string; longer ones get a buffer of their own. */
const scratch = Buffer.allocUnsafeSlow(4096);

/** Octets after the prefix. Six hold 42 bits, more than any honest length or index; a longer integer is an attack. */
const integerBytesMax = 6;

export class HpackDecoder {
  readonly #listBytesMax: number;
  readonly #table: HpackDynamicTable;
  // The block being read.
  #block: Buffer = scratch;
  #position = 0;
  #end = 0;

  /** `listBytesMax` is SETTINGS_MAX_HEADER_LIST_SIZE, counted as RFC 9113 section 6.5.2 counts. */
  constructor(listBytesMax: number, tableBytesMax: number = headerTableBytesDefault) {
    this.#listBytesMax = listBytesMax;
    this.#table = new HpackDynamicTable(tableBytesMax);
  }

  /** Octets that the dynamic table holds now. */
  get tableBytes(): number {
    return this.#table.sizeBytes;
  }

  /** Decodes `block[start..end)`. Throws {@link ConnectionError} COMPRESSION_ERROR. */
  decode(block: Buffer, start: number, end: number): DecodedHeaders {
    this.#block = block;
    this.#position = start;
    this.#end = end;
    const fields: HeaderField[] = [];
    let listBytes = 0;
    let changedTable = this.#readSizeUpdates();
    while (this.#position < end) {
      const first = block[this.#position]!;
      let field: HeaderField;
      if ((first & 0x80) !== 0) field = this.#fieldAt(this.#readInteger(7));
      else if ((first & 0x40) !== 0) {
        field = this.#readLiteral(6);
        this.#table.insert(field);
        changedTable = true;
      } else if ((first & 0x20) !== 0) throw broken("table size update after a header field");
      else field = this.#readLiteral(4);
      listBytes += field.sizeBytes;
      if (listBytes <= this.#listBytesMax) fields.push(field);
    }
    this.#block = scratch;
    return { fields, isTooLarge: listBytes > this.#listBytesMax, changedTable };
  }

  /** At most two size updates may open a block: the smallest size in between, then the final one (section 4.2). */
  #readSizeUpdates(): boolean {
    let count = 0;
    while (this.#position < this.#end && (this.#block[this.#position]! & 0xe0) === 0x20) {
      count += 1;
      if (count > 2) throw broken("more than two table size updates in one block");
      if (!this.#table.resize(this.#readInteger(5))) throw broken("table size update above the announced limit");
    }
    return count > 0;
  }

  #fieldAt(index: number): HeaderField {
    const field = index < dynamicIndexFirst ? staticFields[index - 1] : this.#table.at(index - dynamicIndexFirst);
    if (field === undefined) throw broken("index of no table entry");
    return field;
  }

  /** A literal field whose name is an index in the low `prefixBits` bits, or a string where that is zero. */
  #readLiteral(prefixBits: number): HeaderField {
    const nameIndex = this.#readInteger(prefixBits);
    const name = nameIndex === 0 ? this.#readString() : this.#fieldAt(nameIndex).name;
    return new HeaderField(name, this.#readString());
  }

  /** Section 5.1. */
  #readInteger(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#block[this.#position++]! & mask;
    if (value < mask) return value;
    let factor = 1;
    for (let i = 0; i < integerBytesMax; i++) {
      if (this.#position >= this.#end) throw broken("header block ends within an integer");
      const byte = this.#block[this.#position++]!;
      value += (byte & 0x7f) * factor;
      if ((byte & 0x80) === 0) return value;
      factor *= 128;
    }
    throw broken("integer too long");
  }

  /** Section 5.2. */
  #readString(): string {
    if (this.#position >= this.#end) throw broken("header block ends before a string");
    const isHuffman = (this.#block[this.#position]! & 0x80) !== 0;
    const length = this.#readInteger(7);
    const start = this.#position;
    const end = start + length;
    if (end > this.#end) throw broken("string longer than its header block");
    this.#position = end;
    if (!isHuffman) return this.#block.toString("latin1", start, end);
    const roomBytes = huffmanDecodedBytesMax(length);
    const target = roomBytes <= scratch.length ? scratch : Buffer.allocUnsafe(roomBytes);
    const decoded = huffmanDecode(this.#block, start, end, target);
    if (decoded < 0) throw broken("wrong Huffman code or padding");
    return target.toString("latin1", 0, decoded);
  }
}

function broken(what: string): ConnectionError {
  return new ConnectionError(errorCode.compressionError, `hpack: ${what}`);
}
