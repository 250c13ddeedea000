// The whole member over TLS and unix sockets: whom its flags let in, by every client that people use, and what happens
// when certificates change under way.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { join } from "node:path";
import { test } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { Client, type ClientOptions, credentials } from "@grpc/grpc-js";
import { PutRequest } from "../../proto/gen/etcdserverpb/rpc.ts";
import { connect, type TlsOptions } from "../../sdk/index.ts";
import { until } from "../sdk/harness.ts";
import { freePorts } from "../support/free-ports.ts";
import type { ServerUnderTest } from "../support/server-under-test.ts";
import { type CertificateFiles, TestPki } from "./support/certificates.ts";
import { http2On } from "./support/clients.ts";
import { commandOf, findProgram, logLines, quorate, startMember } from "./support/member.ts";

/** A way to put a key; resolves when the member took it, rejects when the client did not get in for `limitMs`. */
type Put = (endpoint: string, ca: string, identity: CertificateFiles | undefined, limitMs?: number) => Promise<void>;

/** Default limit, for clients that must get in. */
const patienceMs = 30_000;
/** Limit for those that must not. */
const refusedMs = 2_000;

const tlsFlags = (ca: string, identity: CertificateFiles | undefined): readonly string[] => [
  `--cacert=${ca}`,
  ...(identity === undefined ? [] : [`--cert=${identity.certFile}`, `--key=${identity.keyFile}`]),
];

const tlsOptions = (ca: string, identity: CertificateFiles | undefined): TlsOptions => ({
  ca: readFileSync(ca),
  ...(identity === undefined ? {} : { cert: identity.certPem, key: identity.keyPem }),
});

/** Puts by a command line client, over TLS where the endpoint says so. */
function putBy(command: ReturnType<typeof commandOf>): Put {
  return async (endpoint, ca, identity, limitMs = patienceMs) => {
    const tls = /^(https|unixs):/.test(endpoint) ? tlsFlags(ca, identity) : [];
    const limits = ["dial", "command"].map((what) => `--${what}-timeout=${limitMs / 1000}s`);
    const { status, stdout, stderr } = await command(`--endpoints=${endpoint}`, ...tls, ...limits, "put", "k", "v");
    if (status !== 0 || stdout.toString() !== "OK\n") throw new Error(stderr);
  };
}

const putBySdk: Put = async (endpoint, ca, identity, limitMs = patienceMs) => {
  await using client = await connect({
    endpoints: endpoint,
    tls: tlsOptions(ca, identity),
    connectTimeout: limitMs,
    deadline: limitMs,
  });
  await client.kv.put("k", "v");
};

const putByGrpcJs: Put = (endpoint, ca, identity, limitMs = patienceMs) => {
  const own = identity === undefined ? [] : [Buffer.from(identity.keyPem), Buffer.from(identity.certPem)];
  const isTls = endpoint.startsWith("https:");
  const security = isTls ? credentials.createSsl(readFileSync(ca), ...own) : credentials.createInsecure();
  const options: ClientOptions = { "grpc.initial_reconnect_backoff_ms": 100 };
  const client = new Client(endpoint.replace(/^https?:\/\//, ""), security, options);
  const request = PutRequest.create({ key: Buffer.from("k"), value: Buffer.from("v") });
  return new Promise<void>((resolve, reject) => {
    client.makeUnaryRequest(
      "/etcdserverpb.KV/Put",
      (message: PutRequest) => Buffer.from(PutRequest.encode(message).finish()),
      (bytes) => bytes,
      request,
      { deadline: Date.now() + limitMs },
      (error) => (error === null ? resolve() : reject(error)),
    );
  }).finally(() => client.close());
};

/** Completes a handshake, or rejects with what the client saw of its failure. */
function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ servername: "localhost", host: "127.0.0.1", ...options }, () => resolve(socket));
    socket.once("error", reject);
  });
}

const rejections = (member: ServerUnderTest): readonly string[] =>
  logLines(member, "rejected connection").map(({ reason }) => String(reason));

test("member over TLS and unix sockets: every client gets in with a good certificate and with no other", async (t) => {
  const etcdctl = findProgram(t, "etcdctl");
  const curl = findProgram(t, "curl");
  using pki = new TestPki();
  const authority = pki.authority("authority");
  const stranger = pki.authority("stranger");
  // Go's client takes the name of a socket's file for the host's name.
  const hosts = ["localhost", "127.0.0.1", "secure.sock"];
  const server = authority.issue({ commonName: "server", hosts });
  const host = { hosts: ["client.example.com"] };
  const alice = authority.issue({ commonName: "alice", ...host });
  const revoked = authority.issue({ commonName: "revoked", ...host });
  const list = authority.revoke([revoked.serial]);
  const [port, metricsPort] = await freePorts(2);
  const endpoints = {
    tls: `https://127.0.0.1:${port}`,
    socket: `unix://${join(pki.folder, "plain.sock")}`,
    tlsSocket: `unixs://${join(pki.folder, "secure.sock")}`,
  };
  await using member = await startMember({
    clientUrls: Object.values(endpoints).join(","),
    args: [
      ...["--cert-file", server.certFile, "--key-file", server.keyFile],
      ...["--trusted-ca-file", authority.certFile, "--client-cert-auth", "--client-crl-file", list],
      ...["--client-cert-allowed-hostname", "client.example.com"],
      ...["--listen-metrics-urls", `https://127.0.0.1:${metricsPort}`],
    ],
  });
  const puts: readonly (readonly [string, Put])[] = [
    ...(etcdctl === undefined ? [] : ([["etcdctl", putBy(commandOf(etcdctl))]] as const)),
    ["quorate", putBy(quorate)],
    ["the SDK", putBySdk],
    ["grpc-js", putByGrpcJs],
  ];

  await t.test("a good one", async () => {
    for (const endpoint of Object.values(endpoints)) {
      for (const [name, put] of puts) {
        // grpc-js knows no TLS on unix sockets.
        if (name === "grpc-js" && endpoint === endpoints.tlsSocket) continue;
        await put(endpoint, authority.certFile, alice).catch((error: unknown) => {
          throw new Error(`${name} at ${endpoint}`, { cause: error });
        });
      }
    }
    assert.deepEqual(rejections(member), []);
  });

  await t.test("watches and leases", async () => {
    const options = { tls: tlsOptions(authority.certFile, alice) };
    for (const endpoint of Object.values(endpoints)) {
      await using client = await connect({ ...options, endpoints: endpoint });
      await using watch = client.watch("watched");
      await watch.ready;
      const lease = await client.lease.grant({ ttl: "60s" });
      await client.kv.put("watched", endpoint, { leaseId: lease.id });
      const { value } = await watch.next();
      assert(value?.events[0]?.type === "put");
      assert.equal(value.events[0].kv.value, endpoint);
    }
    assert.deepEqual(rejections(member), []);
  });

  await t.test("pages by HTTP/1.1 and HTTP/2", async () => {
    if (curl === undefined) return;
    const run = commandOf(curl);
    const identity = ["--cacert", authority.certFile, "--cert", alice.certFile, "--key", alice.keyFile];
    const places = [
      [`https://127.0.0.1:${port}`],
      ["https://localhost", "--unix-socket", join(pki.folder, "secure.sock")],
      ["http://localhost", "--unix-socket", join(pki.folder, "plain.sock")],
    ] as const;
    for (const [place, ...how] of places) {
      const versions = [
        ["--http1.1", "1.1"],
        [place.startsWith("https") ? "--http2" : "--http2-prior-knowledge", "2"],
      ] as const;
      for (const [option, version] of versions) {
        for (const [path, expected] of [
          ["/health", /^\{"health":"true","reason":""\}/],
          ["/version", /^\{"etcdserver":"3\./],
          ["/metrics", /^etcd_server_has_leader 1$/m],
        ] as const) {
          const shown = ["-sS", option, "-w", "\n%{http_code} %{http_version}", ...how, `${place}${path}`];
          const { status, stdout, stderr } = await run(...shown, ...identity);
          assert.equal(status, 0, `${shown.join(" ")}: ${stderr}`);
          assert.match(stdout.toString(), expected);
          assert.match(stdout.toString(), new RegExp(`\n200 ${version}$`));
        }
      }
    }
    const metrics = await run("-sS", ...identity, `https://127.0.0.1:${metricsPort}/metrics`);
    assert.match(metrics.stdout.toString(), /^etcd_server_has_leader 1$/m);
    const naked = await run("-sS", "--cacert", authority.certFile, `https://127.0.0.1:${metricsPort}/metrics`);
    assert.notEqual(naked.status, 0);
  });

  await t.test("any other one", async () => {
    const others: readonly (readonly [RegExp, CertificateFiles | undefined])[] = [
      [/^client showed no certificate$/, undefined],
      [/^client certificate not trusted: UNABLE_TO_/, stranger.issue({ commonName: "alice", ...host })],
      [
        /^client certificate not trusted: CERT_HAS_EXPIRED$/,
        authority.issue({ commonName: "alice", ...host, validUntilMs: Date.now() - 60_000 }),
      ],
      [/^client certificate [0-9a-f]+ is revoked$/, revoked],
      [
        /^client certificate is for none of the allowed host names$/,
        authority.issue({ commonName: "alice", hosts: ["other.example.com"] }),
      ],
    ];
    await Promise.all(
      others.flatMap(([, identity]) =>
        puts.flatMap(([name, put]) =>
          [endpoints.tls, endpoints.tlsSocket].map((endpoint) =>
            name === "grpc-js" && endpoint === endpoints.tlsSocket
              ? undefined
              : assert.rejects(put(endpoint, authority.certFile, identity, refusedMs), `${name} at ${endpoint}`),
          ),
        ),
      ),
    );
    for (const [reason] of others) {
      await until(String(reason), () => rejections(member).some((said) => reason.test(said)));
    }
    // Clients that give up in the middle of a handshake are told of, too.
    for (const said of rejections(member).filter((text) => text.startsWith("client "))) {
      const isExpected = others.some(([reason]) => reason.test(said));
      assert(isExpected, said);
    }
  });

  await t.test("clients that do not trust the member", async () => {
    await Promise.all(
      puts.map(([name, put]) =>
        assert.rejects(put(endpoints.tls, stranger.certFile, alice, refusedMs), `${name} trusts`),
      ),
    );
  });

  await t.test("certificates that change", async () => {
    const ca = authority.certPem;
    const identity = { cert: alice.certPem, key: alice.keyPem };
    const serialNow = async (): Promise<string> => {
      const socket = await handshake({ port: port!, ca, ...identity, checkServerIdentity: () => undefined });
      const serial = socket.getPeerX509Certificate()!.serialNumber.toLowerCase();
      socket.destroy();
      return serial;
    };
    const before = await openSession(port!, { ca, ...identity });
    const isServed = async (): Promise<boolean> => (await http2On(before, "/health")).status === 200;
    assert(await isServed());
    await using client = await connect({
      endpoints: endpoints.tls,
      tls: tlsOptions(authority.certFile, alice),
      // A connection that was given up could not be made again.
      liveness: { probeAfter: "15s", deadAfter: "30s" },
    });
    await using watch = client.watch("watched");
    await watch.ready;

    const replaced = authority.issue({ hosts: ["other.example.com"], into: server }).serial.toString("hex");
    const startMs = performance.now();
    await until("new connections see the new certificate", async () => (await serialNow()) === replaced);
    t.diagnostic(`seen ${Math.round(performance.now() - startMs)} ms after it was replaced`);
    assert(await isServed());
    await client.kv.put("watched", "by the connection of before");
    assert.equal((await watch.next()).value?.events[0]?.key, "watched");
    // It is for another host now.
    await Promise.all(
      puts.map(([name, put]) =>
        assert.rejects(put(endpoints.tls, authority.certFile, alice, refusedMs), `${name} trusts`),
      ),
    );
    const restored = authority.issue({ hosts, into: server }).serial.toString("hex");
    await until("the certificate is replaced again", async () => (await serialNow()) === restored);
    await putBySdk(endpoints.tls, authority.certFile, alice);

    writeFileSync(list, readFileSync(authority.revoke([revoked.serial, alice.serial])));
    await until("the new list is known", () =>
      putBySdk(endpoints.tls, authority.certFile, alice, refusedMs).then(
        () => false,
        () => true,
      ),
    );
    assert(await isServed(), "who is in stays in");
    before.destroy();
  });
});

/** An HTTP/2 session on a connection of its own. */
async function openSession(port: number, tls: ConnectionOptions): Promise<ClientHttp2Session> {
  const socket = await handshake({ port, ...tls, ALPNProtocols: ["h2"] });
  const session = connectHttp2("https://localhost", { createConnection: () => socket });
  session.on("error", () => undefined);
  return session;
}

test("member: --tls-min-version, --tls-max-version and --cipher-suites", async (t) => {
  const etcdctl = findProgram(t, "etcdctl");
  using pki = new TestPki();
  const authority = pki.authority("authority");
  const server = authority.issue({ hosts: ["localhost", "127.0.0.1"] });
  const suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
  for (const { flags, served, refused } of [
    {
      flags: [],
      served: [
        [{}, "TLSv1.3"],
        [{ maxVersion: "TLSv1.2" }, "TLSv1.2"],
      ],
      refused: [{ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }],
    },
    {
      flags: ["--tls-min-version=TLS1.3"],
      served: [[{}, "TLSv1.3"]],
      refused: [{ maxVersion: "TLSv1.2" }],
    },
    {
      flags: ["--tls-max-version=TLS1.2", `--cipher-suites=${suite}`],
      served: [[{}, "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384"]],
      refused: [{ minVersion: "TLSv1.3" }, { ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256", maxVersion: "TLSv1.2" }],
    },
  ] as const) {
    const [port] = await freePorts(1);
    const endpoint = `https://127.0.0.1:${port}`;
    await using member = await startMember({
      clientUrls: endpoint,
      args: ["--cert-file", server.certFile, "--key-file", server.keyFile, ...flags],
    });
    for (const [options, expected] of served) {
      const socket = await handshake({ port: port!, ca: authority.certPem, ...options });
      assert(`${socket.getProtocol()} ${socket.getCipher().name}`.startsWith(expected));
      // Under TLS 1.3 the client is done before the member: a socket that is torn down now is a failed handshake there.
      socket.end();
    }
    for (const options of refused) {
      await assert.rejects(handshake({ port: port!, ca: authority.certPem, ...options }), JSON.stringify(options));
    }
    await putBySdk(endpoint, authority.certFile, undefined);
    await putByGrpcJs(endpoint, authority.certFile, undefined);
    if (etcdctl !== undefined) await putBy(commandOf(etcdctl))(endpoint, authority.certFile, undefined);
    const failed = (): number => rejections(member).filter((reason) => /handshake failed/.test(reason)).length;
    await until("the refused ones are told of", () => failed() === refused.length);
  }
});

test("member: --auto-tls makes a certificate, keeps it, and still asks for the clients' if told to", async (t) => {
  const etcdctl = findProgram(t, "etcdctl");
  using pki = new TestPki();
  const authority = pki.authority("authority");
  const alice = authority.issue({ commonName: "alice" });
  const [port] = await freePorts(1);
  const endpoint = `https://127.0.0.1:${port}`;
  const dataDir = join(pki.folder, "data");
  const start = (...more: readonly string[]): Promise<ServerUnderTest> =>
    startMember({ clientUrls: endpoint, dataDir, args: ["--auto-tls", ...more] });
  const made = join(dataDir, "member", "client-certificate", "cert.pem");
  await using member = await start("--self-signed-cert-validity=3");
  assert(existsSync(made));
  const first = readFileSync(made, "utf8");
  const shown = await handshake({ port: port!, ca: first, checkServerIdentity: () => undefined });
  const { validTo } = shown.getPeerX509Certificate()!;
  shown.destroy();
  assert(Date.parse(validTo) > Date.now() + 2 * 365 * 24 * 3600_000, validTo);
  await putBySdk(endpoint, made, undefined);
  await putBy(quorate)(endpoint, made, undefined);
  await assert.rejects(putBySdk(endpoint, authority.certFile, undefined, refusedMs));
  if (etcdctl !== undefined) {
    const trusting = ["--insecure-transport=false", "--insecure-skip-tls-verify", `--endpoints=${endpoint}`];
    const { stdout, stderr } = await commandOf(etcdctl)(...trusting, "put", "k", "v");
    assert.equal(stdout.toString(), "OK\n", stderr);
    await assert.rejects(putBy(commandOf(etcdctl))(endpoint, authority.certFile, undefined, refusedMs));
  }
  await member.stop();
  await using checking = await start("--client-cert-auth", "--trusted-ca-file", authority.certFile);
  assert.equal(readFileSync(made, "utf8"), first);
  await putBySdk(endpoint, made, alice);
  await assert.rejects(putBySdk(endpoint, made, undefined, refusedMs));
  await until("the log says why", () => rejections(checking).includes("client showed no certificate"));
});
