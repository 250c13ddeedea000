// The numbers of HTTP/2 as RFC 9113 fixes them: frame types, flags, error codes, settings. Nothing is decided here.

/** RFC 9113 section 6. */
export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of a frame header. `endStream` and `ack` share a bit and never meet in one frame type. */
export const frameFlag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** RFC 9113 section 7. */
export const errorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;

export type ErrorCode = (typeof errorCode)[keyof typeof errorCode];

/** RFC 9113 section 6.5.2. */
export const settingId = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

/** Every frame starts with this many bytes: length (3), type, flags, stream id (4). */
export const frameHeaderBytes = 9;
/** SETTINGS_MAX_FRAME_SIZE before a peer says otherwise, and what this server always asks for. */
export const frameBytesDefault = 16_384;
export const frameBytesLimit = 16_777_215;
/** Both windows of a new connection, and of a new stream unless SETTINGS_INITIAL_WINDOW_SIZE says otherwise. */
export const windowBytesDefault = 65_535;
export const windowBytesLimit = 0x7fff_ffff;
export const streamIdLimit = 0x7fff_ffff;
/** SETTINGS_HEADER_TABLE_SIZE before a peer says otherwise. */
export const headerTableBytesDefault = 4_096;

/** What a client sends before its first frame (RFC 9113 section 3.4). */
export const clientPreface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
