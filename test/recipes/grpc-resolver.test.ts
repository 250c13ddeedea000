// The resolver in @grpc/grpc-js: real channels that call real servers, and the two shapes of listeners that there are.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { type GrpcModule, Registry, registerGrpcResolver } from "../../recipes/index.ts";
import { pause, rejection, until } from "../sdk/harness.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { connectThroughProxy, eachTarget } from "./support.ts";

const identity = (bytes: Buffer): Buffer => bytes;
const whoami: grpc.MethodDefinition<Buffer, Buffer> = {
  path: "/test.Service/WhoAmI",
  requestStream: false,
  responseStream: false,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};

const servers = new Set<grpc.Server>();
after(() => {
  for (const server of servers) server.forceShutdown();
});

/** A gRPC server that answers with its own address, or, where it is told to, takes calls and never answers. */
async function startServer(hold?: () => void): Promise<{
  readonly server: grpc.Server;
  readonly port: number;
  readonly address: string;
}> {
  const server = new grpc.Server();
  servers.add(server);
  let port = 0;
  const answer: grpc.handleUnaryCall<Buffer, Buffer> = (_, callback) =>
    hold === undefined ? callback(null, Buffer.from(`127.0.0.1:${port}`)) : hold();
  server.addService({ whoami }, { whoami: answer });
  port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { server, port, address: `127.0.0.1:${port}` };
}

class Caller implements Disposable {
  readonly #client: grpc.Client;

  constructor(target: string, options: grpc.ClientOptions = {}) {
    this.#client = new grpc.Client(target, grpc.credentials.createInsecure(), options);
  }

  call(options: { waitForReady?: boolean; deadlineMs?: number } = {}): Promise<string> {
    const metadata = new grpc.Metadata({ waitForReady: options.waitForReady ?? false });
    const deadline = Date.now() + (options.deadlineMs ?? 10_000);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        whoami.path,
        identity,
        identity,
        Buffer.alloc(0),
        metadata,
        { deadline },
        (error, answer) => (error === null ? resolve(String(answer)) : reject(error)),
      );
    });
  }

  /** Who answered, over so many calls. */
  async callers(count: number): Promise<Set<string>> {
    const answers = new Set<string>();
    for (let index = 0; index < count; index++) answers.add(await this.call());
    return answers;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

let schemes = 0;
/** grpc-js knows one resolver per scheme in the whole process; tests that run beside one another take one each. */
const ownScheme = (): string => `test${++schemes}`;

eachTarget((world) => {
  test("a channel calls all instances in turn, drops those that go, takes up those that come", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}svc`;
    const registry = new Registry(client);
    const scheme = ownScheme();
    registerGrpcResolver(grpc, registry, { scheme });
    const [one, two, three] = await Promise.all([startServer(), startServer(), startServer()]);
    const first = await registry.register({ service, address: "127.0.0.1", port: one.port });
    const second = await registry.register({ service, address: "127.0.0.1", port: two.port });
    using caller = new Caller(`${scheme}:///${service}`);
    const both = new Set([one.address, two.address]);
    await until("both are called", async () => (await caller.callers(4)).size === 2);
    assert.deepEqual(await caller.callers(10), both);
    // One dies without a word. Calls may fail until it is off the list, and reach the other.
    one.server.forceShutdown();
    await first.close();
    await until("only the other is called", async () => {
      const answers = await caller.callers(4).catch(() => new Set<string>());
      return answers.size === 1 && answers.has(two.address);
    });
    const third = await registry.register({ service, address: "127.0.0.1", port: three.port });
    await until("the new one is called", async () => (await caller.callers(4)).has(three.address));
    await Promise.all([second.close(), third.close()]);
  });

  test("a call that an instance takes with it into death fails, or goes to another where the service config allows it", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}svc`;
    const registry = new Registry(client);
    const living = await startServer();
    await using survivor = await registry.register({ service, address: "127.0.0.1", port: living.port });
    const retryPolicy = {
      maxAttempts: 5,
      initialBackoff: "0.01s",
      maxBackoff: "0.1s",
      backoffMultiplier: 2,
      retryableStatusCodes: ["UNAVAILABLE"],
    };
    const round = async (methodConfig: readonly object[]): Promise<PromiseSettledResult<string>[]> => {
      let taken = 0;
      const dying = await startServer(() => (taken += 1));
      await using wire = await TcpProxy.start(dying.port);
      await using victim = await registry.register({ service, address: "127.0.0.1", port: wire.port });
      const scheme = ownScheme();
      const serviceConfig = { loadBalancingConfig: [{ round_robin: {} }], methodConfig };
      registerGrpcResolver(grpc, registry, { scheme, serviceConfig });
      using caller = new Caller(`${scheme}:///${service}`);
      const calls: Promise<string>[] = [];
      await until("the victim has taken calls", async () => {
        const call = caller.call({ waitForReady: true });
        call.catch(() => undefined);
        calls.push(call);
        await pause(5);
        return taken >= 2;
      });
      // As when a process is killed: its connections end in the middle, and nobody listens any more.
      await wire.refuse();
      const outcomes = await Promise.allSettled(calls);
      // Its place in the list is no different: whoever calls now may still be sent to the dead.
      assert.equal(victim.state, "registered");
      return outcomes;
    };
    const failed = (await round([])).filter(({ status }) => status === "rejected");
    assert(failed.length >= 2);
    const outcomes = await round([{ name: [{ service: "test.Service" }], retryPolicy }]);
    for (const outcome of outcomes) assert.deepEqual(outcome, { status: "fulfilled", value: living.address });
    assert.equal(survivor.state, "registered");
  });

  test("without instances calls fail soon, or wait if they are told to; the first instance ends that", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}svc`;
    const registry = new Registry(client);
    const scheme = ownScheme();
    registerGrpcResolver(grpc, registry, { scheme });
    using caller = new Caller(`${scheme}:///${service}`);
    assert.equal(((await rejection(caller.call())) as grpc.ServiceError).code, grpc.status.UNAVAILABLE);
    const waiting = caller.call({ waitForReady: true });
    const { port, address } = await startServer();
    const registration = await registry.register({ service, address: "127.0.0.1", port });
    assert.equal(await waiting, address);
    await registration.close();
  });

  test("while the cluster is away the channel keeps what it has, and takes up changes when it is back", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}svc`;
    const scheme = ownScheme();
    registerGrpcResolver(grpc, new Registry(cut.client), { scheme });
    const registry = new Registry(direct);
    const [one, two] = await Promise.all([startServer(), startServer()]);
    const first = await registry.register({ service, address: "127.0.0.1", port: one.port });
    using caller = new Caller(`${scheme}:///${service}`);
    assert.equal(await caller.call({ waitForReady: true }), one.address);
    await cut.proxy.refuse();
    for (let index = 0; index < 20; index++) assert.equal(await caller.call(), one.address);
    const second = await registry.register({ service, address: "127.0.0.1", port: two.port });
    await first.close();
    assert.equal(await caller.call(), one.address);
    await cut.proxy.accept();
    await until("the change is taken up", async () => (await caller.call()) === two.address);
    await second.close();
  });

  test("a channel that was idle, and let its resolver go, finds the instances of now when it is used again", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}svc`;
    const registry = new Registry(client);
    const scheme = ownScheme();
    registerGrpcResolver(grpc, registry, { scheme });
    const [one, two] = await Promise.all([startServer(), startServer()]);
    const first = await registry.register({ service, address: "127.0.0.1", port: one.port });
    // The least that grpc-js allows.
    using caller = new Caller(`${scheme}:///${service}`, { "grpc.client_idle_timeout_ms": 1000 });
    assert.equal(await caller.call({ waitForReady: true }), one.address);
    const isWatching = (): boolean =>
      client.inspect().watches.some(({ keys }) => keys.startsWith(service) && keys.endsWith("*"));
    assert(isWatching());
    await until("the resolver is let go", () => !isWatching());
    const second = await registry.register({ service, address: "127.0.0.1", port: two.port });
    await first.close();
    assert.equal(await caller.call({ waitForReady: true }), two.address);
    await second.close();
  });

  test("registries are told apart by the target's authority; an unknown one is an error", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}svc`;
    const registry = new Registry(client);
    const scheme = ownScheme();
    const undo = registerGrpcResolver(grpc, registry, { scheme, authority: "east" });
    const { port, address } = await startServer();
    const registration = await registry.register({ service, address: "127.0.0.1", port });
    using east = new Caller(`${scheme}://east/${service}`);
    assert.equal(await east.call({ waitForReady: true }), address);
    using west = new Caller(`${scheme}://west/${service}`);
    assert.match((await rejection(west.call())).message, /no registry is known/);
    undo();
    using late = new Caller(`${scheme}://east/${service}`);
    assert.match((await rejection(late.call())).message, /no registry is known/);
    await registration.close();
  });

  test("listeners of either shape are told: the first list, changes, and errors; nothing after destroy", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}svc`;
    interface GrpcResolver {
      updateResolution(): void;
      destroy(): void;
    }
    type ResolverClass = new (target: { path: string; authority?: string }, listener: unknown) => GrpcResolver;
    let ResolverOf: ResolverClass | undefined;
    // Stands in for a grpc-js of whichever version: what it registers is used with listeners made here.
    const experimental = {
      registerResolver: (_: string, given: unknown): void => {
        ResolverOf = given as ResolverClass;
      },
    };
    const registry = new Registry(client);
    registerGrpcResolver({ experimental, Metadata: grpc.Metadata } as GrpcModule, registry, { whenEmpty: "error" });
    const told: string[] = [];
    const brief = (endpoints: unknown): string => JSON.stringify(endpoints);
    const asObject = {
      onSuccessfulResolution: (endpoints: unknown, config: unknown, error: unknown, selector: unknown) => {
        assert.deepEqual(
          [config, error, selector],
          [{ loadBalancingConfig: [{ round_robin: {} }], methodConfig: [] }, null, null],
        );
        told.push(brief(endpoints));
      },
      onError: ({ code }: { code: number }) => told.push(`error ${code}`),
    };
    const asFunction = (
      result: { ok: boolean; value?: unknown; error?: { code: number } },
      _: unknown,
      config: unknown,
    ) => {
      assert.deepEqual(config, { ok: true, value: { loadBalancingConfig: [{ round_robin: {} }], methodConfig: [] } });
      told.push(result.ok ? brief(result.value) : `error ${result.error?.code}`);
      return true;
    };
    const registration = await registry.register({ service, address: "10.0.0.1", port: 80 });
    for (const listener of [asObject, asFunction]) {
      const resolver = new ResolverOf!({ path: `/${service}` }, listener);
      resolver.updateResolution();
      assert.equal(told.length, 0, "never from within");
      await until("the first list", () => told.length === 1);
      resolver.updateResolution();
      await registration.update({ metadata: told.length });
      await until("the change", () => told.length === 2);
      const unix = await registry.register({ service, address: "unix:/run/x.sock" });
      await until("the new one", () => told.length === 3);
      await unix.close();
      await registration.drain();
      await until("the end", () => told.length === 6);
      const one = brief([{ addresses: [{ host: "10.0.0.1", port: 80 }] }]);
      const two = brief([{ addresses: [{ host: "10.0.0.1", port: 80 }] }, { addresses: [{ path: "/run/x.sock" }] }]);
      assert.deepEqual(told.splice(0), [one, one, two, one, "[]", `error ${grpc.status.UNAVAILABLE}`]);
      resolver.destroy();
      await registration.resume();
      const again = new ResolverOf!({ path: service }, listener);
      again.updateResolution();
      again.destroy();
      await client.kv.get("any");
      assert.deepEqual(told, []);
    }
    await registration.close();
  });
});
