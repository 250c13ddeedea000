// Answers that come in many messages, as an async iterator that pulls: a slow reader slows the server down.
import { createDeferred, type Deferred, onAbort } from "./abort.ts";
import type { Caller } from "./caller.ts";
import { CallFailure, grpcStatus } from "./grpc-status.ts";
import type { Method } from "./methods.ts";
import type { CallOptions } from "./options.ts";
import { abortError, toClientError } from "./server-errors.ts";

/** Messages that wait for the reader before the stream is paused. */
const queueMax = 16;

/** Makes the call on some member and yields its messages. Never repeated: half of an answer cannot be taken back. */
export async function* streamOf<Request, Response>(
  caller: Caller,
  method: Method<Request, Response>,
  request: Request,
  timeoutMs: number,
  options: CallOptions,
): AsyncGenerator<Response, void, undefined> {
  const { signal } = options;
  const queue: Uint8Array[] = [];
  let arrival: Deferred<void> | undefined;
  let end: { readonly failure: CallFailure | undefined } | undefined;
  const wake = (): void => {
    arrival?.resolve();
    arrival = undefined;
  };
  const finish = (failure: CallFailure | undefined): void => {
    end ??= { failure };
    wake();
  };
  const ready = await reach(caller, timeoutMs, signal);
  const { metadata } = await caller.metadata(options);
  const call = ready.connection.stream(method.path, metadata, {
    onMessage: (message) => {
      queue.push(message);
      if (queue.length >= queueMax) call.pause();
      wake();
    },
    onEnd: finish,
  });
  const stopListening = onAbort(signal, () => finish(new CallFailure(grpcStatus.canceled, "given up", "sent")));
  caller.hold.acquire();
  try {
    call.write(method.request.encode(request).finish());
    call.endWriting();
    for (;;) {
      const message = queue.shift();
      if (message !== undefined) {
        if (queue.length === 0) call.resume();
        yield method.response.decode(message);
      } else if (end !== undefined) {
        if (signal?.aborted) throw abortError(signal, "notApplied");
        if (end.failure !== undefined) throw toClientError(end.failure, method.kind, ready.endpoint.address.url);
        return;
      } else {
        arrival = createDeferred();
        await arrival.promise;
      }
    }
  } finally {
    caller.hold.release();
    stopListening();
    call.cancel();
  }
}

async function reach(caller: Caller, timeoutMs: number, signal: AbortSignal | undefined) {
  try {
    return caller.pool.ready ?? (await caller.hold.during(caller.pool.acquire(timeoutMs, signal)));
  } catch (error) {
    if (signal?.aborted) throw abortError(signal, "notApplied");
    throw error instanceof CallFailure ? toClientError(error, "read", undefined) : error;
  }
}
