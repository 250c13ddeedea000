// A service with one method of each kind, whose requests say what its handlers shall do. Messages are JSON, so that the
// tests read without a schema; one ts-proto service beside it (in the tests) covers generated definitions.

import type { ServiceImplementation } from "nice-grpc";
import { type CallContext, ServerError, type Status } from "nice-grpc-common";

export interface EchoMessage {
  readonly text?: string;
  /** Answer with the request's metadata of this name. */
  readonly metadata?: string;
  readonly header?: readonly (readonly [string, string])[];
  readonly trailer?: readonly (readonly [string, string])[];
  /** Send headers before anything else. */
  readonly sendHeader?: boolean;
  readonly delayMs?: number;
  /** Fail: with a code, with an AbortError, or with something that no client may see. */
  readonly error?: number | "abort" | "bug";
  readonly errorText?: string;
  /** Messages to answer with, where several may come. */
  readonly count?: number;
  /** Size of the text of each. */
  readonly sizeBytes?: number;
  /** Wait until the call is aborted. */
  readonly waitForAbort?: boolean;
}

const serialize = (message: EchoMessage): Uint8Array => Buffer.from(JSON.stringify(message));
const deserialize = (bytes: Uint8Array): EchoMessage => JSON.parse(Buffer.from(bytes).toString()) as EchoMessage;

function method<RequestStream extends boolean, ResponseStream extends boolean>(
  name: string,
  requestStream: RequestStream,
  responseStream: ResponseStream,
) {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
    options: {},
  };
}

export const EchoDefinition = {
  unary: method("Unary", false, false),
  collect: method("Collect", true, false),
  expand: method("Expand", false, true),
  chat: method("Chat", true, true),
} as const;

/** What happened to calls, for tests that look from the server's side. */
export interface EchoJournal {
  readonly events: string[];
  note(event: string): void;
  /** Resolves once `event` has been noted. */
  until(event: string): Promise<void>;
}

export function createJournal(): EchoJournal {
  const events: string[] = [];
  let waiting: { readonly event: string; readonly resolve: () => void }[] = [];
  return {
    events,
    note(event) {
      events.push(event);
      for (const waiter of waiting) if (waiter.event === event) waiter.resolve();
      waiting = waiting.filter((waiter) => waiter.event !== event);
    },
    until(event) {
      if (events.includes(event)) return Promise.resolve();
      return new Promise((resolve) => waiting.push({ event, resolve }));
    },
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => reject(Object.assign(new Error("aborted"), { name: "AbortError" }));
    if (signal.aborted) fail();
    else signal.addEventListener("abort", fail);
  });
}

async function act(request: EchoMessage, context: CallContext, journal: EchoJournal): Promise<void> {
  for (const [name, value] of request.header ?? []) context.header.append(name, value);
  for (const [name, value] of request.trailer ?? []) context.trailer.append(name, value);
  if (request.sendHeader === true) context.sendHeader();
  if (request.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, request.delayMs));
  if (request.waitForAbort === true) {
    journal.note("waiting");
    try {
      await aborted(context.signal);
    } finally {
      journal.note("aborted");
    }
  }
  if (request.error === "abort") throw Object.assign(new Error("enough"), { name: "AbortError" });
  if (request.error === "bug") throw new TypeError("secret internals");
  if (request.error !== undefined) throw new ServerError(request.error as Status, request.errorText ?? "");
}

function reply(request: EchoMessage, context: CallContext, index = 0): EchoMessage {
  if (request.metadata !== undefined) {
    const values = context.metadata.getAll(request.metadata) as (string | Uint8Array)[];
    return {
      text: values.map((value) => (typeof value === "string" ? value : Buffer.from(value).toString("hex"))).join("|"),
    };
  }
  if (request.sizeBytes !== undefined) return { text: "x".repeat(request.sizeBytes) };
  return { text: `${request.text ?? ""}${index === 0 ? "" : `#${index}`}` };
}

export function createEchoService(journal: EchoJournal): ServiceImplementation<typeof EchoDefinition> {
  return {
    async unary(request, context) {
      await act(request, context, journal);
      return reply(request, context);
    },
    async collect(requests, context) {
      let text = "";
      let last: EchoMessage = {};
      for await (const request of requests) {
        text += request.text ?? "";
        last = request;
        await act(request, context, journal);
      }
      return { ...reply(last, context), text };
    },
    async *expand(request, context) {
      try {
        for (let i = 0; i < (request.count ?? 1); i++) {
          yield reply(request, context, i);
          journal.note(`sent ${i}`);
        }
        await act(request, context, journal);
      } finally {
        journal.note("expand ended");
      }
    },
    async *chat(requests, context) {
      try {
        for await (const request of requests) {
          await act(request, context, journal);
          for (let i = 0; i < (request.count ?? 1); i++) yield reply(request, context, i);
        }
      } finally {
        journal.note("chat ended");
      }
    },
  };
}
