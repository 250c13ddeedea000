// Why a TLS handshake failed, in words for the log: OpenSSL's own text holds memory addresses and file names.

/** `error` is what `tlsClientError` comes with. */
export function handshakeFault(error: Error): string {
  const { code = "", reason } = error as NodeJS.ErrnoException & { readonly reason?: string };
  switch (code) {
    case "ERR_SSL_HTTP_REQUEST":
      return "plain HTTP on a TLS port";
    case "ERR_SSL_WRONG_VERSION_NUMBER":
      return "no TLS on a TLS port, or a version that is not served";
    case "ERR_TLS_HANDSHAKE_TIMEOUT":
      return "the TLS handshake was not finished in time";
    case "ECONNRESET":
      return "the other side hung up during the TLS handshake";
  }
  // RFC 8446 section 6.2: the other side says why it breaks off, which mostly means that it does not trust us.
  const alert = /_ALERT_(\w+)$/.exec(code)?.[1];
  if (alert !== undefined) {
    return `the other side broke off the TLS handshake: ${alert.toLowerCase().replaceAll("_", " ")}`;
  }
  return `the TLS handshake failed: ${reason ?? error.message}`;
}
