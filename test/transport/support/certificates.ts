// A certificate authority for tests: makes authorities, certificates and revocation lists as files in a folder.
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { tmpdir } from "node:os";
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
} from "../../../server/transport/der.ts";

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly certPem: string;
  readonly keyPem: string;
  readonly serial: Buffer;
}

export interface Authority extends CertificateFiles {
  issue(options: LeafOptions): CertificateFiles;
  /** Writes a revocation list of `serials` and returns its file. */
  revoke(serials: readonly Buffer[], format?: "pem" | "der"): string;
}

export interface LeafOptions {
  readonly commonName?: string;
  readonly hosts?: readonly string[];
  readonly validFromMs?: number;
  readonly validUntilMs?: number;
  /** Overwrite these files instead of making new ones. */
  readonly into?: { readonly certFile: string; readonly keyFile: string };
}

const algorithm = derSequence(derObjectId("1.2.840.10045.4.3.2"));
const hourMs = 3600_000;

const pem = (label: string, der: Buffer): string =>
  `-----BEGIN ${label}-----\n${der.toString("base64").replace(/.{64}(?=.)/g, "$&\n")}\n-----END ${label}-----\n`;

const nameOf = (commonName: string): Buffer =>
  commonName === ""
    ? derSequence()
    : derSequence(
        derValue(derTag.set, derSequence(derObjectId("2.5.4.3"), derValue(derTag.utf8String, Buffer.from(commonName)))),
      );

const extension = (id: string, value: Buffer, isCritical = false): Buffer =>
  derSequence(derObjectId(id), ...(isCritical ? [derBoolean(true)] : []), derValue(derTag.octetString, value));

/** A scratch folder with authorities and certificates, removed by `Symbol.dispose`. */
export class TestPki {
  readonly folder = mkdtempSync(join(tmpdir(), "quorate-pki-"));
  #count = 0;

  authority(commonName: string): Authority {
    const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const issuer = { name: nameOf(commonName), key: keys.privateKey };
    const ca = [
      extension("2.5.29.19", derSequence(derBoolean(true)), true),
      extension("2.5.29.15", derBitString(Buffer.from([0x06]), 1), true),
    ];
    const own = this.#make(issuer.name, keys, issuer, ca, {});
    return {
      ...own,
      issue: (options) => {
        const hosts = (options.hosts ?? []).map((host) =>
          isIPv4(host)
            ? derValue(contextTag(7, false), Buffer.from(host.split(".").map(Number)))
            : derValue(contextTag(2, false), Buffer.from(host)),
        );
        const names = hosts.length === 0 ? [] : [extension("2.5.29.17", derSequence(...hosts))];
        const leafKeys = generateKeyPairSync("ec", { namedCurve: "P-256" });
        return this.#make(nameOf(options.commonName ?? ""), leafKeys, issuer, names, options);
      },
      revoke: (serials, format = "pem") => {
        const entries = serials.map((serial) => derSequence(derInteger(serial), derTime(Date.now())));
        const signed = derSequence(
          derInteger(Buffer.from([1])),
          algorithm,
          issuer.name,
          derTime(Date.now() - hourMs),
          derTime(Date.now() + hourMs),
          ...(entries.length === 0 ? [] : [derSequence(...entries)]),
        );
        const der = derSequence(signed, algorithm, derBitString(sign("sha256", signed, issuer.key)));
        const file = join(this.folder, `list-${++this.#count}.crl`);
        writeFileSync(file, format === "pem" ? pem("X509 CRL", der) : der);
        return file;
      },
    };
  }

  #make(
    subject: Buffer,
    keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
    issuer: { readonly name: Buffer; readonly key: KeyObject },
    extensions: readonly Buffer[],
    options: LeafOptions,
  ): CertificateFiles {
    const serial = randomBytes(12);
    serial[0] = 0x11;
    const signed = derSequence(
      derValue(contextTag(0, true), derInteger(Buffer.from([2]))),
      derInteger(serial),
      algorithm,
      issuer.name,
      derSequence(
        derTime(options.validFromMs ?? Date.now() - hourMs),
        derTime(options.validUntilMs ?? Date.now() + hourMs),
      ),
      subject,
      createPublicKey(keys.privateKey).export({ format: "der", type: "spki" }),
      ...(extensions.length === 0 ? [] : [derValue(contextTag(3, true), derSequence(...extensions))]),
    );
    const certPem = pem(
      "CERTIFICATE",
      derSequence(signed, algorithm, derBitString(sign("sha256", signed, issuer.key))),
    );
    const keyPem = keys.privateKey.export({ format: "pem", type: "pkcs8" }) as string;
    const number = ++this.#count;
    const certFile = options.into?.certFile ?? join(this.folder, `cert-${number}.pem`);
    const keyFile = options.into?.keyFile ?? join(this.folder, `key-${number}.pem`);
    writeFileSync(certFile, certPem);
    writeFileSync(keyFile, keyPem);
    return { certFile, keyFile, certPem, keyPem, serial };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
