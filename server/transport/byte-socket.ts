// What the transport needs of a socket. net.Socket and tls.TLSSocket have it; tests that need no network bring their own.

export interface ByteSocket {
  /** Bytes that were written and that the kernel has not taken. At 0, nothing that was written is looked at any more. */
  readonly writableLength: number;
  write(bytes: Uint8Array): boolean;
  /** Between these two, writes are gathered into one system call. */
  cork(): void;
  uncork(): void;
  /** Closes once everything written has gone out. */
  end(): unknown;
  /** Closes at once. */
  destroy(): unknown;
  pause(): unknown;
  resume(): unknown;
  on(event: "data", listener: (chunk: Buffer) => void): unknown;
  on(event: "drain" | "end" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}
