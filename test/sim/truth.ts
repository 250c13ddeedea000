// What really happened: every entry that was applied anywhere, every revision and what it changed, every lease that
// ended. It sees all members at once, and complains as soon as two of them do not apply the same to the same effect.
import { crc32 } from "../../server/lib/crc32.ts";
import type { Command } from "../../server/state/command.ts";
import type { EventBatch } from "../../server/state/mvcc/events.ts";
import type { ApplyOutcome } from "../../server/state/outcome.ts";
import type { StateMachine } from "../../server/state/state-machine.ts";
import type { KeyValue, RevisionChanges } from "../linearizability/operation.ts";
import type { WatchTruth } from "../linearizability/watch-check.ts";
import { toKeyValue } from "./requests.ts";

interface AppliedEntry {
  readonly digest: string;
  /** Who applied it first. */
  readonly by: string;
}

export interface LeaseEnd {
  readonly at: number;
  readonly kind: "expired" | "revoked";
}

export class Truth implements WatchTruth {
  readonly changes = new Map<number, RevisionChanges>();
  readonly compactions: { readonly revision: number; readonly time: number }[] = [];
  readonly leaseEnds = new Map<bigint, LeaseEnd>();
  /** Of each lease that expired, the revision of the store after it. */
  readonly expiries = new Map<bigint, number>();
  readonly #nowMs: () => number;
  readonly #entries = new Map<number, AppliedEntry>();
  readonly #digestOfRevision = new Map<number, number>();
  /** Versions of each key, oldest first. */
  readonly #versions = new Map<string, { readonly revision: number; readonly keyValue: KeyValue | undefined }[]>();
  readonly #onViolation: (what: string) => void;
  /** The newest entry that was applied anywhere. */
  appliedIndex = 0;
  revision = 1;
  appliedCount = 0;

  constructor(nowMs: () => number, onViolation: (what: string) => void) {
    this.#nowMs = nowMs;
    this.#onViolation = onViolation;
  }

  /** Looks on while a member's state machine applies the log. */
  watch(machine: StateMachine, name: string): void {
    const apply = machine.apply.bind(machine);
    machine.apply = (index, term, command) => {
      const outcome = apply(index, term, command);
      this.#onApply(machine, name, index, term, command, outcome);
      return outcome;
    };
  }

  #onApply(
    machine: StateMachine,
    name: string,
    index: number,
    term: number,
    command: Command | undefined,
    outcome: ApplyOutcome,
  ): void {
    this.appliedCount++;
    const digest = digestOf(machine, term, command, outcome);
    const known = this.#entries.get(index);
    if (known !== undefined) {
      if (known.digest !== digest)
        this.#onViolation(`members differ at entry ${index}: ${known.by} has ${known.digest}, ${name} has ${digest}`);
      return;
    }
    this.#entries.set(index, { digest, by: name });
    this.appliedIndex = Math.max(this.appliedIndex, index);
    const { result } = outcome;
    if (result.kind === "compact" && command?.kind === "compact")
      this.compactions.push({ revision: command.revision, time: this.#nowMs() });
    if (result.kind !== "lease-revoke" || command?.kind !== "lease-revoke") return;
    const kind = command.expiry === undefined ? "revoked" : "expired";
    this.leaseEnds.set(command.id, { at: this.#nowMs(), kind });
    if (kind === "expired") this.expiries.set(command.id, result.revision);
  }

  /** A member told its watchers of a revision. */
  onEvents(name: string, batch: EventBatch): void {
    const { revision, events } = batch;
    const digest = events.reduce((sum, { keyValue }) => crc32(keyValue, 0, keyValue.length, sum), 0);
    const known = this.#digestOfRevision.get(revision);
    if (known !== undefined) {
      if (known !== digest) this.#onViolation(`member ${name} has other changes in revision ${revision} than others`);
      return;
    }
    if (revision !== this.revision + 1)
      this.#onViolation(`member ${name} is the first with revision ${revision}, after ${this.revision}`);
    this.revision = revision;
    this.#digestOfRevision.set(revision, digest);
    const changes = events.map(({ kind, keyValue }) => ({ kind, keyValue: toKeyValue(keyValue) }));
    this.changes.set(revision, { revision, changes });
    for (const { kind, keyValue } of changes) {
      const versions = this.#versions.get(keyValue.key) ?? [];
      this.#versions.set(keyValue.key, versions);
      versions.push({ revision, keyValue: kind === "put" ? keyValue : undefined });
    }
  }

  keyAt(key: string, revision: number): KeyValue | undefined {
    return this.#versions.get(key)?.findLast((version) => version.revision <= revision)?.keyValue;
  }

  /** All keys as they are now, in order. */
  live(): readonly KeyValue[] {
    return [...this.#versions.keys()].sort().flatMap((key) => this.keyAt(key, this.revision) ?? []);
  }
}

/** Everything in which members that apply the same entry must agree. */
function digestOf(
  machine: StateMachine,
  term: number,
  command: Command | undefined,
  { result, events }: ApplyOutcome,
): string {
  const { mvcc, leases } = machine;
  const told = result.kind === "refused" ? result.error.code : "revision" in result ? result.revision : "";
  const changed = (events?.events ?? []).reduce((sum, { keyValue }) => crc32(keyValue, 0, keyValue.length, sum), 0);
  const state = `${mvcc.currentRevision}/${mvcc.compactRevision}/${leases.size}`;
  return `${term} ${command?.kind ?? "nothing"} -> ${result.kind} ${told} ${changed} @${state}`;
}
