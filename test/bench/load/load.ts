// What all loads have in common.

import type { Shape } from "../lib/shape.ts";
import type { H2Client } from "./h2-client.ts";
import type { Recorder } from "./recorder.ts";

/** A load that is connected and set up. */
export interface Load {
  /** Sends the first calls; every answer brings the next. */
  start(): void;
  /** Nothing more is sent. */
  stop(): void;
}

export interface LoadContext {
  readonly shape: Shape;
  readonly seed: number;
  readonly recorder: Recorder;
  readonly connect: () => Promise<H2Client>;
  /** The load has nothing more to send, and every answer is in. */
  readonly onExhausted: () => void;
}

/** Connects as many clients as the shape has; a few at a time, so that no accept queue runs over. */
export async function connectAll({ shape, connect }: LoadContext): Promise<readonly H2Client[]> {
  const atOnceMax = 50;
  const clients: H2Client[] = [];
  while (clients.length < shape.connections) {
    const count = Math.min(atOnceMax, shape.connections - clients.length);
    clients.push(...(await Promise.all(Array.from({ length: count }, connect))));
  }
  return clients;
}
