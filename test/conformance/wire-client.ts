// A bare gRPC client over the generated definitions: any method by name, any request down to raw bytes, no retries, no
// defaults of our own. The table is about the wire, so the SDK has no part in it.
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import {
  AuthDefinition,
  ClusterDefinition,
  KVDefinition,
  LeaseDefinition,
  MaintenanceDefinition,
  WatchDefinition,
} from "../../proto/gen/etcdserverpb/rpc.ts";
import { HealthDefinition } from "../../proto/gen/health/v1/health.ts";
import { ElectionDefinition } from "../../proto/gen/v3electionpb/v3election.ts";
import { LockDefinition } from "../../proto/gen/v3lockpb/v3lock.ts";

interface MessageCodec {
  encode(message: never): { finish(): Uint8Array };
  decode(input: BinaryReader): unknown;
  fromPartial(partial: object): unknown;
}

interface Method {
  readonly path: string;
  readonly requestType: MessageCodec;
  readonly responseType: MessageCodec;
}

interface Definition {
  readonly name: string;
  readonly fullName: string;
  readonly methods: {
    readonly [key: string]: {
      readonly name: string;
      readonly requestType: MessageCodec;
      readonly responseType: MessageCodec;
    };
  };
}

/** "KV/Range" to what is needed to call it. */
const methods = new Map<string, Method>();
for (const definition of [
  KVDefinition,
  WatchDefinition,
  LeaseDefinition,
  ClusterDefinition,
  MaintenanceDefinition,
  AuthDefinition,
  LockDefinition,
  ElectionDefinition,
  HealthDefinition,
] as readonly Definition[])
  for (const method of Object.values(definition.methods))
    methods.set(`${definition.name}/${method.name}`, { ...method, path: `/${definition.fullName}/${method.name}` });

/** For methods that nobody has: bytes in, bytes out. */
const rawCodec: MessageCodec = {
  encode: () => ({ finish: () => new Uint8Array() }),
  decode: (input) => ({ bytes: input.len }),
  fromPartial: (partial) => partial,
};

/** @param name "KV/Range" of what we know, or a full path "/package.Service/Method" of what nobody knows */
function methodOf(name: string): Method {
  if (name.startsWith("/")) return { path: name, requestType: rawCodec, responseType: rawCodec };
  const method = methods.get(name);
  if (method === undefined) throw new Error(`no such method: ${name}`);
  return method;
}

/** Encodes a request; `$raw` bytes go as they are. */
function serialize(method: Method, request: object): Buffer {
  if ("$raw" in request) return Buffer.from(request.$raw as Uint8Array);
  return Buffer.from(method.requestType.encode(method.requestType.fromPartial(request) as never).finish());
}

/**
 * Generated decoders refuse messages nested deeper than 100, and a txn may be nested deeper than that. They count in a
 * field of the reader, so a reader that starts far below zero goes deeper.
 */
function deserialize(method: Method, data: Buffer): object {
  const reader = Object.assign(new BinaryReader(Uint8Array.from(data)), { __tsProtoDecodeDepth: -1000 });
  return method.responseType.decode(reader) as object;
}

function toMetadata(entries: { readonly [key: string]: string } | undefined): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(entries ?? {})) metadata.set(key, value);
  return metadata;
}

/** How a call ended. */
export interface Status {
  readonly code: number;
  readonly message: string;
}

export type CallResult = { readonly response: object } | { readonly status: Status };

export interface CallOptions {
  readonly metadata?: { readonly [key: string]: string } | undefined;
  /** Milliseconds; ten seconds unless told. */
  readonly deadlineMs?: number | undefined;
}

/** One stream: responses queue up until asked for. The queue is as long as the table's longest script: bounded by it. */
export class WireStream {
  readonly #received: object[] = [];
  readonly #call: ClientDuplexStream<object, object>;
  readonly #method: Method;
  #status: Status | undefined;
  #wake: () => void = () => {};

  constructor(client: Client, name: string, metadata: Metadata) {
    const method = methodOf(name);
    this.#method = method;
    this.#call = client.makeBidiStreamRequest(
      method.path,
      (request: object) => serialize(method, request),
      (data: Buffer) => deserialize(method, data),
      metadata,
    );
    this.#call.on("data", (response: object) => {
      this.#received.push(response);
      this.#wake();
    });
    this.#call.on("status", (status: StatusObject) => {
      this.#status = { code: status.code, message: status.details };
      this.#wake();
    });
    // The status event says the same in a form that also covers success.
    this.#call.on("error", () => {});
  }

  /** "/etcdserverpb.Watch/Watch" */
  get path(): string {
    return this.#method.path;
  }

  send(request: object): void {
    // After the server ended the stream a write would only raise an error that the status has told already.
    if (this.#status === undefined) this.#call.write(request);
  }

  closeSending(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Takes up to `count` responses, waiting until they came, the stream ended, or the time is over. */
  async take(count: number, timeoutMs: number): Promise<readonly object[]> {
    const deadline = Date.now() + timeoutMs;
    while (this.#received.length < count && this.#status === undefined) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) break;
      await this.#woken(leftMs);
    }
    return this.#received.splice(0, count);
  }

  /** How the stream ended, or undefined while it goes on (after waiting for it that long). */
  async ended(timeoutMs: number): Promise<Status | undefined> {
    const deadline = Date.now() + timeoutMs;
    while (this.#status === undefined && Date.now() < deadline) await this.#woken(deadline - Date.now());
    return this.#status;
  }

  #woken(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

export class WireClient {
  readonly #client: Client;
  #isClosed = false;

  /** @param endpoint host:port, without TLS */
  constructor(endpoint: string) {
    this.#client = new Client(endpoint, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  call(name: string, request: object, options: CallOptions = {}): Promise<CallResult> {
    const method = methodOf(name);
    // As with a member that has gone: whoever chose it a moment ago gets an answer, not an exception.
    if (this.#isClosed)
      return Promise.resolve({ status: { code: status.UNAVAILABLE, message: "the client is closed" } });
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        method.path,
        (value: object) => serialize(method, value),
        (data: Buffer) => deserialize(method, data),
        request,
        toMetadata(options.metadata),
        { deadline: Date.now() + (options.deadlineMs ?? 10_000) },
        (error: ServiceError | null, response?: object) => {
          if (error !== null) resolve({ status: { code: error.code, message: error.details } });
          else resolve({ response: response ?? {} });
        },
      );
    });
  }

  open(name: string, options: CallOptions = {}): WireStream {
    return new WireStream(this.#client, name, toMetadata(options.metadata));
  }

  /** Full path of a method: "KV/Range" to "/etcdserverpb.KV/Range". */
  pathOf(name: string): string {
    return methodOf(name).path;
  }

  close(): void {
    this.#isClosed = true;
    this.#client.close();
  }
}
