// What a handler sees of its call: nice-grpc's CallContext and a few members more, which services may use where they
// are there. Also who called, as far as the connection knows.
import type { CallContext } from "nice-grpc-common";

/** Whose certificate the client showed, if the listener asked for one and it was trusted. */
export interface ClientCertificate {
  /** Subject common name; empty where the subject has none. */
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

export interface ConnectionInfo {
  /** `address:port`, or `unknown` on a unix socket. */
  readonly peer: string;
  readonly isTls: boolean;
  readonly clientCertificate: ClientCertificate | undefined;
}

/**
 * What a unary handler may return instead of an answer, on this transport only: it will call
 * {@link TransportCallContext.answer} or {@link TransportCallContext.fail} later. Spares the promise.
 */
export const answersLater: unique symbol = Symbol("answersLater");

/** Whether a call is served by this transport and not by another carrier of the same services. */
export function isTransportContext(context: CallContext): context is TransportCallContext {
  return "connection" in context && "answer" in context;
}

/**
 * Members are computed when they are first asked for, on the object itself: keep the object whole (no spreading, no
 * taking methods off it).
 */
export interface TransportCallContext extends CallContext {
  readonly connection: ConnectionInfo;
  /** When the client's deadline comes, on the transport's clock; undefined without one. */
  readonly deadlineMs: number | undefined;
  /** Answers a call whose handler returned {@link answersLater}. Later calls, and calls after an abort, do nothing. */
  answer(response: unknown): void;
  /** Ends such a call with an error, as throwing would have. */
  fail(error: unknown): void;
}
