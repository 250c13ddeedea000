// The front door with TLS: who is let in, by every listener and protocol alike; certificates that change under way;
// handshakes that never end.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { ChannelCredentials, createChannel, createClient } from "nice-grpc";
import { silentLogger } from "../../server/lib/logger.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import { keepSelfSigned } from "../../server/transport/self-signed.ts";
import { TlsContext, type TlsOptions } from "../../server/transport/tls-context.ts";
import { until } from "../sdk/harness.ts";
import { type CertificateFiles, TestPki } from "./support/certificates.ts";
import { BareSocket, http1, http2, http2On } from "./support/clients.ts";
import { type OpenDoor, openDoor } from "./support/door.ts";
import { EchoDefinition } from "./support/echo-service.ts";

/** Runs `use` with a door that has a certificate of `pki`'s authority. */
async function withTls(
  more: Partial<TlsOptions>,
  use: (open: OpenDoor, server: { readonly certFile: string; readonly keyFile: string }, ca: string) => Promise<void>,
  pki: TestPki,
): Promise<void> {
  const authority = pki.authority("server authority");
  const server = authority.issue({ commonName: "server", hosts: ["localhost", "127.0.0.1"] });
  await using open = openDoor({ tlsOptions: { ...server, ...more } });
  await use(open, server, authority.certPem);
}

/** Completes a handshake, or rejects with what the client saw of its failure; a closed connection counts as one. */
function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ servername: "localhost", ...options }, () => resolve(socket));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
  });
}

test("tls: HTTP/2 and HTTP/1.1 by ALPN, and by first bytes without it", async () => {
  using pki = new TestPki();
  await withTls(
    {},
    async (open, _server, ca) => {
      const { url, port } = await open.listen("https://localhost:0");
      assert.equal((await http2(`${url}/page`, {}, { ca })).headers["x-protocol"], "HTTP/2");
      assert.equal(
        (await http1(`${url}/page`, {}, { ca, ALPNProtocols: ["http/1.1"] })).headers["x-protocol"],
        "HTTP/1.1",
      );
      assert.equal((await http1(`${url}/page`, {}, { ca, ALPNProtocols: [] })).headers["x-protocol"], "HTTP/1.1");
      assert.equal(JSON.parse((await http2(`${url}/echo`, {}, { ca })).body).isTls, true);
      const credentials = ChannelCredentials.createSsl(Buffer.from(ca));
      const channel = createChannel(`https://localhost:${port}`, credentials);
      assert.deepEqual(await createClient(EchoDefinition, channel).unary({ text: "tls" }), { text: "tls" });
      channel.close();
      assert.equal(open.logger.lines.filter(({ level }) => level === "warn").length, 0);
    },
    pki,
  );
});

test("tls: only the versions and suites that are allowed", async () => {
  using pki = new TestPki();
  const negotiated = async (options: Partial<TlsOptions>, client: ConnectionOptions): Promise<string> => {
    let result = "";
    await withTls(
      options,
      async (open, _server, ca) => {
        const { port } = await open.listen("https://localhost:0");
        const socket = await handshake({ port: port!, ca, ...client }).catch(() => undefined);
        result = socket === undefined ? "refused" : `${socket.getProtocol()} ${socket.getCipher().name}`;
        socket?.destroy();
      },
      pki,
    );
    return result;
  };
  assert.match(await negotiated({}, {}), /^TLSv1\.3 /);
  assert.match(await negotiated({}, { maxVersion: "TLSv1.2" }), /^TLSv1\.2 ECDHE-ECDSA-/);
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
  assert.equal(await negotiated({}, old), "refused");
  assert.equal(await negotiated({ minVersion: "TLS1.3" }, { maxVersion: "TLSv1.2" }), "refused");
  assert.match(await negotiated({ maxVersion: "TLS1.2" }, {}), /^TLSv1\.2 /);
  // RFC 9113 section 9.2.2: no block ciphers for HTTP/2 unless the operator insists.
  const cbc = { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA256" } as const;
  assert.equal(await negotiated({}, cbc), "refused");
  const insisting = { cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"] };
  assert.equal(await negotiated(insisting, cbc), "TLSv1.2 ECDHE-ECDSA-AES128-SHA256");
});

test("tls: options that make no sense are refused at once", () => {
  using pki = new TestPki();
  const server = pki.authority("a").issue({});
  const other = pki.authority("b").issue({});
  const make = (more: Partial<TlsOptions>) => () =>
    new TlsContext({ ...server, ...more }, systemClock, silentLogger).close();
  assert.throws(make({ minVersion: "TLS1.1" }), /unexpected TLS version "TLS1.1"/);
  assert.throws(make({ minVersion: "TLS1.3", maxVersion: "TLS1.2" }), /min version .* greater than max/);
  assert.throws(make({ minVersion: "TLS1.3", cipherSuites: ["TLS_AES_128_GCM_SHA256"] }), /only TLS1.3/);
  assert.throws(make({ cipherSuites: ["TLS_NOTHING"] }), /unexpected TLS cipher suite "TLS_NOTHING"/);
  assert.throws(make({ allowedCommonNames: ["a"], allowedHostnames: ["b"] }), /exclude each other/);
  assert.throws(make({ keyFile: other.keyFile }), /key values mismatch/);
  assert.throws(make({ certFile: "/nowhere" }), /ENOENT/);
  assert.throws(make({ crlFile: server.certFile }), /holds no revocation list/);
});

test("tls: every listener and protocol applies the same rules to clients", async () => {
  using pki = new TestPki();
  const authority = pki.authority("client authority");
  const stranger = pki.authority("stranger");
  const good = authority.issue({ commonName: "alice", hosts: ["client.example.com", "127.0.0.1"] });
  const revoked = authority.issue({ commonName: "alice" });
  const expired = authority.issue({ commonName: "alice", validUntilMs: Date.now() - 60_000 });
  const early = authority.issue({ commonName: "alice", validFromMs: Date.now() + 3600_000 });
  const mallory = authority.issue({ commonName: "mallory", hosts: ["mallory.example.com"] });
  const foreign = stranger.issue({ commonName: "alice" });
  const base = { trustedCaFile: authority.certFile, crlFile: authority.revoke([revoked.serial]) };
  // Rules, and for each client whether it is let in or why not.
  const byName = [
    [good, undefined],
    [mallory, /common name "mallory" is not allowed/],
  ] as const;
  const byHost = [
    [good, undefined],
    [mallory, /none of the allowed host names/],
    [authority.issue({ commonName: "client.example.com" }), /none of the allowed host names/],
  ] as const;
  const always = [
    [good, undefined],
    [undefined, /showed no certificate/],
    [foreign, /not trusted/],
    [stranger, /not trusted/],
    [expired, /not trusted: CERT_HAS_EXPIRED/],
    [early, /not trusted: CERT_NOT_YET_VALID/],
    [revoked, /is revoked/],
  ] as const;
  const matrix = [
    [base, always],
    [{ ...base, allowedCommonNames: ["bob", "alice"] }, [...always, ...byName]],
    [{ ...base, allowedHostnames: ["client.example.com"] }, byHost],
    [{ ...base, allowedHostnames: ["127.0.0.1"] }, byHost.slice(0, 2)],
    [{ ...base, minVersion: "TLS1.3" }, always],
    [{ ...base, maxVersion: "TLS1.2" }, always],
  ] as const;
  const folder = mkdtempSync(join(tmpdir(), "quorate-unixs-"));
  try {
    for (const [number, [options, clients]] of matrix.entries()) {
      await withTls(
        options,
        async (open, _server, ca) => {
          const path = join(folder, `${number}.sock`);
          const { port } = await open.listen("https://localhost:0");
          await open.listen(`unixs://${path}`);
          for (const [client, reason] of clients) {
            const identity = client === undefined ? {} : { cert: client.certPem, key: client.keyPem };
            for (const target of [{ port: port!, host: "127.0.0.1" }, { path }]) {
              for (const protocol of ["h2", "http/1.1"]) {
                open.logger.lines.length = 0;
                const answer = await ask({ ...identity, ca, ...target, ALPNProtocols: [protocol] });
                if (reason === undefined) assert.equal(answer, "200 a page");
                else {
                  assert.equal(answer, "closed");
                  const line = await open.logger.until(({ message }) => message === "rejected connection");
                  assert.match(String(line.fields["reason"]), reason);
                  assert.equal(open.rejections.at(-1), "certificate");
                }
              }
            }
          }
        },
        pki,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Asks for `/page` over one connection: status and text, or that it was closed without an answer. */
async function ask(options: ConnectionOptions & { readonly ALPNProtocols: readonly string[] }): Promise<string> {
  try {
    const connection = { servername: "localhost", ...options, ALPNProtocols: [...options.ALPNProtocols] };
    if (options.ALPNProtocols[0] === "h2") {
      const session = connectHttp2("https://localhost", { createConnection: () => connectTls(connection) });
      try {
        return await new Promise<string>((resolve, reject) => {
          session.on("error", reject);
          session.on("close", () => reject(new Error("closed")));
          http2On(session, "/page").then(({ status, body }) => resolve(`${status} ${body.trim()}`), reject);
        });
      } finally {
        session.destroy();
      }
    }
    const { status, body } = await http1("https://localhost/page", {}, {
      agent: undefined,
      createConnection: () => connectTls(connection),
    } as object);
    return `${status} ${body.trim()}`;
  } catch {
    return "closed";
  }
}

test("tls: the client's certificate is known to the calls", async () => {
  using pki = new TestPki();
  const authority = pki.authority("client authority");
  const client = authority.issue({ commonName: "alice", hosts: ["a.example.com", "10.1.2.3"] });
  const { url, certificate } = await new Promise<{ url: string; certificate: unknown }>((resolve, reject) => {
    withTls(
      { trustedCaFile: authority.certFile },
      async (open, _server, ca) => {
        const seen: unknown[] = [];
        open.grpc.add({ who: { ...EchoDefinition.unary, path: "/test.Who/Am" } } as const, {
          who: async (_request: object, context: object) => {
            seen.push((context as { connection: { clientCertificate: unknown } }).connection.clientCertificate);
            return {};
          },
        });
        const listener = await open.listen("https://localhost:0");
        const channel = createChannel(
          `https://localhost:${listener.port}`,
          ChannelCredentials.createSsl(Buffer.from(ca), Buffer.from(client.keyPem), Buffer.from(client.certPem)),
        );
        await createClient({ who: { ...EchoDefinition.unary, path: "/test.Who/Am" } } as const, channel).who({});
        channel.close();
        resolve({ url: listener.url, certificate: seen[0] });
      },
      pki,
    ).catch(reject);
  });
  assert.match(url, /^https:\/\/localhost:\d+$/);
  assert.deepEqual(certificate, { commonName: "alice", dnsNames: ["a.example.com"], ipAddresses: ["10.1.2.3"] });
});

test("tls: a session is not resumed where clients are checked", async () => {
  using pki = new TestPki();
  const authority = pki.authority("client authority");
  const client = authority.issue({ commonName: "alice" });
  for (const [options, mayResume] of [
    [{}, true],
    [{ trustedCaFile: authority.certFile }, false],
  ] as const) {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      await withTls(
        options,
        async (open, _server, ca) => {
          const { port } = await open.listen("https://localhost:0");
          const identity = {
            cert: client.certPem,
            key: client.keyPem,
            ca,
            port: port!,
            maxVersion,
            ALPNProtocols: ["http/1.1"],
          };
          let session: Buffer | undefined;
          const first = await handshake(identity);
          first.on("session", (given: Buffer) => {
            session = given;
          });
          first.write("GET /page HTTP/1.1\r\nhost: x\r\n\r\n");
          await new Promise((resolve) => first.once("data", resolve));
          session ??= first.getSession();
          first.destroy();
          const second = await handshake({ ...identity, ...(session === undefined ? {} : { session }) });
          assert.equal(second.isSessionReused(), mayResume, maxVersion);
          second.destroy();
        },
        pki,
      );
    }
  }
});

test("tls: changed files take effect for new connections, broken ones do not", async () => {
  using pki = new TestPki();
  const clients = pki.authority("client authority");
  const client = clients.issue({ commonName: "alice" });
  const identity = { cert: client.certPem, key: client.keyPem };
  const crlFile = clients.revoke([]);
  const servers = pki.authority("server authority");
  const server = servers.issue({ hosts: ["localhost"] });
  const ca = servers.certPem;
  await using open = openDoor({ tlsOptions: { ...server, trustedCaFile: clients.certFile, crlFile } });
  const { port } = await open.listen("https://localhost:0");
  const serialNow = async (): Promise<string> => {
    const socket = await handshake({ port: port!, ca, ...identity });
    const serial = socket.getPeerX509Certificate()!.serialNumber.toLowerCase();
    socket.destroy();
    return serial;
  };
  const isShown = async ({ serial }: CertificateFiles): Promise<boolean> =>
    (await serialNow()) === serial.toString("hex");
  const replace = (): CertificateFiles => servers.issue({ hosts: ["localhost"], into: server });
  assert(await isShown(server));
  const before = connectHttp2("https://localhost", {
    createConnection: () =>
      connectTls({ port: port!, ca, servername: "localhost", ...identity, ALPNProtocols: ["h2"] }),
  });
  assert.equal((await http2On(before, "/page")).status, 200);
  // The first look at the files takes them without a word: these show that it has happened.
  const early = replace();
  await until("the first look at the files", () => isShown(early));
  open.logger.lines.length = 0;
  const replaced = replace();
  await until("the next look", () => isShown(replaced));
  assert(open.logger.lines.some(({ message }) => message === "certificate files were read again"));
  assert.equal((await http2On(before, "/page")).status, 200);

  open.logger.lines.length = 0;
  writeFileSync(server.certFile, replaced.certPem.slice(0, 200));
  await open.logger.until(({ message }) => message.startsWith("certificate files cannot be used"));
  assert(await isShown(replaced));
  const repaired = replace();
  await until("the repaired files are read", () => isShown(repaired));

  writeFileSync(crlFile, readFileSync(clients.revoke([client.serial])));
  const answer = (): Promise<string> => ask({ port: port!, ca, ...identity, ALPNProtocols: ["h2"] });
  await until("the client is not let in any more", async () => (await answer()) === "closed");
  assert.equal((await http2On(before, "/page")).status, 200);
  before.destroy();
});

test("tls: plaintext on a TLS port is closed, and the log says why", async () => {
  using pki = new TestPki();
  await withTls(
    {},
    async (open) => {
      const { port } = await open.listen("https://127.0.0.1:0");
      for (const [bytes, reason] of [
        ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", /plain HTTP on a TLS port/],
        ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", /no TLS on a TLS port/],
        [Buffer.alloc(64, 0x41), /TLS/],
      ] as const) {
        open.logger.lines.length = 0;
        const client = await BareSocket.connect(port!);
        client.write(bytes);
        await client.closed();
        const line = await open.logger.until(({ message }) => message === "rejected connection");
        assert.match(String(line.fields["reason"]), reason);
      }
      assert.deepEqual(open.rejections, ["handshake", "handshake", "handshake"]);
    },
    pki,
  );
});

test("tls: unfinished handshakes are bounded and end, honest clients get in", async () => {
  using pki = new TestPki();
  const authority = pki.authority("server authority");
  const server = authority.issue({ hosts: ["localhost", "127.0.0.1"] });
  const limits = { handshakesMax: 40, handshakesPerAddressMax: 30, handshakeTimeoutMs: 3_000 };
  await using open = openDoor({ limits, tlsOptions: server });
  const { port, url } = await open.listen("https://127.0.0.1:0");
  // Half of them say nothing, half begin a handshake and stop.
  const hello = Buffer.from("160301020001", "hex");
  const attackers = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const client = await BareSocket.connect(port!);
      if (i % 2 === 0) client.write(hello);
      return client;
    }),
  );
  await open.logger.until(({ fields }) => fields["reason"] === "too many unfinished TLS handshakes");
  assert(open.door.handshakeCount <= limits.handshakesPerAddressMax);
  // From another address there is still room.
  const elsewhere = connect({ port: port!, host: "127.0.0.1", localAddress: "127.0.0.2" });
  const other = await handshake({ socket: elsewhere, ca: authority.certPem });
  other.destroy();
  await Promise.all(attackers.map((client) => client.closed()));
  assert.equal((await http2(`${url}/page`, {}, { ca: authority.certPem })).status, 200);
  while (open.door.handshakeCount > 0) await new Promise(setImmediate);
  while (open.door.connectionCount > 0) await new Promise(setImmediate);
});

test("tls: a self-signed certificate of our making serves", async () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-auto-tls-"));
  try {
    const files = keepSelfSigned(folder, { hosts: ["localhost", "127.0.0.1"], validYears: 1, nowMs: Date.now() });
    await using open = openDoor({ tlsOptions: files });
    const { url } = await open.listen("https://127.0.0.1:0");

    assert.equal((await http2(`${url}/page`, {}, { ca: readFileSync(files.certFile) })).status, 200);
    await assert.rejects(http2(`${url}/page`), /self-signed/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
