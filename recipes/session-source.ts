// Which session a recipe works under: one that it was given, one of its own, or the one that all recipes of a client
// share. A lost session is not replaced under what was built on it; the next thing to be built gets a new one.
import type { Client } from "../sdk/index.ts";
import { openSession, Session, type SessionOptions } from "./session.ts";
import { untilAborted } from "./waiting.ts";

/** What a recipe needs of wherever its session comes from. */
export interface Sessions {
  /** The session to build on. `signal` ends the waiting for one. */
  get(signal?: AbortSignal): Promise<Session>;
}

/**
 * - a {@link Session}: that one, and none after it;
 * - {@link SessionOptions}: sessions of the recipe's own, one at a time; they end with the client;
 * - left out: the session that the recipes of the client share, see {@link sharedSession}.
 */
export type SessionChoice = Session | SessionOptions | SessionSource;

/** Opens a session when one is needed, and another when that is lost: one at a time, for any number of users. */
export class SessionSource implements Sessions {
  readonly #client: Client;
  readonly #options: SessionOptions;
  #current: Session | undefined;
  #opening: Promise<Session> | undefined;

  constructor(client: Client, options: SessionOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** The session that is open now, if one is. */
  get current(): Session | undefined {
    return this.#current?.lost === undefined ? this.#current : undefined;
  }

  /** The open session, or a new one. `signal` ends the waiting only: others may wait for the same session. */
  async get(signal?: AbortSignal): Promise<Session> {
    const { current } = this;
    if (current !== undefined) return current;
    this.#opening ??= this.#open();
    return untilAborted(this.#opening, signal);
  }

  async #open(): Promise<Session> {
    try {
      this.#current = await openSession(this.#client, this.#options);
      return this.#current;
    } finally {
      this.#opening = undefined;
    }
  }
}

const sharedSources = new WeakMap<Client, SessionSource>();

function sharedSource(client: Client): SessionSource {
  let source = sharedSources.get(client);
  if (source === undefined) {
    source = new SessionSource(client, {});
    sharedSources.set(client, source);
  }
  return source;
}

/**
 * The session that the recipes of a client share unless they are told otherwise, with a TTL of 15 s; opened with the
 * first use. After a loss the next call opens a new one. It ends with the client.
 *
 * @example
 * const session = await sharedSession(client);
 * session.once("lost", (cause) => console.log("all locks of this process are gone:", cause.message));
 */
export const sharedSession = (client: Client, options: { readonly signal?: AbortSignal } = {}): Promise<Session> =>
  sharedSource(client).get(options.signal);

/** Where a recipe's sessions come from. */
export function sessionsOf(client: Client, choice: SessionChoice | undefined): Sessions {
  if (choice === undefined) return sharedSource(client);
  if (choice instanceof SessionSource) return choice;
  if (!(choice instanceof Session)) return new SessionSource(client, choice);
  return {
    get: async () => {
      choice.throwIfLost();
      return choice;
    },
  };
}

/** The choice with options turned into a source, so that everything made from it shares one session. */
export function ownSource(client: Client, choice: SessionChoice | undefined): SessionChoice | undefined {
  const isShareable = choice === undefined || choice instanceof Session || choice instanceof SessionSource;
  return isShareable ? choice : new SessionSource(client, choice);
}
