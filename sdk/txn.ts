// Transactions: conditions, what to do when they all hold, what to do when they do not. Answers come back as tuples
// with the types that follow from the operations given.
import type { RequestOp, ResponseOp, TxnRequest, TxnResponse } from "../proto/gen/etcdserverpb/rpc.ts";
import type { Caller } from "./caller.ts";
import type { Compare } from "./compare.ts";
import { ClientError, InvalidArgumentError } from "./errors.ts";
import { type Header, toHeader } from "./key-value.ts";
import { kvMethods } from "./methods.ts";
import { answerOf, Op, type OpContext } from "./op.ts";
import type { CallOptions } from "./options.ts";

type Ops = readonly Op<unknown>[];

/** What each operation of a list yields, in the same order. */
export type OpResults<List extends Ops> = {
  readonly [Index in keyof List]: List[Index] extends Op<infer Result> ? Result : never;
};

/** What a txn did: `succeeded` tells which of the two lists ran, and with it the type of `responses`. */
export type TxnResult<Then extends Ops, Else extends Ops> =
  | {
      readonly succeeded: true;
      readonly header: Header;
      readonly revision: bigint;
      readonly responses: OpResults<Then>;
    }
  | {
      readonly succeeded: false;
      readonly header: Header;
      readonly revision: bigint;
      readonly responses: OpResults<Else>;
    };

interface Parts {
  readonly compares: readonly Compare[];
  readonly success: Ops;
  readonly failure: Ops;
}

/**
 * A transaction being put together. Each step returns a new one; nothing is sent before `commit()`.
 * It cannot be awaited: `await` would take its `then` for a promise's, so it says to call `commit()` instead.
 *
 * @example
 * const result = await client
 *   .txn()
 *   .if(compare("account/1").modRevision("==", seen))
 *   .then(op.put("account/1", "90"), op.get("account/2"))
 *   .else(op.get("account/1"))
 *   .commit();
 * if (result.succeeded) console.log(result.responses[1]?.value);
 * else console.log("now it is", result.responses[0]?.value);
 */
export class Txn<Then extends Ops = [], Else extends Ops = []> {
  readonly #caller: Caller;
  readonly #context: OpContext;
  readonly #parts: Parts;

  /** @internal */
  constructor(caller: Caller, context: OpContext, parts: Parts = { compares: [], success: [], failure: [] }) {
    this.#caller = caller;
    this.#context = context;
    this.#parts = parts;
  }

  /** Adds conditions. All of a txn's conditions must hold; with none it always succeeds. */
  if(...compares: readonly Compare[]): Txn<Then, Else> {
    return new Txn(this.#caller, this.#context, { ...this.#parts, compares: [...this.#parts.compares, ...compares] });
  }

  /** Adds operations to run when every condition holds. They run in order and see each other's writes. */
  // biome-ignore lint/suspicious/noThenProperty: the word of etcd's API; awaiting is refused below and by the compiler.
  then<const Added extends Ops>(...ops: Added): Txn<[...Then, ...Added], Else> {
    const [resolve, reject] = ops as readonly unknown[];
    if (typeof resolve === "function" && typeof reject === "function") {
      reject(new InvalidArgumentError("a txn was awaited: call commit() on it"));
      return undefined as never;
    }
    return new Txn(this.#caller, this.#context, { ...this.#parts, success: [...this.#parts.success, ...ops] });
  }

  /** Adds operations to run when some condition does not hold. */
  else<const Added extends Ops>(...ops: Added): Txn<Then, [...Else, ...Added]> {
    return new Txn(this.#caller, this.#context, { ...this.#parts, failure: [...this.#parts.failure, ...ops] });
  }

  /**
   * Sends it: all in one revision, or nothing. A txn that writes is never repeated once it was sent; see
   * {@link IndeterminateError}.
   */
  async commit(options: CallOptions = {}): Promise<TxnResult<Then, Else>> {
    const response = await this.#caller.unary(kvMethods.txn, this.#toRequest(this.#context), options, {
      isLinearizable: true,
      kind: this.#isReadOnly ? "read" : "write",
    });
    return this.#toResult(response, toHeader(response.header), this.#context);
  }

  /** This txn as one operation of another. Its conditions are judged before any of the outer one's writes. */
  asOp(): Op<TxnResult<Then, Else>> {
    return new Op(
      this.#isReadOnly,
      (context): RequestOp => ({ request: { $case: "requestTxn", value: this.#toRequest(context) } }),
      (response: ResponseOp, header, context) => this.#toResult(answerOf(response, "responseTxn"), header, context),
    );
  }

  get #isReadOnly(): boolean {
    return [...this.#parts.success, ...this.#parts.failure].every((operation) => operation.isReadOnly);
  }

  #toRequest(context: OpContext): TxnRequest {
    return {
      compare: this.#parts.compares.map((compare) => compare.toWire(context)),
      success: this.#parts.success.map((operation) => operation.toWire(context)),
      failure: this.#parts.failure.map((operation) => operation.toWire(context)),
    };
  }

  async #toResult(response: TxnResponse, header: Header, context: OpContext): Promise<TxnResult<Then, Else>> {
    const { succeeded } = response;
    const ops = succeeded ? this.#parts.success : this.#parts.failure;
    if (ops.length !== response.responses.length) {
      const found = `expected ${ops.length} answers in a txn, found ${response.responses.length}`;
      throw new ClientError("INTERNAL", found, { outcome: this.#isReadOnly ? "notApplied" : "applied" });
    }
    const responses = await Promise.all(
      ops.map((operation, index) => operation.fromWire(response.responses[index]!, header, context)),
    );
    return { succeeded, header, revision: header.revision, responses } as unknown as TxnResult<Then, Else>;
  }
}
