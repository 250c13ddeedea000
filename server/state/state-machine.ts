// The replicated state machine: applies one log entry after the other. The same entries in the same order give the
// same state and the same outcomes on every member; nothing here asks who leads, who waits, how the member is
// configured or what time it is.
import { assert } from "../lib/assert.ts";
import type { Backend } from "../storage/backend.ts";
import { applyDeleteRange, applyPut, checkPut, deleteVersion } from "./apply-kv.ts";
import { applyMembership } from "./apply-membership.ts";
import { checkTxnPath, chooseTxnPath, runTxnPath, type TxnPath } from "./apply-txn.ts";
import { AlarmTable } from "./cluster/alarm-table.ts";
import type { Member } from "./cluster/member-codec.ts";
import { MemberTable } from "./cluster/member-table.ts";
import type { Command, MembershipCommand, RangeOperation, TxnOperation } from "./command.ts";
import { CorruptRecordError, StateError } from "./errors.ts";
import { checkAlarms } from "./guards.ts";
import { LeaseStore, leaseTtlSecondsMax } from "./lease/lease-store.ts";
import {
  type InstalledSnapshot,
  readConfiguration,
  readInstalledSnapshot,
  readPosition,
  writeConfiguration,
  writePosition,
} from "./meta.ts";
import { mutated } from "./mutations.ts";
import type { EventBatch } from "./mvcc/events.ts";
import { MvccStore } from "./mvcc/mvcc-store.ts";
import type { WriteTxn } from "./mvcc/write-txn.ts";
import type { ApplyOutcome, CommandResult, TxnResult } from "./outcome.ts";
import { RangeRead } from "./range-read.ts";

type Applier<K extends Command["kind"]> = (
  machine: StateMachine,
  command: Extract<Command, { kind: K }>,
  entryTerm: number,
) => ApplyOutcome;

/** One function a command. The compiler refuses a command without one. */
const appliers: { readonly [K in Command["kind"]]: Applier<K> } = {
  put(machine, command) {
    checkPut(machine, command);
    return machine.write((txn) => applyPut(machine, txn, command));
  },
  "delete-range"(machine, command) {
    return machine.write((txn) => applyDeleteRange(machine, txn, command));
  },
  txn(machine, command) {
    const path = chooseTxnPath(machine, command);
    checkTxnPath(machine, path);
    return machine.write((txn) => runTxnPath(machine, txn, path));
  },
  compact(machine, command) {
    machine.mvcc.compact(command.revision);
    return done({ kind: "compact", revision: machine.mvcc.currentRevision });
  },
  "lease-grant"(machine, { id, ttlSeconds }) {
    if (ttlSeconds > leaseTtlSecondsMax) throw new StateError("lease-ttl-too-large");
    if (machine.leases.has(id)) throw new StateError("lease-exists");
    machine.leases.grant(id, ttlSeconds);
    return done({ kind: "lease-grant", id, ttlSeconds, revision: machine.mvcc.currentRevision });
  },
  "lease-revoke"(machine, { id, expiry }, entryTerm) {
    // A leader that lost its place may have seen the lease expire while it was renewed through the next one.
    if (expiry !== undefined && expiry.term !== entryTerm) {
      return done({ kind: "ignored", reason: `lease expired in term ${expiry.term}, logged in term ${entryTerm}` });
    }
    if (!machine.leases.has(id)) throw new StateError("lease-not-found");
    const outcome = machine.write((txn) => {
      for (const [at, key] of machine.leases.keysOf(id).entries()) {
        if (at > 0 && mutated("state/lease-leaves-a-key")) break;
        const version = machine.mvcc.current(key);
        // A damaged row here would delete somebody else's key.
        if (version?.lease !== id) throw new CorruptRecordError("leaseKeys", key);
        deleteVersion(machine, txn, version);
      }
      return { kind: "lease-revoke", id, revision: machine.mvcc.readRevision };
    });
    machine.leases.remove(id);
    return outcome;
  },
  "lease-checkpoint"(machine, { checkpoints }) {
    for (const { id, remainingTtlSeconds } of checkpoints) machine.leases.checkpoint(id, remainingTtlSeconds);
    return done({ kind: "lease-checkpoint" });
  },
  "member-publish"(machine, { member }) {
    const known = machine.members.get(member.id);
    if (known === undefined) return done({ kind: "ignored", reason: "the member was removed before it published" });
    machine.members.set({ ...known, name: member.name, clientUrls: member.clientUrls });
    return done({ kind: "member-publish" });
  },
  "member-add": applyMembershipChange,
  "member-remove": applyMembershipChange,
  "member-update": applyMembershipChange,
  "member-promote": applyMembershipChange,
  alarm(machine, { alarm, isRaised }) {
    if (!isRaised) return done({ kind: "alarm", isKnown: machine.alarms.clear(alarm) });
    machine.alarms.raise(alarm);
    return done({ kind: "alarm", isKnown: true });
  },
};

function applyMembershipChange(machine: StateMachine, command: MembershipCommand): ApplyOutcome {
  applyMembership(machine.members, command);
  return done({ kind: "membership" });
}

function done(result: CommandResult): ApplyOutcome {
  return { result, events: undefined };
}

export class StateMachine {
  readonly mvcc: MvccStore;
  readonly leases: LeaseStore;
  readonly members: MemberTable;
  readonly alarms: AlarmTable;
  readonly #backend: Backend;
  #appliedIndex: number;
  #appliedTerm: number;

  /**
   * Takes up the state where the last flush left it.
   * @throws CorruptRecordError
   */
  constructor(backend: Backend) {
    const position = readPosition(backend);
    this.#backend = backend;
    this.#appliedIndex = position.appliedIndex;
    this.#appliedTerm = position.appliedTerm;
    this.mvcc = new MvccStore(backend, position.mvcc);
    this.leases = new LeaseStore(backend, this.mvcc.keySpace);
    this.members = new MemberTable(backend);
    this.alarms = new AlarmTable(backend);
  }

  /** Takes up a state that a snapshot has put in the place of this one. */
  reload(): void {
    const position = readPosition(this.#backend);
    this.#appliedIndex = position.appliedIndex;
    this.#appliedTerm = position.appliedTerm;
    this.mvcc.reload(position.mvcc);
    if (!mutated("state/leases-not-reloaded")) this.leases.reload();
    if (!mutated("state/members-not-reloaded")) this.members.reload();
    this.alarms.reload();
  }

  /** The snapshot that last replaced the state here. */
  get installedSnapshot(): InstalledSnapshot | undefined {
    return readInstalledSnapshot(this.#backend);
  }

  /** Raft's membership as of the applied index, in its own form; undefined until the first change or bootstrap. */
  get configuration(): Uint8Array | undefined {
    return readConfiguration(this.#backend);
  }

  /** To be called with every entry that changes the membership, right after it was applied. */
  setConfiguration(configuration: Uint8Array): void {
    writeConfiguration(this.#backend, configuration);
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get appliedTerm(): number {
    return this.#appliedTerm;
  }

  /**
   * Applies the entry after the last one. A command that is refused changes nothing but the position.
   * @param command Undefined for an entry that carries none: a leader's first, or a change of membership.
   */
  apply(index: number, term: number, command: Command | undefined): ApplyOutcome {
    assert(index === this.#appliedIndex + 1, () => `entry ${index} after ${this.#appliedIndex}`);
    assert(term >= this.#appliedTerm, () => `entry ${index} of term ${term} after term ${this.#appliedTerm}`);
    const outcome = command === undefined ? done({ kind: "ignored", reason: "no command" }) : this.#run(command, term);
    this.#appliedIndex = index;
    this.#appliedTerm = term;
    return outcome;
  }

  #run(command: Command, term: number): ApplyOutcome {
    try {
      checkAlarms(this.alarms, command);
      const applier = appliers[command.kind] as (machine: StateMachine, command: Command, term: number) => ApplyOutcome;
      return applier(this, command, term);
    } catch (error) {
      // A refusal comes before the first write. Anything else means that the state cannot be trusted any more.
      if (error instanceof StateError) return done({ kind: "refused", error });
      throw error;
    }
  }

  /**
   * Puts a new cluster's first members in, as if a snapshot of `index` and `term` had been installed that holds them.
   * The same on all of them, since they are started with the same list. Does nothing on a state that has members.
   */
  bootstrap(members: readonly Member[], index: number, term: number): void {
    if (this.members.list().length > 0) return;
    assert(this.#appliedIndex === 0, "a log without members was applied");
    for (const member of members) this.members.set(member);
    this.#appliedIndex = index;
    this.#appliedTerm = term;
  }

  /** Runs the writes of one command in one transaction. Writes cannot fail; what can was checked before. */
  write(body: (txn: WriteTxn) => CommandResult): ApplyOutcome {
    const txn = this.mvcc.beginWrite();
    let result: CommandResult;
    try {
      result = body(txn);
    } catch (error) {
      // Past the checks a refusal would leave half a command behind.
      assert(!(error instanceof StateError), () => `a command that was checked was refused: ${String(error)}`);
      throw error;
    }
    const events: EventBatch | undefined = txn.end();
    return { result, events };
  }

  /**
   * A read of a txn that writes nothing, which needs no log entry.
   * @throws StateError
   */
  readTxn(txn: TxnOperation): TxnResult {
    const path: TxnPath = chooseTxnPath(this, txn);
    checkTxnPath(this, path);
    return runTxnPath(this, undefined, path);
  }

  /**
   * A range, to be read in steps.
   * @throws StateError
   */
  readRange(operation: RangeOperation, options?: { readonly isCounted: boolean }): RangeRead {
    return new RangeRead(this.mvcc, operation, options);
  }

  /** Puts the position among the rows to be flushed. To be called at the moment that a flush seals its rows. */
  recordPosition(): void {
    writePosition(this.#backend, {
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#appliedTerm,
      mvcc: this.mvcc.position,
    });
  }
}
