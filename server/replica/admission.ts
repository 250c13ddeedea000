// What is refused before it is proposed, because this member or its cluster cannot take it on. Nothing was done then.
import type { Logger } from "../lib/logger.ts";
import type { LogStore } from "../log/log-store.ts";
import type { AlarmTable } from "../state/cluster/alarm-table.ts";
import type { Alarm, Command } from "../state/command.ts";
import { addsToStore } from "../state/guards.ts";
import { ReplicaError } from "./errors.ts";

export interface AdmissionOptions {
  readonly memberId: bigint;
  readonly log: Pick<LogStore, "roomBytes">;
  readonly alarms: AlarmTable;
  readonly logger: Logger;
  readonly requestBytesMax: number;
  /** Bytes that the store may use; 0 or less for no limit. */
  readonly quotaBytes: number;
  /** Bytes that the store uses, with what has not reached the disk yet. */
  readonly storeBytes: () => number;
  /** Entries that are committed and not applied. */
  readonly backlog: () => number;
  readonly isDiskFull: () => boolean;
  readonly raiseAlarm: (alarm: Alarm) => Promise<unknown>;
}

/** Entries that may be committed and not applied before proposals are refused, as in etcd. */
const backlogMax = 5000;
/** Room in the log that only what frees space may use, and room that nothing may use. */
const reserveBytes = 4 * 1024 * 1024;
const lastReserveBytes = 2 * 1024 * 1024;

export class Admission {
  readonly #options: AdmissionOptions;
  #isRaisingAlarm = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /**
   * @param sizeBytes Of the command as it will be logged.
   * @throws ReplicaError `too-large`, `too-many-requests`, `no-space`
   */
  check(command: Command, sizeBytes: number): void {
    const { requestBytesMax, backlog, log, isDiskFull } = this.#options;
    if (sizeBytes > requestBytesMax) throw new ReplicaError("too-large");
    if (backlog() > backlogMax) throw new ReplicaError("too-many-requests");
    const room = log.roomBytes - sizeBytes;
    if (room < lastReserveBytes) throw new ReplicaError("no-space");
    if ((room < reserveBytes || isDiskFull()) && addsToStore(command)) throw new ReplicaError("no-space");
  }

  /**
   * Refuses what would add to a store that has used up its quota, and raises the alarm that says so to all members.
   * Services ask before they look at a request's fields, as etcd does.
   * @throws ReplicaError `no-space`
   */
  checkQuota(command: Command): void {
    if (!addsToStore(command)) return;
    const { alarms, quotaBytes, storeBytes } = this.#options;
    if (alarms.isRaised("no-space")) throw new ReplicaError("no-space");
    if (quotaBytes <= 0 || storeBytes() < quotaBytes) return;
    this.#raiseAlarm();
    throw new ReplicaError("no-space");
  }

  /** Once at a time, however many requests find the quota used up. */
  #raiseAlarm(): void {
    if (this.#isRaisingAlarm) return;
    this.#isRaisingAlarm = true;
    const done = (): void => {
      this.#isRaisingAlarm = false;
    };
    const { memberId, logger } = this.#options;
    this.#options.raiseAlarm({ memberId, type: "no-space" }).then(done, (error: unknown) => {
      done();
      // The next request that finds the quota used up tries again.
      logger.log("warn", "the alarm for a used-up quota was not raised", { error: String(error) });
    });
  }
}
