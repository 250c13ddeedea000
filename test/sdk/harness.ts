// What the SDK's tests share: one server per target and file, and small helpers to wait for something.
import { after, before, describe } from "node:test";
import { type Client, type ClientOptions, connect } from "../../sdk/index.ts";
import { type ServerUnderTest, type StartOptions, type Target, targets } from "../support/server-under-test.ts";

/** Short elections, so that servers start fast and leases of 1 s are granted. */
export const fastArgs = ["--heartbeat-interval", "10", "--election-timeout", "100"] as const;
export const fastClient = { electionTimeout: 100 } as const;
/** A server that is not scheduled for a while is not gone. Tests of silence set their own. */
export const patient = { connectTimeout: "20s", liveness: { probeAfter: "15s", deadAfter: "30s" } } as const;

export interface World {
  readonly target: Target;
  readonly server: ServerUnderTest;
  /** A client that is closed at the end of the file, or earlier by the test. */
  connect(options?: Partial<ClientOptions>): Promise<Client>;
  /** A prefix that no other test uses. */
  prefix(): string;
}

/**
 * Runs `define` once per server there is, each time with a fresh one that ends after the tests of the file.
 * `isConcurrent`: the tests mostly wait and do not disturb each other, so they run at the same time.
 */
export function eachTarget(
  define: (world: World) => void,
  { isConcurrent = false, ...options }: StartOptions & { readonly isConcurrent?: boolean } = {},
): void {
  for (const target of targets()) {
    describe(`against ${target.name}`, { concurrency: isConcurrent }, () => {
      let server: ServerUnderTest | undefined;
      const clients: Client[] = [];
      let prefixes = 0;
      before(async () => {
        server = await target.start({ ...options, args: [...fastArgs, ...(options.args ?? [])] });
      });
      after(async () => {
        await Promise.all(clients.map((client) => client.close()));
        await server?.dispose();
      });
      define({
        target,
        get server(): ServerUnderTest {
          if (server === undefined) throw new Error("the server is not started before the tests run");
          return server;
        },
        async connect(clientOptions = {}) {
          const client = await connect({
            endpoints: this.server.endpoint,
            ...fastClient,
            ...patient,
            ...clientOptions,
          });
          clients.push(client);
          return client;
        },
        prefix: () => `t${++prefixes}/`,
      });
    });
  }
}

/** Waits until `condition` holds. The limit only bounds a test that hangs: it is far above what should happen. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 30_000,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What `promise` rejects with; an error if it does not. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected a rejection, found a value");
}
