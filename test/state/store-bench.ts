// A multi-version store in memory for tests, and a few words to write to it with.

import type { Command, PutOperation } from "../../server/state/command.ts";
import type { ApplyOutcome } from "../../server/state/outcome.ts";
import { StateMachine } from "../../server/state/state-machine.ts";
import type { Backend } from "../../server/storage/backend.ts";
import { BufferedBackend } from "../../server/storage/buffered-backend.ts";
import { createMemoryImage, type MemoryImage, MemoryStore } from "../../server/storage/memory-store.ts";
import { type TableName, tableNames } from "../../server/storage/tables.ts";

export class StoreBench {
  readonly image: MemoryImage;
  readonly backend: Backend;
  readonly machine: StateMachine;

  constructor(image: MemoryImage = createMemoryImage()) {
    this.image = image;
    this.backend = new BufferedBackend(new MemoryStore({ image }));
    this.machine = new StateMachine(this.backend);
  }

  apply(command: Command): ApplyOutcome {
    return this.machine.apply(this.machine.appliedIndex + 1, 1, command);
  }

  put(key: string, value = "value", more: Partial<PutOperation> = {}): number {
    this.apply(putOf(key, value, more));
    return this.machine.mvcc.currentRevision;
  }

  delete(key: string): number {
    this.apply({ kind: "delete-range", range: { kind: "key", key }, wantsPrevious: false });
    return this.machine.mvcc.currentRevision;
  }

  compact(revision = this.machine.mvcc.currentRevision): void {
    this.apply({ kind: "compact", revision, isPhysical: false });
    while (!this.machine.mvcc.sweep(100));
  }

  async flush(): Promise<void> {
    await this.backend.flush(() => this.machine.recordPosition());
  }

  rows(table: TableName): number {
    return [...this.backend.scan(table, "", undefined)].length;
  }

  /** Rows of every table that has any. */
  get rowCounts(): { [table: string]: number } {
    return Object.fromEntries(
      tableNames.map((table) => [table, this.rows(table)] as const).filter(([, count]) => count > 0),
    );
  }
}

export function putOf(key: string, value = "value", more: Partial<PutOperation> = {}): PutOperation {
  return {
    kind: "put",
    key,
    value: Buffer.from(value),
    lease: 0n,
    wantsPrevious: false,
    ignoresValue: false,
    ignoresLease: false,
    ...more,
  };
}
