// The KV service: check, convert, propose or read, answer.

import type { ServiceImplementation } from "nice-grpc";
import { type CallContext, ServerError, Status } from "nice-grpc-common";
import { assert } from "../../lib/assert.ts";
import type { ByteString } from "../../lib/byte-string.ts";
import type { Clock } from "../../lib/clock.ts";
import { ReplicaError } from "../../replica/errors.ts";
import type { OutcomeWaiter } from "../../replica/proposals.ts";
import type { Replica } from "../../replica/replica.ts";
import type {
  DeleteRangeOperation,
  Operation,
  PutOperation,
  RangeOperation,
  TxnOperation,
} from "../../state/command.ts";
import type { KeyRange } from "../../state/key-range.ts";
import { keyOfKeyValue } from "../../state/mvcc/record.ts";
import type { ApplyOutcome, CommandResult } from "../../state/outcome.ts";
import { type Answer, PutAnswer } from "./answers.ts";
import { checkDeleteRangeRequest, checkPutRequest, checkRangeRequest, checkTxnRequest } from "./checks.ts";
import { encodeDeleteRangeResponse, encodeRangeStreamResponse, toRangeAnswer, toTxnAnswer } from "./convert.ts";
import { kvWireDefinition, type WireRequest } from "./definitions.ts";
import type { Header } from "./header.ts";
import { RangeReads } from "./range-reads.ts";
import type { Reply, RpcGuard } from "./rpc-guard.ts";

export interface KvServiceOptions {
  readonly replica: Replica;
  readonly header: Header;
  readonly guard: RpcGuard;
  readonly clock: Clock;
  readonly txnOperationsMax: number;
  /** A chunk of RangeStream is kept near this size. */
  readonly streamChunkBytes: number;
}

/** Keys in the first chunk of a RangeStream, as in etcd; further chunks grow or shrink towards the wanted size. */
const firstChunkKeys = 10;

export function createKvService(options: KvServiceOptions): ServiceImplementation<typeof kvWireDefinition> {
  const { replica, header, guard } = options;
  const { machine } = replica;

  const reads = new RangeReads(options.clock);

  /** @throws ReplicaError when this member cannot read now. */
  function barrierFor(operation: RangeOperation): Promise<void> | undefined {
    if (replica.isLearner && !operation.isSerializable) throw new ReplicaError("not-for-learners");
    return operation.isSerializable ? replica.localBarrier() : replica.readBarrier();
  }

  /** Chunk for chunk, so that no more of it is in memory than the client takes. All of it is of one revision. */
  async function* stream(operation: RangeOperation, context: CallContext): AsyncIterable<Uint8Array> {
    const barrier = barrierFor(operation);
    if (barrier !== undefined) await barrier;
    const { limit } = operation;
    const headerRevision = machine.mvcc.currentRevision;
    const revision = machine.mvcc.resolveRevision(operation.revision);
    const readPart = (range: KeyRange, part: Partial<RangeOperation>, isCounted: boolean) =>
      reads.run(machine.readRange({ ...operation, ...part, range, revision }, { isCounted }), context);
    let rest = operation.range;
    let keysMax = firstChunkKeys;
    let sent = 0;
    for (;;) {
      const left = limit > 0 ? limit - sent : Number.POSITIVE_INFINITY;
      const { isCountOnly } = operation;
      const chunk = await readPart(rest, isCountOnly ? {} : { limit: Math.min(keysMax, left) }, isCountOnly);
      const { keyValues, hasMore } = chunk;
      sent += keyValues.length;
      if (hasMore) rest = after(rest, keyOfKeyValue(keyValues.at(-1) as Uint8Array));
      if (!hasMore || keyValues.length >= left) {
        const unsent = hasMore ? (await readPart(rest, { isCountOnly: true }, true)).count : 0;
        const count = isCountOnly ? chunk.count : sent + unsent;
        yield encodeRangeStreamResponse(header, keyValues, { ...chunk, count, revision: headerRevision });
        return;
      }
      yield encodeRangeStreamResponse(header, keyValues, undefined);
      const bytes = keyValues.reduce((sum, keyValue) => sum + keyValue.length, 0);
      keysMax = bytes * 2 <= options.streamChunkBytes ? keysMax * 2 : Math.max(1, Math.floor(keysMax / 2));
    }
  }

  const toPutAnswer = (result: CommandResult): PutAnswer => new PutAnswer(header, expectResult(result, "put"));
  const toDeleteRangeAnswer = (result: CommandResult): Uint8Array =>
    encodeDeleteRangeResponse(header, expectResult(result, "delete-range"));
  const toWriteTxnAnswer = (result: CommandResult): Answer => toTxnAnswer(header, expectResult(result, "txn"));

  async function readTxn(operation: TxnOperation): Promise<Answer> {
    await (isSerializable(operation) ? replica.localBarrier() : replica.readBarrier());
    return toTxnAnswer(header, machine.readTxn(operation));
  }

  return {
    range: guard.unary(kvWireDefinition.range.path, async ({ operation }, context) => {
      checkRangeRequest(operation);
      const barrier = barrierFor(operation);
      if (barrier !== undefined) await barrier;
      return toRangeAnswer(header, await reads.run(machine.readRange(operation), context));
    }),
    rangeStream: guard.stream(kvWireDefinition.rangeStream.path, ({ operation }, context) => {
      checkRangeRequest(operation);
      checkStreamable(operation);
      // A target without an order sorts nothing here.
      return stream({ ...operation, sortTarget: "key" }, context);
    }),
    put: guard.called<WireRequest<PutOperation>, PutAnswer>(
      kvWireDefinition.put.path,
      ({ operation, bytes }, reply) => {
        replica.checkQuota(operation);
        checkPutRequest(operation);
        replica.submit(operation, bytes, new ReplyWaiter(reply, toPutAnswer));
      },
    ),
    deleteRange: guard.called<WireRequest<DeleteRangeOperation>, Uint8Array>(
      kvWireDefinition.deleteRange.path,
      ({ operation, bytes }, reply) => {
        checkDeleteRangeRequest(operation);
        replica.submit(operation, bytes, new ReplyWaiter(reply, toDeleteRangeAnswer));
      },
    ),
    txn: guard.called<WireRequest<TxnOperation>, Answer>(kvWireDefinition.txn.path, ({ operation, bytes }, reply) => {
      replica.checkQuota(operation);
      checkTxnRequest(operation, options.txnOperationsMax);
      if (!isReadOnly(operation)) replica.submit(operation, bytes, new ReplyWaiter(reply, toWriteTxnAnswer));
      else {
        readTxn(operation).then(
          (answer) => reply.answer(answer),
          (error: unknown) => reply.fail(error),
        );
      }
    }),
    compact: guard.unary(kvWireDefinition.compact.path, async ({ operation, bytes }) => {
      const outcome = await replica.propose(operation, bytes);
      const { revision } = expectResult(outcome.result, "compact");
      if (operation.isPhysical) await replica.waitForSweep(operation.revision);
      return new PutAnswer(header, { kind: "put", revision, previous: undefined });
    }),
  };
}

/** Answers a call with what became of its command. */
class ReplyWaiter<Answer> implements OutcomeWaiter {
  readonly #reply: Reply<Answer>;
  readonly #toAnswer: (result: CommandResult) => Answer;

  constructor(reply: Reply<Answer>, toAnswer: (result: CommandResult) => Answer) {
    this.#reply = reply;
    this.#toAnswer = toAnswer;
  }

  onOutcome({ result }: ApplyOutcome): void {
    let answer: Answer;
    try {
      answer = this.#toAnswer(result);
    } catch (error) {
      this.#reply.fail(error);
      return;
    }
    this.#reply.answer(answer);
  }

  onFailure(error: ReplicaError): void {
    this.#reply.fail(error);
  }
}

/** The outcome, if the command was carried out. */
export function expectResult<K extends CommandResult["kind"]>(
  result: CommandResult,
  kind: K,
): Extract<CommandResult, { kind: K }> {
  if (result.kind === "refused") throw result.error;
  if (result.kind !== kind) throw new Error(`a ${kind} came out as ${result.kind}`);
  return result as Extract<CommandResult, { kind: K }>;
}

/** What comes after `key`, of which there is more. */
function after(range: KeyRange, key: ByteString): KeyRange {
  assert(range.kind === "interval", "there is more of a single key");
  return { ...range, from: `${key}\0` };
}

/** A txn of nothing but ranges takes no place in the log. One that contains a txn counts as a write, as in etcd. */
function isReadOnly(txn: TxnOperation): boolean {
  return txn.success.every(isRange) && txn.failure.every(isRange);
}

function isSerializable(txn: TxnOperation): boolean {
  return txn.success.every(isSerializableRange) && txn.failure.every(isSerializableRange);
}

function isRange(operation: Operation): boolean {
  return operation.kind === "range";
}

function isSerializableRange(operation: Operation): boolean {
  return operation.kind === "range" && operation.isSerializable;
}

/** A stream comes in key order as it is read: what would need all of it first is refused, in etcd's words. */
function checkStreamable(operation: RangeOperation): void {
  const { sortOrder, sortTarget } = operation;
  if (sortOrder === "descend" || (sortOrder === "ascend" && sortTarget !== "key")) {
    throw new ServerError(Status.UNIMPLEMENTED, "RangeStream does not support custom sort orders");
  }
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = operation;
  if ([minModRevision, maxModRevision, minCreateRevision, maxCreateRevision].some((revision) => revision !== 0)) {
    throw new ServerError(Status.UNIMPLEMENTED, "RangeStream does not support revision filters");
  }
}
