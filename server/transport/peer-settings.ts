// The client's SETTINGS (RFC 9113 section 6.5): reading a frame's payload, and the values in force.

import { readUint32 } from "../lib/wire-get.ts";
import {
  errorCode,
  frameBytesDefault,
  frameBytesLimit,
  headerTableBytesDefault,
  settingId,
  windowBytesDefault,
  windowBytesLimit,
} from "./http2-constants.ts";
import { ConnectionError } from "./http2-error.ts";

export class PeerSettings {
  /** Room that each new stream has for our DATA. */
  initialWindowBytes = windowBytesDefault;
  headerTableBytes = headerTableBytesDefault;

  /** Takes in the payload of one SETTINGS frame, in order. Throws {@link ConnectionError} on a value out of range. */
  apply(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end; at += 6) {
      this.#set((bytes[at]! << 8) | bytes[at + 1]!, readUint32(bytes, at + 2));
    }
  }

  #set(id: number, value: number): void {
    switch (id) {
      case settingId.headerTableSize:
        this.headerTableBytes = value;
        break;
      case settingId.enablePush:
        if (value > 1) throw new ConnectionError(errorCode.protocolError, "ENABLE_PUSH is neither 0 nor 1");
        break;
      case settingId.initialWindowSize:
        if (value > windowBytesLimit) {
          throw new ConnectionError(errorCode.flowControlError, "INITIAL_WINDOW_SIZE above 2^31-1");
        }
        this.initialWindowBytes = value;
        break;
      case settingId.maxFrameSize:
        if (value < frameBytesDefault || value > frameBytesLimit) {
          throw new ConnectionError(errorCode.protocolError, "MAX_FRAME_SIZE out of range");
        }
        // The client takes larger frames than the default; this server sends none.
        break;
      default:
        // MAX_CONCURRENT_STREAMS limits push, MAX_HEADER_LIST_SIZE is advice, others are not known: all ignored.
        break;
    }
  }
}
