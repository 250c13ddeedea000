// Cipher suites and protocol versions under the names that etcd's flags use (Go's names), as OpenSSL knows them.
import type { SecureVersion } from "node:tls";

// Suites of TLS 1.2 that keep past traffic secret and authenticate what they encrypt, as RFC 9113 section 9.2.2 asks of
// HTTP/2; those of TLS 1.3 are all good and cannot be chosen from in Go.
const modernSuites: { readonly [goName: string]: string } = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
};

/** Only on request. */
const olderSuites: { readonly [goName: string]: string } = {
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: "ECDHE-ECDSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: "ECDHE-RSA-AES128-SHA256",
  TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
  TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
  TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
  TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
  TLS_RSA_WITH_AES_128_CBC_SHA256: "AES128-SHA256",
};

const tls13Suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/** OpenSSL's cipher list for `goNames`; the modern ones where none are named. Throws on a name that is none. */
export function cipherList(goNames: readonly string[]): string {
  if (goNames.length === 0) return [...tls13Suites, ...Object.values(modernSuites)].join(":");
  const names = goNames.map((name) => {
    const known = tls13Suites.includes(name) ? name : (modernSuites[name] ?? olderSuites[name]);
    if (known === undefined) throw new Error(`unexpected TLS cipher suite ${JSON.stringify(name)}`);
    return known;
  });
  return [...new Set([...names, ...tls13Suites])].join(":");
}

/** `TLS1.2` or `TLS1.3`. Throws on anything else. */
export function tlsVersion(name: string): SecureVersion {
  if (name === "TLS1.2") return "TLSv1.2";
  if (name === "TLS1.3") return "TLSv1.3";
  throw new Error(`unexpected TLS version ${JSON.stringify(name)}, expected "TLS1.2" or "TLS1.3"`);
}
