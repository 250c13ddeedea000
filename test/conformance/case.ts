// What a case of the table is: plain data, so that it can be printed, digested and sent to any server. The shorthands
// that cases are written with are in steps.ts; what happens with them is in runner.ts.

/** A revision counted from the store's when the case began: `rev(0)` is that one, `rev(1)` the case's first write. */
export interface RelativeRevision {
  readonly $rev: number;
}

/** An id that the server chose earlier in the case, by the name given with `as`. */
export interface ChosenId {
  readonly $id: string;
}

/** Writes a text's characters as single bytes, as {@link Loose} fields do; for places that are not typed as bytes. */
export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "latin1"));

/**
 * A request as cases write it: every field optional, text in place of bytes (each character is one byte, so "\x00" and
 * "\xff" can be written), relative revisions and chosen ids in place of 64-bit numbers.
 */
export type Loose<T> = T extends bigint
  ? bigint | RelativeRevision | ChosenId
  : T extends Uint8Array
    ? Uint8Array | string
    : T extends readonly (infer U)[]
      ? readonly Loose<U>[]
      : T extends { readonly $case: string; readonly value: unknown }
        ? { readonly $case: T["$case"]; readonly value: Loose<T["value"]> }
        : T extends object
          ? { readonly [K in keyof T]?: Loose<T[K]> | undefined }
          : T;

/** Bytes sent in place of an encoded request, for what no encoder writes. */
export interface RawRequest {
  readonly $raw: Uint8Array;
}

export type Step =
  /** One unary call; the answer is its response or error. */
  | {
      readonly kind: "call";
      readonly method: string;
      readonly request: object;
      /** Remember the response's `ID` under this name. */
      readonly as?: string;
      readonly metadata?: { readonly [key: string]: string };
      /** Whether a lease has lost a second already depends on the machine here: it is not compared. */
      readonly timeLeftAside?: true;
      /** Client's deadline, milliseconds; its passing is an answer too. */
      readonly deadlineMs?: number;
    }
  /** Opens a stream (of any kind: all are alike on the wire) under a name of the case's own. No answer. */
  | {
      readonly kind: "open";
      readonly stream: string;
      readonly method: string;
      readonly metadata?: { readonly [key: string]: string };
    }
  | { readonly kind: "send"; readonly stream: string; readonly request: object }
  /** Waits for this many further responses; the answer lists them. Fewer after five seconds: those, and "silence". */
  | {
      readonly kind: "receive";
      readonly stream: string;
      readonly count: number;
      /** Watchers of one stream hear of a revision in no particular order: the answer is sorted. */
      readonly anyOrder?: true;
    }
  /**
   * Waits until this many further events have come; the answer lists the responses, those of one catching up joined: where
   * a server cuts a long history is its own affair. `fragment` marks go with the cuts.
   */
  | { readonly kind: "receive-events"; readonly stream: string; readonly events: number }
  /** The answer lists what comes within the time: nothing, if all is well. */
  | { readonly kind: "silent"; readonly stream: string; readonly forMs: number }
  /** Closes our half; the answer lists what still comes, then how the server ended the stream. */
  | { readonly kind: "finish"; readonly stream: string }
  /** Closes our half and goes on. No answer. */
  | { readonly kind: "half-close"; readonly stream: string }
  /**
   * The server process is killed without warning and starts again on its data; open streams are forgotten. Only in groups
   * that have a server of their own. No answer.
   */
  | { readonly kind: "restart" }
  /** From here on revisions count from the store's current one: after steps that write as much as fits. No answer. */
  | { readonly kind: "rebase" }
  | { readonly kind: "sleep"; readonly forMs: number }
  /** The same unary call again and again until it fails, for limits that have no exact place; the answer is the error. */
  | { readonly kind: "until-error"; readonly method: string; readonly request: object; readonly timesMax: number };

export interface Case {
  /** Unique within its group. */
  readonly name: string;
  /** Rows of the behaviour table that the case covers: KV7, W5, L3. */
  readonly rows: readonly string[];
  /** Why etcd 3.5 cannot be asked; all answers are then in allowed-differences.ts. */
  readonly notOn35?: string;
  /** What to know when the case surprises. */
  readonly note?: string;
  /** Steps that must succeed and whose answers are not compared. */
  readonly setup?: readonly Step[];
  readonly steps: readonly Step[];
}

/** Cases that share a server, one after the other; before each, all keys and leases are removed. */
export interface Group {
  readonly name: string;
  /** The server is the group's own, with these flags; it does not run against an endpoint that is already there. */
  readonly flags?: readonly string[];
  /** The same flags as etcd 3.5 spells them. */
  readonly flagsOn35?: readonly string[];
  /** The first case needs a store at revision 1, all of them one that was never compacted before the group. */
  readonly fresh?: true;
  readonly cases: readonly Case[];
}
