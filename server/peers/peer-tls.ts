// TLS between members, seen from the one that calls: which certificate it shows and whom it believes.
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import type { TlsConfig } from "../config.ts";

/** Options for a call, read anew from the files, so that a replaced certificate is used from the next call on. */
export function peerClientTls(config: TlsConfig): ConnectionOptions {
  const { clientCertFile, clientKeyFile, certFile, keyFile, trustedCaFile, minVersion, maxVersion } = config;
  const hasOwn = clientCertFile !== undefined && clientKeyFile !== undefined;
  const version = (text: string): "TLSv1.2" | "TLSv1.3" => (text === "TLS1.3" ? "TLSv1.3" : "TLSv1.2");
  return {
    cert: readFileSync(hasOwn ? clientCertFile : certFile),
    key: readFileSync(hasOwn ? clientKeyFile : keyFile),
    ...(trustedCaFile === undefined ? {} : { ca: readFileSync(trustedCaFile) }),
    minVersion: version(minVersion ?? "TLS1.2"),
    ...(maxVersion === undefined ? {} : { maxVersion: version(maxVersion) }),
    // A certificate that a member made itself proves nothing, here as in etcd: it only encrypts.
    rejectUnauthorized: config.isSelfSigned !== true,
  };
}
