// Where services are found: instances register, clients resolve. The layout is that of Go's naming/endpoints, so Go's
// gRPC resolver sees what we register and we see what Go registers.
import type { Client, SchemaOutput, StandardSchema } from "../sdk/index.ts";
import { type RegisterOptions, Registration } from "./registration.ts";
import { type ResolveOptions, Resolver } from "./resolver.ts";
import { type SessionChoice, type Sessions, sessionsOf } from "./session-source.ts";
import { untilAborted, type WaitOptions } from "./waiting.ts";

export interface RegistryOptions {
  /** The session to register under. Default: the one that the recipes of the client share. */
  readonly session?: SessionChoice | undefined;
}

/**
 * Registers and resolves instances of services.
 *
 * @example
 * const registry = new Registry(client);
 * await using registration = await registry.register({ service: "billing", address: "10.0.0.7", port: 8443 });
 *
 * @example Elsewhere
 * await using billing = await registry.resolve("billing");
 * console.log(billing.endpoints.map(({ address }) => address));
 */
export class Registry {
  readonly client: Client;
  readonly #sessions: Sessions;

  constructor(client: Client, options: RegistryOptions = {}) {
    this.client = client;
    this.#sessions = sessionsOf(client, options.session);
  }

  /**
   * Lists an instance. Resolves once it is listed, with a `check` once that has passed for the first time. What was
   * registered under the same id before is replaced.
   *
   * @throws {WaitTimeoutError} after `wait`, 10 s unless it says otherwise. Nothing stays listed.
   */
  async register(options: RegisterOptions & WaitOptions): Promise<Registration> {
    const { signal, wait, ...rest } = options;
    const registration = new Registration(this.#sessions, rest);
    await registration.start({ ...(signal === undefined ? {} : { signal }), ...(wait === undefined ? {} : { wait }) });
    return registration;
  }

  /**
   * A live list of a service's instances. Resolves with the first list, be it empty; until the cluster can be reached it
   * waits, or until `signal` aborts.
   */
  async resolve<S extends StandardSchema>(
    service: string,
    options: ResolveOptions<S> & { readonly metadata: S; readonly signal?: AbortSignal | undefined },
  ): Promise<Resolver<SchemaOutput<S>>>;
  async resolve(
    service: string,
    options?: Omit<ResolveOptions, "metadata"> & { readonly signal?: AbortSignal | undefined },
  ): Promise<Resolver>;
  async resolve(
    service: string,
    options: ResolveOptions & { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Resolver> {
    const { signal, ...rest } = options;
    const resolver = new Resolver(this.client, service, rest);
    try {
      await untilAborted(resolver.ready, signal);
    } catch (error) {
      await resolver.close();
      throw error;
    }
    return resolver;
  }
}
