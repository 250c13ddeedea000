// A certificate of our own making, for --auto-tls: encryption without a certificate authority. Made once and kept in a
// folder, so that restarts do not change it.
import { generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import {
  contextTag,
  derBitString,
  derBoolean,
  derInteger,
  derObjectId,
  derSequence,
  derTag,
  derTime,
  derValue,
} from "./der.ts";

export interface SelfSignedOptions {
  /** Host names and addresses that the certificate is for. */
  readonly hosts: readonly string[];
  /** etcd: --self-signed-cert-validity, 1 year. */
  readonly validYears: number;
  readonly nowMs: number;
}

export interface KeyAndCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
}

const ecdsaWithSha256 = derSequence(derObjectId("1.2.840.10045.4.3.2"));
const dayMs = 24 * 3600_000;

/** Makes a P-256 key and a certificate signed with it (X.509 version 3, RFC 5280), for servers and clients. */
export function createSelfSigned({ hosts, validYears, nowMs }: SelfSignedOptions): KeyAndCertificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = derSequence(
    derValue(derTag.set, derSequence(derObjectId("2.5.4.10"), derValue(derTag.utf8String, Buffer.from("quorate")))),
  );
  const signed = derSequence(
    derValue(contextTag(0, true), derInteger(Buffer.from([2]))),
    derInteger(randomBytes(16)),
    ecdsaWithSha256,
    name,
    // A day early, for clients whose clock is behind.
    derSequence(derTime(nowMs - dayMs), derTime(nowMs + validYears * 365 * dayMs)),
    name,
    publicKey.export({ format: "der", type: "spki" }),
    derValue(contextTag(3, true), derSequence(...extensions(hosts))),
  );
  const signature = sign("sha256", signed, privateKey);
  const der = derSequence(signed, ecdsaWithSha256, derBitString(signature));
  return {
    keyPem: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    certificatePem: new X509Certificate(der).toString(),
  };
}

/**
 * The key and certificate kept in `folder` as `key.pem` and `cert.pem`; makes both where either is missing. Returns the
 * files' names.
 */
export function keepSelfSigned(folder: string, options: SelfSignedOptions): { keyFile: string; certFile: string } {
  const keyFile = join(folder, "key.pem");
  const certFile = join(folder, "cert.pem");
  if (!existsSync(keyFile) || !existsSync(certFile)) {
    const { keyPem, certificatePem } = createSelfSigned(options);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(keyFile, keyPem, { mode: 0o600 });
    writeFileSync(certFile, certificatePem, { mode: 0o600 });
  } else if (Date.parse(new X509Certificate(readFileSync(certFile)).validTo) <= options.nowMs) {
    throw new Error(
      `the self-signed certificate ${certFile} has expired: remove it and ${keyFile} to have new ones made`,
    );
  }
  return { keyFile, certFile };
}

function extensions(hosts: readonly string[]): Buffer[] {
  const extension = (id: string, isCritical: boolean, value: Buffer): Buffer => {
    const critical = isCritical ? [derBoolean(true)] : [];
    return derSequence(derObjectId(id), ...critical, derValue(derTag.octetString, value));
  };
  const names = hosts.map((host) =>
    isIP(host) === 0
      ? derValue(contextTag(2, false), Buffer.from(host, "latin1"))
      : derValue(contextTag(7, false), addressBytes(host)),
  );
  return [
    // Digital signature only: the first of the bits, seven of the octet's unused.
    extension("2.5.29.15", true, derBitString(Buffer.from([0x80]), 7)),
    // Server and client authentication.
    extension("2.5.29.37", false, derSequence(derObjectId("1.3.6.1.5.5.7.3.1"), derObjectId("1.3.6.1.5.5.7.3.2"))),
    extension("2.5.29.19", true, derSequence()),
    ...(names.length === 0 ? [] : [extension("2.5.29.17", false, derSequence(...names))]),
  ];
}

/** The octets of an IP address. */
function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = address.split("::") as [string, string | undefined];
  const words = (text: string): number[] => {
    const groups = text === "" ? [] : text.split(":");
    return groups.flatMap((group) => {
      if (!group.includes(".")) return [Number.parseInt(group, 16)];
      const [a, b, c, d] = group.split(".").map(Number) as [number, number, number, number];
      return [a * 256 + b, c * 256 + d];
    });
  };
  const front = words(head);
  const back = tail === undefined ? [] : words(tail);
  const bytes = Buffer.alloc(16);
  for (const [i, word] of front.entries()) bytes.writeUInt16BE(word, i * 2);
  for (const [i, word] of back.entries()) bytes.writeUInt16BE(word, 16 - (back.length - i) * 2);
  return bytes;
}
