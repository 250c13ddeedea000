// What `connect()` and the calls take, with their defaults.
import type { Duration } from "./duration.ts";
import type { Logger } from "./logger.ts";

/** TLS for `https:` and `unixs:` endpoints. Certificates and keys are PEM, as text or bytes. */
export interface TlsOptions {
  /** Authorities to trust instead of the system's. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** Client certificate and its key, for servers that ask for one. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  readonly passphrase?: string;
  /** Name to expect in the server's certificate, when it is not the endpoint's host. */
  readonly serverName?: string;
  /** `false` accepts any certificate: for tests only. Default `true`. */
  readonly rejectUnauthorized?: boolean;
}

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

/**
 * Which member calls go to.
 * - `sticky` (default): one, drawn at random, until it fails; spreads clients evenly and keeps connections few;
 * - `ordered`: the first in the list that works, so that a near member can be preferred;
 * - `rotate`: each call to the next one.
 */
export type Balance = "sticky" | "ordered" | "rotate";

export interface ClientOptions {
  /** Where members listen: `http://host:2379`, `https://…`, `unix:///path`, `unixs:///path`, or `host:port`. */
  readonly endpoints: string | readonly string[];
  readonly tls?: TlsOptions;
  /** User and password. The token they are exchanged for is refreshed when the server no longer takes it. */
  readonly credentials?: Credentials;
  /** Puts this in front of every key and takes it off every answer. See {@link Client.namespace}. */
  readonly namespace?: string | Uint8Array;
  readonly balance?: Balance;
  /** Time a unary call may take unless it says otherwise. Default 10 s. */
  readonly deadline?: Duration;
  /** Time that connecting to one member may take, and that a call waits for any member to be reachable. Default 5 s. */
  readonly connectTimeout?: Duration;
  /** `true`: `connect()` does not wait for a first connection. Default `false`. */
  readonly lazy?: boolean;
  /**
   * Half-open connections are found by silence. While calls or streams are open and nothing has been received for
   * `probeAfter` (default 1.25 s), the member is asked for a sign of life; after `deadAfter` (default 2.5 s) of silence
   * the connection is given up and another member is used, within 3 s in all.
   */
  readonly liveness?: { readonly probeAfter?: Duration; readonly deadAfter?: Duration };
  /** Reads that failed are tried again: at most `attempts` in all (default 4), and repetitions at most `budget` of all calls (default 0.1). */
  readonly retry?: { readonly attempts?: number; readonly budget?: number; readonly backoff?: Duration };
  /**
   * The cluster's election timeout, as its `--election-timeout` says. Leases shorter than four of them are refused,
   * since one election could outlast them. Default 1 s.
   */
  readonly electionTimeout?: Duration;
  /** Largest answer that is accepted, in bytes. Default 256 MiB. */
  readonly messageBytesMax?: number;
  /** Any logger with pino's methods. Default: silent. */
  readonly logger?: Logger;
}

/** What every asynchronous call takes. */
export interface CallOptions {
  /** Gives the call up. It then rejects with `AbortError`; for a write that had been sent the outcome is `unknown`. */
  readonly signal?: AbortSignal | undefined;
  /** Time the call may take, retries included, or the moment (wall clock) it must be done by. Default: the client's. */
  readonly deadline?: Duration | Date | undefined;
}
