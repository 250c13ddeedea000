// Lets @grpc/grpc-js find services here: `new SomeClient("quorate:///billing", ...)`. grpc-js is handed in rather than
// imported, because the resolver has to be known to the very copy that makes the channels, and because programs without
// gRPC should not load it.
//
// grpc-js calls its resolver API experimental and changed it in 1.14: until then a listener was an object with two
// methods, since then it is one function that takes a result or an error. Both are spoken here.
import type { Registry } from "./registry.ts";
import { type Endpoint, type ResolveOptions, Resolver } from "./resolver.ts";

/** Addresses as grpc-js has them. */
type GrpcAddress = { readonly host: string; readonly port: number } | { readonly path: string };
interface GrpcEndpoint {
  readonly addresses: GrpcAddress[];
}

interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: unknown;
}

type StatusOr<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: GrpcStatus };

/** The listener of grpc-js up to 1.13. */
interface ListenerObject {
  onSuccessfulResolution(
    endpoints: GrpcEndpoint[],
    serviceConfig: unknown,
    serviceConfigError: null,
    configSelector: null,
    attributes: object,
  ): void;
  onError(error: GrpcStatus): void;
}

/** The listener of grpc-js from 1.14 on. */
type ListenerFunction = (
  endpoints: StatusOr<GrpcEndpoint[]>,
  attributes: object,
  serviceConfig: StatusOr<unknown>,
  resolutionNote: string,
) => boolean;

interface GrpcTarget {
  readonly authority?: string;
  readonly path: string;
}

/** What is used of the module `@grpc/grpc-js`. */
export interface GrpcModule {
  readonly experimental: {
    // The parameter differs between versions of grpc-js; whatever it is, it gets one that works with it.
    registerResolver(scheme: string, resolver: never): void;
  };
  readonly Metadata: new () => unknown;
}

export interface GrpcResolverOptions extends ResolveOptions {
  /** Scheme of the targets. Default `quorate`. */
  readonly scheme?: string;
  /** Authority of the targets, where a program has more than one registry: `quorate://east/billing`. Default: none. */
  readonly authority?: string;
  /** gRPC service config for the channels. Default: the policy `round_robin`. */
  readonly serviceConfig?: object;
}

/** Time after which calls are told that there is no list yet, instead of waiting on. They may come again. */
const patienceMs = 5000;
const unavailable = 14;
const roundRobinConfig = { loadBalancingConfig: [{ round_robin: {} }], methodConfig: [] };

interface Home {
  readonly registry: Registry;
  readonly options: GrpcResolverOptions;
}

/** Registries by authority, for each copy of grpc-js and each scheme. */
const homes = new WeakMap<GrpcModule["experimental"], Map<string, Map<string, Home>>>();

/**
 * Makes `quorate:///SERVICE` a target that grpc-js understands. Channels follow the service's instances: new ones are
 * used, vanished ones are dropped, and while the cluster cannot be reached they keep what they have.
 *
 * @returns Undoes it for channels made later.
 *
 * @example
 * import * as grpc from "@grpc/grpc-js";
 * registerGrpcResolver(grpc, new Registry(client));
 * const channel = new grpc.Channel("quorate:///billing", grpc.credentials.createInsecure(), {});
 */
export function registerGrpcResolver(
  grpc: GrpcModule,
  registry: Registry,
  options: GrpcResolverOptions = {},
): () => void {
  const { scheme = "quorate", authority = "" } = options;
  const { experimental } = grpc;
  let schemes = homes.get(experimental);
  if (schemes === undefined) {
    schemes = new Map();
    homes.set(experimental, schemes);
  }
  let authorities = schemes.get(scheme);
  if (authorities === undefined) {
    authorities = new Map();
    schemes.set(scheme, authorities);
    experimental.registerResolver(scheme, createResolverClass(grpc, authorities) as never);
  }
  const home: Home = { registry, options };
  authorities.set(authority, home);
  const known = authorities;
  return () => {
    if (known.get(authority) === home) known.delete(authority);
  };
}

function createResolverClass(grpc: GrpcModule, authorities: ReadonlyMap<string, Home>) {
  return class QuorateGrpcResolver {
    readonly #following: Following;

    constructor(target: GrpcTarget, listener: ListenerObject | ListenerFunction) {
      this.#following = new Following(
        () => authorities.get(target.authority ?? ""),
        serviceOf(target),
        new Listener(listener, () => new grpc.Metadata()),
      );
    }

    updateResolution(): void {
      this.#following.start();
    }

    destroy(): void {
      this.#following.stop();
    }

    /** grpc-js makes a URL and a header of it, so what has no place in a host name (the slash of `shop/billing`) goes. */
    static getDefaultAuthority(target: GrpcTarget): string {
      return serviceOf(target).replace(/[^A-Za-z0-9._-]/g, "-");
    }
  };
}

const serviceOf = ({ path }: GrpcTarget): string => path.replace(/^\//, "");

/** Both listeners of grpc-js as one. */
class Listener {
  readonly #listener: ListenerObject | ListenerFunction;
  readonly #createMetadata: () => unknown;

  constructor(listener: ListenerObject | ListenerFunction, createMetadata: () => unknown) {
    this.#listener = listener;
    this.#createMetadata = createMetadata;
  }

  show(endpoints: GrpcEndpoint[], serviceConfig: object): void {
    if (typeof this.#listener === "function") {
      this.#listener({ ok: true, value: endpoints }, {}, { ok: true, value: serviceConfig }, "");
    } else this.#listener.onSuccessfulResolution(endpoints, serviceConfig, null, null, {});
  }

  fail(details: string, serviceConfig: object): void {
    const error: GrpcStatus = { code: unavailable, details, metadata: this.#createMetadata() };
    if (typeof this.#listener === "function") {
      this.#listener({ ok: false, error }, {}, { ok: true, value: serviceConfig }, details);
    } else this.#listener.onError(error);
  }
}

/** One channel's view of a service. */
class Following {
  readonly #home: () => Home | undefined;
  readonly #service: string;
  readonly #listener: Listener;
  #resolver: Resolver | undefined;
  /** The channel was given instances and has not been told that they are gone. */
  #hasSome = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(home: () => Home | undefined, service: string, listener: Listener) {
    this.#home = home;
    this.#service = service;
    this.#listener = listener;
  }

  /**
   * Begins to follow, or does nothing: grpc-js asks for a new resolution whenever a connection fails, and whatever
   * changes is passed on without being asked for. The listener is never called from within.
   */
  start(): void {
    if (this.#resolver !== undefined) return;
    const home = this.#home();
    if (home === undefined) {
      process.nextTick(() => this.#listener.fail("no registry is known for this target", roundRobinConfig));
      return;
    }
    const { registry, options } = home;
    const { serviceConfig = roundRobinConfig } = options;
    const resolver = new Resolver(registry.client, this.#service, options);
    this.#resolver = resolver;
    const show = (): void => {
      if (this.#resolver !== resolver) return;
      clearTimeout(this.#timer);
      this.#show(resolver, serviceConfig);
    };
    // First the state as it is, whatever it is; from then on every change of it.
    resolver.whenReady(
      () => {
        show();
        resolver.on("change", show);
      },
      (error) => {
        if (this.#resolver === resolver) this.#listener.fail(`${this.#service}: ${error.message}`, serviceConfig);
      },
    );
    this.#timer = setTimeout(() => {
      this.#listener.fail(`${this.#service}: the cluster has not said yet where its instances are`, serviceConfig);
    }, patienceMs);
    this.#timer.unref();
  }

  /** Ends it. `start` may begin it anew: a channel that was idle for long does that. */
  stop(): void {
    clearTimeout(this.#timer);
    const resolver = this.#resolver;
    this.#resolver = undefined;
    void resolver?.close();
  }

  #show(resolver: Resolver, serviceConfig: object): void {
    const endpoints = resolver.list.flatMap(toGrpcEndpoint);
    const hadSome = this.#hasSome;
    this.#hasSome = endpoints.length > 0;
    if (this.#hasSome || hadSome) this.#listener.show(endpoints, serviceConfig);
    // After an empty list alone, grpc-js's round_robin would let calls wait for ever; after an error it fails them.
    if (!this.#hasSome) this.#listener.fail(`${this.#service} has no instances`, serviceConfig);
  }
}

/** An address without a port cannot be connected to and is left out. */
function toGrpcEndpoint({ address, host, port }: Endpoint): GrpcEndpoint[] {
  if (address.startsWith("unix:")) return [{ addresses: [{ path: address.replace(/^unix:(\/\/)?/, "") }] }];
  return port === undefined ? [] : [{ addresses: [{ host, port }] }];
}
