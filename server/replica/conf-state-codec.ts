// Raft's membership to and from the bytes that the state keeps it in.
import { type ConfState, emptyConfState } from "../raft/types.ts";

const lists = ["voters", "votersOutgoing", "learners", "learnersNext"] as const;

export function encodeConfState(confState: ConfState): Uint8Array {
  const hex = Object.fromEntries(lists.map((name) => [name, confState[name].map((id) => id.toString(16))]));
  return Buffer.from(JSON.stringify({ ...hex, autoLeave: confState.autoLeave }));
}

/** The caller's store has checked that the bytes are what was written. */
export function decodeConfState(bytes: Uint8Array): ConfState {
  const parsed = JSON.parse(Buffer.from(bytes).toString("utf8")) as {
    readonly [name in (typeof lists)[number]]: readonly string[];
  } & { readonly autoLeave: boolean };
  const ids = (name: (typeof lists)[number]): bigint[] => parsed[name].map((text) => BigInt(`0x${text}`));
  return {
    ...emptyConfState,
    voters: ids("voters"),
    votersOutgoing: ids("votersOutgoing"),
    learners: ids("learners"),
    learnersNext: ids("learnersNext"),
    autoLeave: parsed.autoLeave,
  };
}
