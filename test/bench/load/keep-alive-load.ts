// Lease keepalives: each stream is a LeaseKeepAlive call with a lease of its own, which it renews again as soon as the
// last renewal is answered.
import { performance } from "node:perf_hooks";
import { LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest } from "../../../proto/gen/etcdserverpb/rpc.ts";
import type { H2Client, StreamSink } from "./h2-client.ts";
import { connectAll, type Load, type LoadContext } from "./load.ts";
import { MessageReader } from "./message-reader.ts";
import { paths, readKeepAliveTtl } from "./messages.ts";
import { unaryCall } from "./unary-call.ts";

const ttlSeconds = 600n;

export async function createKeepAliveLoad(context: LoadContext): Promise<Load> {
  const clients = await connectAll(context);
  const slots: Slot[] = [];
  for (const client of clients) {
    const grants = Array.from({ length: context.shape.streams }, () => grantLease(client));
    client.flush();
    for (const lease of await Promise.all(grants)) slots.push(new Slot(client, lease, context));
  }
  return {
    start: () => {
      for (const slot of slots) slot.start();
      for (const client of clients) client.flush();
    },
    stop: () => {
      for (const slot of slots) slot.stop();
    },
  };
}

async function grantLease(client: H2Client): Promise<bigint> {
  const request = LeaseGrantRequest.encode(LeaseGrantRequest.fromPartial({ TTL: ttlSeconds })).finish();
  return LeaseGrantResponse.decode(await unaryCall(client, paths.leaseGrant, Buffer.from(request))).ID;
}

class Slot implements StreamSink {
  readonly #client: H2Client;
  readonly #context: LoadContext;
  readonly #message: Buffer;
  readonly #messages = new MessageReader((bytes, start, end) => this.#onMessage(bytes, start, end));
  #streamId = 0;
  #sentMs = 0;
  #isStopped = false;

  constructor(client: H2Client, lease: bigint, context: LoadContext) {
    this.#client = client;
    this.#context = context;
    this.#message = Buffer.from(LeaseKeepAliveRequest.encode({ ID: lease }).finish());
  }

  start(): void {
    this.#streamId = this.#client.open(paths.leaseKeepAlive, this);
    this.#send();
  }

  #send(): void {
    if (this.#isStopped) return;
    this.#sentMs = performance.now();
    this.#client.send(this.#streamId, this.#message);
  }

  stop(): void {
    this.#isStopped = true;
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#messages.feed(bytes, start, end);
  }

  #onMessage(bytes: Buffer, start: number, end: number): void {
    if (readKeepAliveTtl(bytes, start, end) > 0) this.#context.recorder.record(this.#sentMs);
    else this.#context.recorder.error("a keepalive was answered with a lease that is gone");
    this.#send();
  }

  onEnd(problem: string | undefined): void {
    this.#context.recorder.error(`the keepalive stream ended: ${problem ?? "OK"}`);
  }
}
