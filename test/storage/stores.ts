// The engines that a backend may stand on, for tests that must hold on each of them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noMetrics } from "../../server/lib/metrics.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import type { StorageErrorCode, TableStore } from "../../server/storage/backend.ts";
import { LmdbStore } from "../../server/storage/lmdb-store.ts";
import { createMemoryImage, MemoryStore } from "../../server/storage/memory-store.ts";

/** A place for one store, which can be opened again and again. */
export interface StorePlace {
  /** Opens what was written before. The one before must be closed. */
  open(): TableStore;
  /** The next write fails so; undefined for none. Only where faults can be had. */
  fault: StorageErrorCode | undefined;
  /** Closes the store that is open still, and leaves nothing behind. */
  dispose(): Promise<void>;
}

export interface StoreKind {
  readonly name: "memory" | "lmdb";
  /** Writes can be made to fail. */
  readonly hasFaults: boolean;
  create(): StorePlace;
}

function createMemoryPlace(): StorePlace {
  const image = createMemoryImage();
  const place: StorePlace = {
    fault: undefined,
    // A real engine takes longer than a microtask; what happens meanwhile is what is tested.
    open: () => new MemoryStore({ image, schedule: (commit) => setImmediate(commit), faults: () => place.fault }),
    dispose: async () => undefined,
  };
  return place;
}

function createLmdbPlace(): StorePlace {
  const folder = mkdtempSync(join(tmpdir(), "quorate-store-"));
  let opened: LmdbStore | undefined;
  return {
    fault: undefined,
    open: () => {
      opened = new LmdbStore({ folder, clock: systemClock, metrics: noMetrics });
      return opened;
    },
    dispose: async () => {
      await opened?.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const storeKinds: readonly StoreKind[] = [
  { name: "memory", hasFaults: true, create: createMemoryPlace },
  { name: "lmdb", hasFaults: false, create: createLmdbPlace },
];
