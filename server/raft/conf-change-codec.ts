// The bytes of a `conf-change` entry. Raft must read them itself: a leader checks a forwarded change before it enters
// the log. Layout, all integers big-endian: version (1 byte), transition (1 byte), number of steps (2 bytes), per step
// kind (1 byte) and member id (8 bytes), then the host's context up to the end.
import { assert } from "../lib/assert.ts";
import type { ConfChange, ConfChangeStep } from "./conf-change.ts";

const version = 1;
const headerBytes = 4;
const stepBytes = 9;
const stepsMax = 0xffff;
// A position in these lists is a byte on disk: append to them, never reorder.
const transitions: readonly ConfChange["transition"][] = ["auto", "joint-implicit", "joint-explicit"];
const stepKinds: readonly ConfChangeStep["kind"][] = ["add-voter", "add-learner", "remove", "update"];

export function encodeConfChange(change: ConfChange): Uint8Array {
  const { transition, steps, context } = change;
  assert(steps.length <= stepsMax, () => `a membership change has ${steps.length} steps, more than ${stepsMax}`);
  const bytes = new Uint8Array(headerBytes + steps.length * stepBytes + context.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, version);
  view.setUint8(1, transitions.indexOf(transition));
  view.setUint16(2, steps.length);
  for (const [i, step] of steps.entries()) {
    view.setUint8(headerBytes + i * stepBytes, stepKinds.indexOf(step.kind));
    view.setBigUint64(headerBytes + i * stepBytes + 1, step.id);
  }
  bytes.set(context, headerBytes + steps.length * stepBytes);
  return bytes;
}

/** The change that was encoded, or `undefined` for bytes that no `encodeConfChange` of this version made. */
export function decodeConfChange(bytes: Uint8Array): ConfChange | undefined {
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const transition = transitions[view.getUint8(1)];
  const stepCount = view.getUint16(2);
  const contextAt = headerBytes + stepCount * stepBytes;
  if (view.getUint8(0) !== version || transition === undefined || bytes.length < contextAt) return undefined;
  const steps: ConfChangeStep[] = [];
  for (let at = headerBytes; at < contextAt; at += stepBytes) {
    const kind = stepKinds[view.getUint8(at)];
    if (kind === undefined) return undefined;
    steps.push({ kind, id: view.getBigUint64(at + 1) });
  }
  return { transition, steps, context: bytes.slice(contextAt) };
}
