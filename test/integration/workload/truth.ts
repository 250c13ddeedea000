// What happened, revision by revision, as watches have told it. The first to tell of a revision is believed, and all
// others, on other members and later, must agree.
import type { KeyValue, RevisionChanges } from "../../linearizability/operation.ts";
import type { WatchTruth } from "../../linearizability/watch-check.ts";

export class Truth {
  readonly changes = new Map<number, RevisionChanges>();
  readonly compactions: { readonly revision: number; readonly time: number }[] = [];

  /** Takes note of a revision. True when nobody had told of it before. */
  note(changes: RevisionChanges): boolean {
    if (this.changes.has(changes.revision)) return false;
    this.changes.set(changes.revision, changes);
    return true;
  }

  /** A compaction was asked for, so it may have happened from now on. */
  noteCompaction(revision: number, time: number): void {
    this.compactions.push({ revision, time });
  }

  /** The newest revision of which all before it are known. */
  get completeTo(): number {
    let revision = 1;
    while (this.changes.has(revision + 1)) revision++;
    return revision;
  }

  /** As the checker of watches wants it. */
  forChecker(): WatchTruth {
    const versions = new Map<string, { readonly revision: number; readonly keyValue: KeyValue | undefined }[]>();
    for (const revision of [...this.changes.keys()].sort((a, b) => a - b)) {
      for (const { kind, keyValue } of this.changes.get(revision)?.changes ?? []) {
        const list = versions.get(keyValue.key) ?? [];
        versions.set(keyValue.key, list);
        list.push({ revision, keyValue: kind === "put" ? keyValue : undefined });
      }
    }
    return {
      changes: this.changes,
      compactions: this.compactions,
      keyAt: (key, revision) => lastUpTo(versions.get(key) ?? [], revision)?.keyValue,
    };
  }
}

/** Bisection: a key may have thousands of versions. */
function lastUpTo<T extends { readonly revision: number }>(versions: readonly T[], revision: number): T | undefined {
  let [low, high] = [0, versions.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((versions[middle] as T).revision <= revision) low = middle + 1;
    else high = middle;
  }
  return versions[low - 1];
}
