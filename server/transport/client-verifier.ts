// Decides whether a TLS client is let in, after the handshake and for every connection alike, resumed or not: trusted
// certificate, not revoked, of an allowed name. One object serves all listeners, so that none of them forgets a rule.
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";
import type { ClientCertificate } from "./call-context.ts";
import { type CertificateNames, certificateNames, revocationKey } from "./certificate.ts";

export interface ClientRules {
  /** A certificate signed by a trusted authority must be shown. */
  readonly isCertificateRequired: boolean;
  /** The subject's common name must be one of these. Empty: any. */
  readonly allowedCommonNames: readonly string[];
  /** The certificate must be for one of these host names or addresses. Empty: any. */
  readonly allowedHostnames: readonly string[];
  /** `issuer/serial` of certificates that are no longer good, anywhere in the chain that was shown. */
  readonly revoked: ReadonlySet<string>;
}

export type Verdict =
  | { readonly kind: "accepted"; readonly certificate: ClientCertificate | undefined }
  /** `reason` is for the log; the client sees its connection closed. */
  | { readonly kind: "rejected"; readonly reason: string };

export function verifyClient(socket: TLSSocket, rules: ClientRules): Verdict {
  if (!rules.isCertificateRequired) return { kind: "accepted", certificate: undefined };
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) return rejected("client showed no certificate");
  if (!socket.authorized) return rejected(`client certificate not trusted: ${String(socket.authorizationError)}`);
  try {
    const names = certificateNames(leaf.raw);
    const isRevoked = chainOf(socket).some(({ issuer, serial }) => rules.revoked.has(revocationKey(issuer, serial)));
    if (isRevoked) return rejected(`client certificate ${names.serial} is revoked`);
    const { commonName, dnsNames, ipAddresses } = names;
    if (rules.allowedCommonNames.length > 0 && !rules.allowedCommonNames.includes(commonName)) {
      return rejected(`client certificate's common name ${JSON.stringify(commonName)} is not allowed`);
    }
    if (rules.allowedHostnames.length > 0 && !rules.allowedHostnames.some((host) => isFor(leaf, host))) {
      return rejected("client certificate is for none of the allowed host names");
    }
    return { kind: "accepted", certificate: { commonName, dnsNames, ipAddresses } };
  } catch (error) {
    return rejected(`client certificate is not readable: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const rejected = (reason: string): Verdict => ({ kind: "rejected", reason });

/** By its alternative names only: a common name is no host name (RFC 9110 section 4.3.4). */
function isFor(certificate: X509Certificate, host: string): boolean {
  const found = isIP(host) === 0 ? certificate.checkHost(host, { subject: "never" }) : certificate.checkIP(host);
  return found !== undefined;
}

/** The certificates from the client's up to the last one known. */
function chainOf(socket: TLSSocket): CertificateNames[] {
  const chain: CertificateNames[] = [];
  const seen = new Set<DetailedPeerCertificate>();
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // The last one names itself as its issuer.
  while (next?.raw !== undefined && !seen.has(next)) {
    seen.add(next);
    chain.push(certificateNames(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}
