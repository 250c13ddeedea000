// The state store's engine on a simulated disk: a batch takes time, reaches the disk whole or not at all, and after a
// crash a batch that was under way may be there although nobody was told.

import type { StorageErrorCode } from "../../server/storage/backend.ts";
import { decodeChanges } from "../../server/storage/batch-codec.ts";
import type { MemoryImage } from "../../server/storage/memory-store.ts";
import { MemoryStore } from "../../server/storage/memory-store.ts";

export interface SimStoreOptions {
  readonly image: MemoryImage;
  /** Calls back when the disk has done its work. Never, in a life that is over. */
  readonly schedule: (commit: () => void) => void;
  readonly faults: () => StorageErrorCode | undefined;
  /** A snapshot has taken the place of the state, and the log does not know yet. */
  readonly onLoaded: () => void;
}

export class SimStore extends MemoryStore {
  readonly #onLoaded: () => void;
  isLoading = false;
  #underWay: readonly Uint8Array[] | undefined;

  constructor(options: SimStoreOptions) {
    super(options);
    this.#onLoaded = options.onLoaded;
  }

  override async load(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.isLoading = true;
    await super.load(chunks);
    this.isLoading = false;
    this.#onLoaded();
  }

  override async write(batch: Iterable<Uint8Array>, onVisible: () => void): Promise<void> {
    this.#underWay = [...batch];
    try {
      await super.write(this.#underWay, onVisible);
    } finally {
      this.#underWay = undefined;
    }
  }

  /** The machine has lost power. `reachedDisk`: the batch under way is there all the same. Returns whether it was. */
  crash(reachedDisk: boolean): boolean {
    const batch = this.#underWay;
    if (batch === undefined || !reachedDisk) return false;
    for (const { table, key, value } of batch.flatMap(decodeChanges)) {
      if (value === undefined) this.image[table].delete(key);
      else this.image[table].set(key, value);
    }
    return true;
  }
}
