// What must be known of a certificate or a revocation list beyond what node:crypto says: names as the certificate
// encodes them, not as text made from them, since text can be made to look like something else.
import { contextTag, type DerElement, derElements, derTag } from "./der.ts";

export interface CertificateNames {
  /** Serial number, big-endian, hexadecimal, without leading zeros. */
  readonly serial: string;
  /** The issuer's name as encoded, hexadecimal: for comparing only. */
  readonly issuer: string;
  /** The first common name of the subject; empty where there is none. */
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

const commonNameOid = "550403";
const subjectAltNameOid = "551d11";

/** Reads a DER certificate (RFC 5280 section 4.1). Throws where it is none. */
export function certificateNames(der: Buffer): CertificateNames {
  const fields = fieldsOf(der);
  // An explicit version comes first unless it is version 1.
  const at = fields[0]?.tag === contextTag(0, true) ? 1 : 0;
  const [serial, , issuer, , subject] = fields.slice(at, at + 5);
  if (serial === undefined || issuer === undefined || subject === undefined) throw new Error("not a certificate");
  const extensions = fields.find(({ tag }) => tag === contextTag(3, true));
  return {
    serial: serialText(serial),
    issuer: issuer.encoding.toString("hex"),
    commonName: commonNameOf(subject),
    ...alternativeNames(extensions),
  };
}

/** The certificates that a DER certificate revocation list names, as `issuer/serial` (RFC 5280 section 5.1). */
export function revokedCertificates(der: Buffer): Set<string> {
  const fields = fieldsOf(der);
  const at = fields[0]?.tag === derTag.integer ? 1 : 0;
  const issuer = fields[at + 1];
  if (issuer === undefined || issuer.tag !== derTag.sequence) throw new Error("not a certificate revocation list");
  const revoked = new Set<string>();
  // After the issuer: this update, perhaps the next update, perhaps the list.
  const list = fields.slice(at + 2).find(({ tag }) => tag === derTag.sequence);
  for (const entry of list === undefined ? [] : derElements(list.content)) {
    const serial = derElements(entry.content)[0];
    if (serial !== undefined) revoked.add(revocationKey(issuer.encoding.toString("hex"), serialText(serial)));
  }
  return revoked;
}

export const revocationKey = (issuer: string, serial: string): string => `${issuer}/${serial}`;

/** The blocks of a PEM file with this label, or the whole as DER where it is not PEM. */
export function pemBlocks(file: Buffer, label: string): Buffer[] {
  const text = file.toString("latin1");
  if (!text.includes("-----BEGIN ")) return file.length === 0 ? [] : [file];
  const pattern = new RegExp(`-----BEGIN ${label}-----([^-]+)-----END ${label}-----`, "g");
  return [...text.matchAll(pattern)].map((match) => Buffer.from(match[1]!, "base64"));
}

/** The fields of the signed part of a certificate or revocation list. */
function fieldsOf(der: Buffer): DerElement[] {
  const signed = derElements(derElements(der)[0]?.content ?? Buffer.alloc(0))[0];
  return derElements(signed?.content ?? Buffer.alloc(0));
}

function serialText(serial: DerElement): string {
  return serial.content.toString("hex").replace(/^0+(?=.)/, "");
}

function commonNameOf(subject: DerElement): string {
  for (const set of derElements(subject.content)) {
    for (const attribute of derElements(set.content)) {
      const [oid, value] = derElements(attribute.content);
      if (oid?.content.toString("hex") === commonNameOid && value !== undefined) return directoryText(value);
    }
  }
  return "";
}

/** BMPString is UTF-16; the other string types are subsets of UTF-8 in practice. */
function directoryText({ tag, content }: DerElement): string {
  return tag === 0x1e ? Buffer.from(content).swap16().toString("utf16le") : content.toString("utf8");
}

function alternativeNames(extensions: DerElement | undefined): { dnsNames: string[]; ipAddresses: string[] } {
  const dnsNames: string[] = [];
  const ipAddresses: string[] = [];
  const list =
    extensions === undefined ? [] : derElements(derElements(extensions.content)[0]?.content ?? Buffer.alloc(0));
  for (const extension of list) {
    const parts = derElements(extension.content);
    if (parts[0]?.content.toString("hex") !== subjectAltNameOid) continue;
    const value = derElements(parts.at(-1)!.content)[0];
    for (const name of value === undefined ? [] : derElements(value.content)) {
      if (name.tag === contextTag(2, false)) dnsNames.push(name.content.toString("latin1"));
      else if (name.tag === contextTag(7, false)) ipAddresses.push(ipText(name.content));
    }
  }
  return { dnsNames, ipAddresses };
}

function ipText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return groups.join(":");
}
