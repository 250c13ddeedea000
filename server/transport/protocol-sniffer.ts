// Tells by its first bytes what a client speaks on a port that serves both HTTP/2 and HTTP/1.1. The client speaks first
// in each of them, so looking costs nothing.
import { METHODS } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import { clientPreface } from "./http2-constants.ts";

export type Protocol =
  | "h2"
  | "http/1.1"
  /** A TLS handshake where none belongs. */
  | "tls"
  | "unknown";

/** As soon as this much of the HTTP/2 preface has come: no HTTP/1.1 request begins so. */
const decisiveBytes = 4;
const tlsHandshakeRecord = 0x16;
const methodBytesMax = Math.max(...METHODS.map((method) => method.length));

/**
 * What `bytes`, the first of a connection, are the beginning of; undefined where they are too few to tell. HTTP/1.1 is
 * known by its method: other text is turned away rather than answered.
 */
export function protocolOf(bytes: Buffer): Protocol | undefined {
  const length = Math.min(bytes.length, decisiveBytes);
  if (bytes.subarray(0, length).equals(clientPreface.subarray(0, length))) {
    return length === decisiveBytes ? "h2" : undefined;
  }
  if (bytes[0] === tlsHandshakeRecord) return "tls";
  const text = bytes.toString("latin1", 0, methodBytesMax + 1);
  const space = text.indexOf(" ");
  if (space !== -1) return METHODS.includes(text.slice(0, space)) ? "http/1.1" : "unknown";
  return METHODS.some((method) => method.startsWith(text)) ? undefined : "unknown";
}

/**
 * Reads from `socket` until it is known what the client speaks, then calls back with that and all bytes read; the socket
 * is paused then. Calls `onGiveUp` instead where the client closes, fails, or says too little for `timeoutMs`.
 */
export function sniffProtocol(
  socket: Socket,
  options: { readonly clock: Clock; readonly timeoutMs: number },
  onDecided: (protocol: Protocol, received: Buffer) => void,
  onGiveUp: (reason: string) => void,
): void {
  let received: Buffer | undefined;
  const stop = (): void => {
    timer.cancel();
    socket.off("data", onData);
    socket.off("end", onEnd);
    socket.off("error", onError);
    socket.off("close", onEnd);
  };
  const giveUp = (reason: string): void => {
    stop();
    onGiveUp(reason);
  };
  const onData = (chunk: Buffer): void => {
    received = received === undefined ? chunk : Buffer.concat([received, chunk]);
    const protocol = protocolOf(received);
    if (protocol === undefined) return;
    stop();
    socket.pause();
    onDecided(protocol, received);
  };
  const onEnd = (): void => giveUp("closed before it said anything");
  const onError = (error: Error): void => giveUp(error.message);
  const timer = options.clock.setTimer(options.timeoutMs, () => giveUp("said too little for too long"));
  socket.on("data", onData);
  socket.on("end", onEnd);
  socket.on("error", onError);
  socket.on("close", onEnd);
}
