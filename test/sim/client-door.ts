// The way of clients to a member: a request that takes its time to get there, may find nobody, and whose answer may
// never come back. Does there what the services do between the wire and the replica.
import type { Random } from "../../server/lib/random.ts";
import type { MemberCore } from "../../server/member-core.ts";
import { ReplicaError, type ReplicaErrorCode } from "../../server/replica/errors.ts";
import type { RangeOperation } from "../../server/state/command.ts";
import { StateError } from "../../server/state/errors.ts";
import type { RangeResult } from "../../server/state/range-read.ts";
import type { Operation, Outcome, Request, Result } from "../linearizability/operation.ts";
import type { SerializableRead } from "../linearizability/serializable-check.ts";
import type { Probe } from "./probes.ts";
import { fromRange, fromRefusal, fromResult, toCommand, toRange } from "./requests.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Life, SimMember } from "./sim-member.ts";

/**
 * - `unreached`: it never got to the member.
 * - `lost`: no answer came; nobody knows.
 */
export type Answer<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "error"; readonly error: unknown }
  | { readonly kind: "unreached" }
  | { readonly kind: "lost" };

export interface ClientDoorOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly onOperation: (operation: Operation) => void;
  /** A read came back that may be old. */
  readonly onSerializableRead: (operation: Operation) => void;
  readonly note: (probe: Probe) => void;
  readonly onViolation: (what: string, cause: unknown) => void;
}

/** Errors that leave open whether something was done, as replica/errors.ts has it. */
const openErrors: ReadonlySet<ReplicaErrorCode> = new Set([
  "timed-out",
  "transfer-timed-out",
  "leader-changed",
  "stopped-waiting",
]);
/** Rows that a range reads before others get a turn; few, so that much can happen meanwhile. */
const stepRows = 2;

export class ClientDoor {
  readonly #options: ClientDoorOptions;
  #lastId = 0;
  /** Reads that may be old, to be checked against what was. */
  readonly serializableReads: SerializableRead[] = [];
  /** Requests that were asked for, and writes that were acknowledged. */
  asked = 0;
  acknowledgedWrites = 0;
  /** Txns that wait for their answers. */
  txnsUnderWay = 0;

  constructor(options: ClientDoorOptions) {
    this.#options = options;
  }

  #delayMs(): number {
    return 0.1 + this.#options.random.next() * 2;
  }

  /** Has `work` done at a member, and comes back with how it ended for the client. */
  ask<T>(member: SimMember, timeoutMs: number, work: (core: MemberCore, life: Life) => Promise<T>): Promise<Answer<T>> {
    const { scheduler } = this.#options;
    const { life } = member;
    return new Promise((resolve) => {
      const timer = scheduler.after(timeoutMs, () => resolve({ kind: "lost" }));
      const settle = (answer: Answer<T>): void => {
        scheduler.after(this.#delayMs(), () => {
          timer.cancel();
          resolve(answer);
        });
      };
      if (life?.isServing !== true) {
        settle({ kind: "unreached" });
        return;
      }
      void life.ended.then(() => settle({ kind: "lost" }));
      life.process.input(this.#delayMs(), () => {
        if (!life.isServing) {
          settle({ kind: "unreached" });
          return;
        }
        life.underWay++;
        work(life.core as MemberCore, life)
          .finally(() => life.underWay--)
          .then(
            (value) => settle({ kind: "value", value }),
            (error: unknown) => settle({ kind: "error", error }),
          );
      });
    });
  }

  /** Asks a member for what goes into the history. */
  async execute(client: string, member: SimMember, request: Request, timeoutMs: number): Promise<Result | undefined> {
    const { scheduler, onOperation } = this.#options;
    const id = ++this.#lastId;
    const invokedAt = scheduler.nowMs;
    const life = member.name;
    const applied = member.core?.replica.machine.mvcc.currentRevision;
    this.asked++;
    const isTxn = request.kind === "txn";
    if (isTxn) this.txnsUnderWay++;
    const answer = await this.ask(member, timeoutMs, (core, { process }) =>
      run(core, request, () => new Promise((resolve) => process.clock.nextTurn(resolve))),
    );
    if (isTxn) this.txnsUnderWay--;
    const outcome = this.#outcomeOf(answer, isWrite(request));
    const operation: Operation = { id, client: `${client}@${life}`, request, invokedAt, outcome };
    if (request.kind === "range" && request.isSerializable === true) {
      this.serializableReads.push({ operation, life, appliedRevision: applied });
      this.#options.onSerializableRead(operation);
    } else onOperation(operation);
    if (outcome.kind !== "returned") return undefined;
    if (isWrite(request) && outcome.result.kind !== "refused") this.acknowledgedWrites++;
    return outcome.result;
  }

  #outcomeOf(answer: Answer<Result | undefined>, mayChange: boolean): Outcome {
    switch (answer.kind) {
      case "value":
        // Such an answer says that nothing was done: an alarm, for one.
        if (answer.value === undefined) return { kind: "failed" };
        return { kind: "returned", time: this.#options.scheduler.nowMs, result: answer.value };
      case "unreached":
        return { kind: "failed" };
      case "lost":
        return { kind: mayChange ? "unknown" : "failed" };
      case "error":
        return this.#outcomeOfError(answer.error, mayChange);
    }
  }

  #outcomeOfError(error: unknown, mayChange: boolean): Outcome {
    if (error instanceof StateError) {
      const result = fromRefusal(error);
      if (result !== undefined) return { kind: "returned", time: this.#options.scheduler.nowMs, result };
      return { kind: "failed" };
    }
    if (!(error instanceof ReplicaError)) {
      this.#options.onViolation("a request met an error that is none of the member's", error);
      return { kind: "unknown" };
    }
    if (error.code === "timed-out") this.#options.note("request timed out");
    return { kind: mayChange && openErrors.has(error.code) ? "unknown" : "failed" };
  }
}

export function isWrite({ kind }: Request): boolean {
  return kind !== "range";
}

async function run(core: MemberCore, request: Request, turn: () => Promise<void>): Promise<Result | undefined> {
  const { replica } = core;
  switch (request.kind) {
    case "range":
      return fromRange(await readRange(core, toRange(request), turn));
    case "lease-grant": {
      const { id, ttlSeconds } = request;
      return fromResult((await replica.proposeInternal({ kind: "lease-grant", id, ttlSeconds })).result);
    }
    case "lease-revoke": {
      const { id } = request;
      return fromResult((await replica.proposeInternal({ kind: "lease-revoke", id, expiry: undefined })).result);
    }
    case "lease-expiry":
      throw new Error("nobody asks for a lease to expire");
    default: {
      const { command, bytes } = toCommand(request);
      replica.checkQuota(command);
      return fromResult((await replica.propose(command, bytes)).result);
    }
  }
}

async function readRange(
  { replica }: MemberCore,
  operation: RangeOperation,
  turn: () => Promise<void>,
): Promise<RangeResult> {
  if (replica.isLearner && !operation.isSerializable) throw new ReplicaError("not-for-learners");
  const barrier = operation.isSerializable ? replica.localBarrier() : replica.readBarrier();
  if (barrier !== undefined) await barrier;
  const read = replica.machine.readRange(operation);
  for (;;) {
    const result = read.step(stepRows);
    if (result !== undefined) return result;
    await turn();
  }
}
