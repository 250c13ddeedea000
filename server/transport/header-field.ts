// A header field as HPACK carries it, with what never changes about it worked out once: fields live in the tables of a
// connection and are met again with every request, so a request whose fields are all known costs no string work.

/** Names that this server treats by more than their text. Zero is every other name. */
export const headerToken = {
  other: 0,
  method: 1,
  path: 2,
  scheme: 3,
  authority: 4,
  /** `:status`, `:protocol` and whatever else starts with a colon: never valid in a request to us. */
  foreignPseudo: 5,
  /** Fields that belong to HTTP/1.1 connections (RFC 9113 section 8.2.2): a request with one is malformed. */
  connectionSpecific: 6,
  te: 7,
  contentType: 8,
  contentLength: 9,
  grpcTimeout: 10,
  grpcEncoding: 11,
  grpcAcceptEncoding: 12,
  acceptEncoding: 13,
  host: 14,
} as const;

export type HeaderToken = (typeof headerToken)[keyof typeof headerToken];

const tokens = new Map<string, HeaderToken>([
  [":method", headerToken.method],
  [":path", headerToken.path],
  [":scheme", headerToken.scheme],
  [":authority", headerToken.authority],
  ["connection", headerToken.connectionSpecific],
  ["proxy-connection", headerToken.connectionSpecific],
  ["keep-alive", headerToken.connectionSpecific],
  ["transfer-encoding", headerToken.connectionSpecific],
  ["upgrade", headerToken.connectionSpecific],
  ["te", headerToken.te],
  ["content-type", headerToken.contentType],
  ["content-length", headerToken.contentLength],
  ["grpc-timeout", headerToken.grpcTimeout],
  ["grpc-encoding", headerToken.grpcEncoding],
  ["grpc-accept-encoding", headerToken.grpcAcceptEncoding],
  ["accept-encoding", headerToken.acceptEncoding],
  ["host", headerToken.host],
]);

// RFC 9113 section 8.2.1: a name is a token without upper case; a value has no NUL, CR or LF and no blank at its ends.
const validName = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: those three are exactly what is forbidden
const validValue = /^(?![ \t])[^\x00\r\n]*(?<![ \t])$/;

/** Octets that HPACK counts for a field beside its name and value (RFC 7541 section 4.1). */
export const headerFieldOverheadBytes = 32;

export class HeaderField {
  readonly name: string;
  /** One UTF-16 unit per octet received. */
  readonly value: string;
  readonly token: HeaderToken;
  /** Name, value and {@link headerFieldOverheadBytes}. */
  readonly sizeBytes: number;
  /** False where the field makes a request malformed whatever else is in it. */
  readonly isValid: boolean;

  constructor(name: string, value: string) {
    this.name = name;
    this.value = value;
    const token = tokens.get(name) ?? headerToken.other;
    this.token = token === headerToken.other && name.startsWith(":") ? headerToken.foreignPseudo : token;
    this.sizeBytes = name.length + value.length + headerFieldOverheadBytes;
    this.isValid =
      validName.test(name) &&
      validValue.test(value) &&
      this.token !== headerToken.foreignPseudo &&
      this.token !== headerToken.connectionSpecific &&
      (this.token !== headerToken.te || value === "trailers");
  }
}
