// Leadership that moves because somebody asked, not because a leader went away.
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { RawNode } from "../raft/raw-node.ts";
import type { RoleState } from "../raft/types.ts";
import { ReplicaError } from "./errors.ts";

export interface LeaderTransferOptions {
  readonly memberId: bigint;
  readonly node: Pick<RawNode, "transferLeader" | "status">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly electionTimeoutMs: number;
  readonly roleState: () => RoleState;
  readonly voters: () => readonly bigint[];
  /** Asks for a turn of the ready loop. */
  readonly schedule: () => void;
}

/** How often to look whether it worked. */
const checkMs = 10;

export class LeaderTransfer {
  readonly #options: LeaderTransferOptions;

  constructor(options: LeaderTransferOptions) {
    this.#options = options;
  }

  /**
   * Hands leadership to another voter.
   * @throws ReplicaError `not-leader`, `bad-transferee`, `transfer-timed-out`
   */
  async moveTo(target: bigint): Promise<void> {
    const { memberId, node, clock, electionTimeoutMs, roleState, voters, schedule } = this.#options;
    if (roleState().role !== "leader") throw new ReplicaError("not-leader");
    if (target === memberId) return;
    if (!voters().includes(target)) throw new ReplicaError("bad-transferee");
    if (node.transferLeader(target).kind === "refused") throw new ReplicaError("bad-transferee");
    schedule();
    const deadlineMs = clock.nowMs() + electionTimeoutMs;
    while (roleState().leader !== target) {
      if (clock.nowMs() >= deadlineMs) throw new ReplicaError("transfer-timed-out");
      await new Promise<void>((resolve) => clock.setTimer(checkMs, resolve));
    }
  }

  /** Gives leadership to whoever has most of the log, so that the others need not notice that this member stops. */
  async handOver(): Promise<void> {
    const { memberId, node, logger, roleState, voters } = this.#options;
    const heirs = node.status().progress.filter(({ id }) => id !== memberId && voters().includes(id));
    const heir = heirs.sort((a, b) => b.match - a.match)[0];
    if (roleState().role !== "leader" || heir === undefined) return;
    await this.moveTo(heir.id).catch((error: unknown) => {
      logger.log("warn", "leadership was not handed over", { error: String(error) });
    });
  }
}
