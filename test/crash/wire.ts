// Clients of one life of a member: each life gets channels of its own, so that nothing waits for an earlier one.
import { createChannel, createClient } from "nice-grpc";
import { KVDefinition, LeaseDefinition, WatchDefinition } from "../../proto/gen/etcdserverpb/rpc.ts";

const options = { "grpc.max_receive_message_length": -1, "grpc.initial_reconnect_backoff_ms": 50 };

/** @param endpoint `http://127.0.0.1:port` */
export function openWire(endpoint: string) {
  // Channels with equal options would share one connection for all lives.
  const channel = createChannel(endpoint, undefined, { ...options, "grpc.use_local_subchannel_pool": 1 });
  return {
    kv: createClient(KVDefinition, channel),
    lease: createClient(LeaseDefinition, channel),
    watch: createClient(WatchDefinition, channel),
    close: () => channel.close(),
  };
}

export type Wire = ReturnType<typeof openWire>;

/** From \0 to \0: every key there is. */
export const allKeys = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

/** A stream of requests that has this one and stays open until its reader leaves. */
export function onlyRequest<T>(request: T): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      let isSent = false;
      let leave = (): void => undefined;
      return {
        next: () => {
          if (isSent) return new Promise((resolve) => (leave = () => resolve({ done: true, value: undefined })));
          isSent = true;
          return Promise.resolve({ done: false, value: request });
        },
        return: () => {
          leave();
          return Promise.resolve({ done: true, value: undefined });
        },
      };
    },
  };
}
