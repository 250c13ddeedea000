// The certificate of --auto-tls: readable by node:crypto and by openssl, for the hosts it was asked for, kept over
// restarts; and our DER reader against certificates and revocation lists.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { certificateNames, pemBlocks, revocationKey, revokedCertificates } from "../../server/transport/certificate.ts";
import { derInteger, derObjectId, derTime } from "../../server/transport/der.ts";
import { createSelfSigned, keepSelfSigned } from "../../server/transport/self-signed.ts";
import { TestPki } from "./support/certificates.ts";

const nowMs = Date.parse("2024-06-11T12:00:00Z");

test("a self-signed certificate is what was asked for", (t) => {
  const hosts = ["localhost", "node-1.example.com", "127.0.0.1", "::1", "2001:db8::ff00:42:8329", "::ffff:10.0.0.1"];
  const { keyPem, certificatePem } = createSelfSigned({ hosts, validYears: 1, nowMs });
  const certificate = new X509Certificate(certificatePem);
  assert(certificate.verify(certificate.publicKey));
  assert(certificate.checkPrivateKey(createPrivateKey(keyPem)));
  assert.equal(certificate.ca, false);
  assert.equal(Date.parse(certificate.validFrom), nowMs - 24 * 3600_000);
  assert.equal(Date.parse(certificate.validTo), nowMs + 365 * 24 * 3600_000);
  assert.equal(certificate.subject, "O=quorate");
  for (const host of ["localhost", "node-1.example.com"]) assert.equal(certificate.checkHost(host), host);
  for (const address of ["127.0.0.1", "::1", "2001:db8::ff00:42:8329"])
    assert.equal(certificate.checkIP(address), address);
  assert.equal(certificate.checkHost("elsewhere.example.com"), undefined);
  const names = certificateNames(certificate.raw);
  assert.equal(names.serial, certificate.serialNumber.toLowerCase().replace(/^0+/, ""));
  assert.deepEqual(names.dnsNames, ["localhost", "node-1.example.com"]);
  assert.equal(names.ipAddresses[0], "127.0.0.1");
  const openssl = spawnSync("openssl", ["x509", "-noout", "-text"], { input: certificatePem, encoding: "utf8" });
  if (openssl.error !== undefined) {
    t.diagnostic("openssl is not installed: its opinion was left out");
    return;
  }
  assert.equal(openssl.status, 0, openssl.stderr);
  assert.match(openssl.stdout, /ecdsa-with-SHA256/);
  assert.match(openssl.stdout, /TLS Web Server Authentication, TLS Web Client Authentication/);
  assert.match(openssl.stdout, /DNS:node-1\.example\.com/);
  assert.match(openssl.stdout, /X509v3 Key Usage: critical\s+Digital Signature\n/);
});

test("a kept certificate stays the same until it has expired", () => {
  const folder = join(mkdtempSync(join(tmpdir(), "quorate-self-signed-")), "fixtures", "client");
  try {
    const options = { hosts: ["localhost"], validYears: 1, nowMs: Date.now() };
    const { keyFile, certFile } = keepSelfSigned(folder, options);
    const before = readFileSync(certFile, "utf8");
    assert.deepEqual(keepSelfSigned(folder, options), { keyFile, certFile });
    assert.equal(readFileSync(certFile, "utf8"), before);
    assert.equal(statSync(keyFile).mode & 0o777, 0o600);
    assert.throws(
      () => keepSelfSigned(folder, { ...options, nowMs: Date.now() + 2 * 366 * 24 * 3600_000 }),
      /has expired/,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("der: integers stay positive, object ids and times are encoded as X.509 wants them", () => {
  assert.equal(derInteger(Buffer.from([0x00, 0x80])).toString("hex"), "02020080");
  assert.equal(derInteger(Buffer.from([0x00, 0x00, 0x7f])).toString("hex"), "02017f");
  assert.equal(derInteger(Buffer.from([0])).toString("hex"), "020100");
  assert.equal(derObjectId("1.2.840.10045.4.3.2").toString("hex"), "06082a8648ce3d040302");
  assert.equal(derTime(Date.parse("2049-12-31T23:59:59Z")).toString("latin1").slice(2), "491231235959Z");
  assert.equal(derTime(Date.parse("2050-01-01T00:00:00Z")).toString("latin1").slice(2), "20500101000000Z");
});

test("revocation lists are read in both forms, and belong to their issuer", () => {
  using pki = new TestPki();
  const one = pki.authority("authority one");
  const two = pki.authority("authority two");
  const leaf = one.issue({ commonName: 'müller, "o"' });
  const names = certificateNames(new X509Certificate(leaf.certPem).raw);
  assert.equal(names.commonName, 'müller, "o"');
  const key = revocationKey(names.issuer, names.serial);
  for (const format of ["pem", "der"] as const) {
    const listed = (file: string): boolean =>
      pemBlocks(readFileSync(file), "X509 CRL").some((list) => revokedCertificates(list).has(key));
    assert.equal(listed(one.revoke([leaf.serial], format)), true);
    assert.equal(listed(one.revoke([two.serial], format)), false);
    assert.equal(listed(one.revoke([], format)), false);
    assert.equal(listed(two.revoke([leaf.serial], format)), false);
  }
});

test("damaged certificates and lists are errors, never anything else", (t) => {
  const seed = Number(process.env["QUORATE_SEED"] ?? 77);
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  using pki = new TestPki();
  const authority = pki.authority("authority");
  const leaf = authority.issue({ commonName: "a", hosts: ["b", "127.0.0.1"] });
  const inputs = [new X509Certificate(leaf.certPem).raw, readFileSync(authority.revoke([leaf.serial], "der"))];
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(inputs[round % 2]!);
    for (let i = random.below(4); i >= 0; i--) bytes[random.below(bytes.length)] = random.below(256);
    const cut = bytes.subarray(0, random.below(8) === 0 ? random.below(bytes.length) : bytes.length);
    for (const read of [certificateNames, revokedCertificates]) {
      try {
        read(cut);
      } catch (error) {
        assert(error instanceof Error && !(error instanceof TypeError), String(error));
      }
    }
  }
  writeFileSync(join(pki.folder, "empty.crl"), "");
  assert.deepEqual(pemBlocks(readFileSync(join(pki.folder, "empty.crl")), "X509 CRL"), []);
});
