// What the recipes' tests share: servers, clients behind a proxy, a loop that stands still, counting of calls.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe } from "node:test";
import { type CallDiagnostics, type Client, type ClientOptions, connect } from "../../sdk/index.ts";
import { eachTarget as eachServer, type World } from "../sdk/harness.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

/**
 * Runs `define` once per server there is. The tests of a file run beside one another, since most of them wait for time
 * to pass; so a test must not stop the server or the event loop, unless it says `isAlone`. It must not compact either:
 * who begins to watch beside it would miss what is forgotten.
 */
export function eachTarget(define: (world: World) => void, { isAlone = false } = {}): void {
  describe("recipes", { concurrency: !isAlone }, () => eachServer(define, { isConcurrent: !isAlone }));
}

/** A client that reaches the server through a proxy of its own. */
export interface ProxiedClient extends AsyncDisposable {
  readonly client: Client;
  readonly proxy: TcpProxy;
}

export { patient } from "../sdk/harness.ts";

/** Connects through a proxy. Silence is noticed fast, so that tests of broken networks need not wait. */
export async function connectThroughProxy(world: World, options: Partial<ClientOptions> = {}): Promise<ProxiedClient> {
  const proxy = await TcpProxy.start(world.server.endpoint);
  const client = await world.connect({
    endpoints: proxy.endpoint,
    liveness: { probeAfter: 200, deadAfter: 400 },
    connectTimeout: "10s",
    // A machine under load may take longer over the first connection than a test wants to wait for later ones.
    lazy: true,
    ...options,
  });
  await client.waitForReady({ deadline: "60s" });
  return {
    client,
    proxy,
    async [Symbol.asyncDispose]() {
      proxy.heal();
      await proxy.accept();
      await client.close();
      await proxy.close();
    },
  };
}

/**
 * A client that reaches the server in two ways: first through the proxy, which can hold back what passes, and directly.
 * What the proxy holds when the client turns to the other way arrives late, as a delayed packet does.
 */
export const connectTwoWays = async (world: World): Promise<ProxiedClient> => {
  const proxied = await connectThroughProxy(world);
  proxied.client.setEndpoints([proxied.proxy.endpoint, world.server.endpoint]);
  return proxied;
};

/** Whether a new connection through the proxy gets answers. */
export async function passes(proxy: TcpProxy): Promise<boolean> {
  try {
    await (await connect({ endpoints: proxy.endpoint, connectTimeout: 500 })).close();
    return true;
  } catch {
    return false;
  }
}

/** Holds the event loop up, as a long computation or a garbage collection does, but leaves the processor to others. */
export function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Counts the unary calls of this process to one endpoint while `during` runs. */
export async function countCalls(endpoint: string, during: () => Promise<unknown>): Promise<number> {
  let calls = 0;
  const onCall = (message: unknown): void => {
    if ((message as CallDiagnostics).endpoint === endpoint) calls += 1;
  };
  subscribe("quorate:call", onCall);
  try {
    await during();
  } finally {
    unsubscribe("quorate:call", onCall);
  }
  return calls;
}

/** Keys below a prefix, in the order of their creation. */
export async function keysBelow(client: Client, prefix: string): Promise<readonly string[]> {
  const infos = await client.kv.keys({ prefix }, { sort: { by: "createRevision" } });
  return infos.map(({ key }) => key);
}

/** Whether a promise has settled by now. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  const settled = promise.then(
    () => undefined,
    () => undefined,
  );
  return (await Promise.race([settled, Promise.resolve(pending)])) !== pending;
}
