// Tables as plain maps that are sorted for every question: slow, and too simple to be wrong.
import type { ByteString } from "../../server/lib/byte-string.ts";
import type { Row, TableReader } from "../../server/storage/backend.ts";
import { type TableName, tableNames } from "../../server/storage/tables.ts";

export class NaiveTables implements TableReader {
  readonly tables = new Map<TableName, Map<ByteString, Uint8Array>>(tableNames.map((name) => [name, new Map()]));

  table(name: TableName): Map<ByteString, Uint8Array> {
    return this.tables.get(name) as Map<ByteString, Uint8Array>;
  }

  copy(): NaiveTables {
    const copy = new NaiveTables();
    for (const [name, rows] of this.tables) copy.tables.set(name, new Map(rows));
    return copy;
  }

  get(table: TableName, key: ByteString): Uint8Array | undefined {
    return this.table(table).get(key);
  }

  *scan(table: TableName, from: ByteString, to: ByteString | undefined): IterableIterator<Row> {
    const keys = [...this.table(table).keys()].filter((key) => key >= from && (to === undefined || key < to)).sort();
    for (const key of keys) yield { key, value: this.get(table, key) as Uint8Array };
  }

  first(table: TableName, from: ByteString, to: ByteString | undefined): Row | undefined {
    return [...this.scan(table, from, to)][0];
  }

  count(table: TableName, from: ByteString, to: ByteString | undefined): { rows: number; next: undefined } {
    return { rows: [...this.scan(table, from, to)].length, next: undefined };
  }
}

/** Everything a store holds, as text, for comparing two of them. */
export function textOf(reader: TableReader): string[] {
  return tableNames.flatMap((table) =>
    [...reader.scan(table, "", undefined)].map(
      ({ key, value }) =>
        `${table} ${Buffer.from(key, "latin1").toString("hex")} ${Buffer.from(value).toString("hex")}`,
    ),
  );
}
