// nice-grpc's middleware around a method: generators that see request, responses and context, and may change each. For
// services written for them; whoever only watches or refuses calls uses a CallObserver, which costs next to nothing.
import type { CallContext, ServerMiddleware } from "nice-grpc-common";
import type { TransportCallContext } from "./call-context.ts";
import type { GrpcMethod } from "./grpc-method.ts";

/** `method` with `middleware` around its handler. What is attached first, runs first. */
export function withMiddleware(method: GrpcMethod, middleware: readonly ServerMiddleware[]): GrpcMethod {
  return middleware.reduceRight(wrap, method);
}

// biome-ignore lint/suspicious/noExplicitAny: messages of any type pass through here, as in the method record
type Any = any;
type Next = (request: Any, context: Any) => AsyncGenerator<Any, Any, undefined>;

function wrap(method: GrpcMethod, middleware: ServerMiddleware): GrpcMethod {
  const { path, requestStream, responseStream, options, handler } = method;
  const descriptor = { path, requestStream, responseStream, options };
  const next: Next = responseStream
    ? async function* (request, context) {
        yield* handler(request, context);
      }
    : // biome-ignore lint/correctness/useYield: the interface wants a generator that only returns
      async function* (request, context) {
        return await handler(request, context);
      };
  const run: Next = (request, context) =>
    middleware({ method: descriptor, requestStream, request, responseStream, next } as Any, context) as AsyncGenerator<
      Any,
      Any,
      undefined
    >;
  return {
    ...method,
    handler: responseStream
      ? (request, context) => run(request, spreadable(context))
      : (request, context) => onlyResponse(run(request, spreadable(context)), path),
  };
}

/** What a generator for a single response returns; yielding is an error of the middleware. */
async function onlyResponse(generator: AsyncGenerator<Any, Any, undefined>, path: string): Promise<Any> {
  let result = await generator.next();
  while (result.done !== true) {
    result = await generator.throw(new Error(`${path}: a middleware yielded where only one response may be returned`));
  }
  return result.value;
}

/**
 * The call's context as an object whose members are its own, since middleware hands contexts on as `{ ...context }`.
 * They are still looked up in the call only when they are touched.
 */
function spreadable(call: TransportCallContext): CallContext {
  if (Object.hasOwn(call, "metadata")) return call;
  return {
    get metadata() {
      return call.metadata;
    },
    get peer() {
      return call.peer;
    },
    get header() {
      return call.header;
    },
    get trailer() {
      return call.trailer;
    },
    get signal() {
      return call.signal;
    },
    get connection() {
      return call.connection;
    },
    get deadlineMs() {
      return call.deadlineMs;
    },
    sendHeader: () => call.sendHeader(),
  } as CallContext;
}
