// Changes as watchers get them, and reading them back from history.
import type { ByteString } from "../../lib/byte-string.ts";
import type { EventKind } from "./record.ts";
import type { Revision } from "./revision.ts";

/** One change of one key. */
export interface Event {
  readonly kind: EventKind;
  readonly key: ByteString;
  /** mvccpb.KeyValue in wire form: the new version, or the key and revision of a delete. */
  readonly keyValue: Uint8Array;
  /** The version that went; undefined when the change created the key. */
  readonly previous: Revision | undefined;
}

/** All changes of one revision, in order. Watchers get it whole or not at all. */
export interface EventBatch {
  readonly revision: number;
  readonly events: readonly Event[];
}
