// Care of the members: status, alarms, defragmentation, hashes, snapshots. Most calls are about the member that answers:
// use a client with that member as its only endpoint.
import {
  AlarmRequest_AlarmAction,
  AlarmType,
  DowngradeRequest_DowngradeAction,
} from "../proto/gen/etcdserverpb/rpc.ts";
import type { Caller } from "./caller.ts";
import { type Header, toHeader } from "./key-value.ts";
import { maintenanceMethods } from "./methods.ts";
import type { CallOptions } from "./options.ts";
import { streamOf } from "./server-stream.ts";

export interface MemberStatus {
  readonly header: Header;
  readonly version: string;
  readonly dbSizeBytes: number;
  readonly dbSizeInUseBytes: number;
  /** Most that the store may grow to; 0 where the member does not tell (etcd before 3.6). */
  readonly dbSizeQuotaBytes: number;
  /** Member id of the leader as this member knows it; `0n` for none. */
  readonly leaderId: bigint;
  readonly raftTerm: bigint;
  readonly raftIndex: bigint;
  readonly raftAppliedIndex: bigint;
  readonly isLearner: boolean;
  readonly storageVersion: string;
  /** Alarms and other trouble, in words. */
  readonly errors: readonly string[];
  readonly downgrade: { readonly isEnabled: boolean; readonly targetVersion: string } | undefined;
}

export type AlarmName = "NOSPACE" | "CORRUPT";

export interface Alarm {
  readonly memberId: bigint;
  readonly alarm: AlarmName;
}

export interface AlarmList {
  readonly header: Header;
  readonly alarms: readonly Alarm[];
}

export interface HashResult {
  readonly header: Header;
  readonly hash: number;
}

export interface HashKvResult extends HashResult {
  readonly compactRevision: bigint;
  /** Revision up to which keys are in the hash; `0n` where the member does not tell (etcd before 3.6). */
  readonly hashRevision: bigint;
}

export interface SnapshotChunk {
  readonly blob: Uint8Array;
  readonly remainingBytes: number;
}

const actions = {
  get: AlarmRequest_AlarmAction.GET,
  activate: AlarmRequest_AlarmAction.ACTIVATE,
  deactivate: AlarmRequest_AlarmAction.DEACTIVATE,
} as const;

const downgradeActions = {
  validate: DowngradeRequest_DowngradeAction.VALIDATE,
  enable: DowngradeRequest_DowngradeAction.ENABLE,
  cancel: DowngradeRequest_DowngradeAction.CANCEL,
} as const;

export class Maintenance {
  readonly #caller: Caller;
  readonly #connectTimeoutMs: number;

  /** @internal */
  constructor(caller: Caller, connectTimeoutMs: number) {
    this.#caller = caller;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** How the answering member is doing. */
  async status(options: CallOptions = {}): Promise<MemberStatus> {
    const answer = await this.#caller.unary(maintenanceMethods.status, {}, options);
    const { downgradeInfo } = answer;
    return {
      header: toHeader(answer.header),
      version: answer.version,
      dbSizeBytes: Number(answer.dbSize),
      dbSizeInUseBytes: Number(answer.dbSizeInUse),
      dbSizeQuotaBytes: Number(answer.dbSizeQuota),
      leaderId: answer.leader,
      raftTerm: answer.raftTerm,
      raftIndex: answer.raftIndex,
      raftAppliedIndex: answer.raftAppliedIndex,
      isLearner: answer.isLearner,
      storageVersion: answer.storageVersion,
      errors: answer.errors,
      downgrade:
        downgradeInfo === undefined
          ? undefined
          : { isEnabled: downgradeInfo.enabled, targetVersion: downgradeInfo.targetVersion },
    };
  }

  /** The alarms that are raised. */
  alarms(options: CallOptions = {}): Promise<AlarmList> {
    return this.#alarm("get", { memberId: 0n, alarm: undefined }, options);
  }

  raiseAlarm(alarm: Alarm, options: CallOptions = {}): Promise<AlarmList> {
    return this.#alarm("activate", alarm, options);
  }

  /** Ends an alarm, once its reason is gone. */
  disarm(alarm: Alarm, options: CallOptions = {}): Promise<AlarmList> {
    return this.#alarm("deactivate", alarm, options);
  }

  async #alarm(
    action: keyof typeof actions,
    { memberId, alarm }: { readonly memberId: bigint; readonly alarm: AlarmName | undefined },
    options: CallOptions,
  ): Promise<AlarmList> {
    const method = action === "get" ? maintenanceMethods.alarmGet : maintenanceMethods.alarm;
    const request = { action: actions[action], memberID: memberId, alarm: AlarmType[alarm ?? "NONE"] };
    const { header, alarms } = await this.#caller.unary(method, request, options);
    const known = alarms.map((entry) => ({
      memberId: entry.memberID,
      alarm: entry.alarm === AlarmType.CORRUPT ? ("CORRUPT" as const) : ("NOSPACE" as const),
    }));
    return { header: toHeader(header), alarms: known };
  }

  /** Gives free space of the member's store back to the file system. The member may not serve meanwhile. */
  async defragment(options: CallOptions = {}): Promise<void> {
    await this.#caller.unary(maintenanceMethods.defragment, {}, options);
  }

  /** Hash over the member's whole store; for tests. */
  async hash(options: CallOptions = {}): Promise<HashResult> {
    const { header, hash } = await this.#caller.unary(maintenanceMethods.hash, {}, options);
    return { header: toHeader(header), hash };
  }

  /** Hash over all keys up to `revision` (default: now); equal on members that agree. */
  async hashKv(options: { readonly revision?: bigint } & CallOptions = {}): Promise<HashKvResult> {
    const request = { revision: options.revision ?? 0n };
    const { header, hash, compactRevision, hashRevision } = await this.#caller.unary(
      maintenanceMethods.hashKv,
      request,
      options,
    );
    return { header: toHeader(header), hash, compactRevision, hashRevision };
  }

  /**
   * The member's whole store, in pieces. The last 32 bytes are the SHA-256 of everything before them. It is as large as
   * the store: write it to a file as it comes.
   */
  async *snapshot(options: CallOptions = {}): AsyncGenerator<SnapshotChunk, void, undefined> {
    const chunks = streamOf(this.#caller, maintenanceMethods.snapshot, {}, this.#connectTimeoutMs, options);
    for await (const { blob, remainingBytes } of chunks) yield { blob, remainingBytes: Number(remainingBytes) };
  }

  /** Makes another member the leader. Only the leader itself can do that. */
  async moveLeader(memberId: bigint, options: CallOptions = {}): Promise<void> {
    await this.#caller.unary(maintenanceMethods.moveLeader, { targetID: memberId }, options);
  }

  /** Checks, starts or cancels the downgrade of the cluster to `version`. Answers with the cluster's present version. */
  async downgrade(
    action: keyof typeof downgradeActions,
    version: string,
    options: CallOptions = {},
  ): Promise<{ readonly header: Header; readonly version: string }> {
    const request = { action: downgradeActions[action], version };
    const answer = await this.#caller.unary(maintenanceMethods.downgrade, request, options);
    return { header: toHeader(answer.header), version: answer.version };
  }
}
