// Members that speak TLS with each other: with certificates of an authority, with ones of their own making, and those
// that are not let in: no certificate, another authority, a name that is not allowed, another cluster.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { ClientError, connect } from "../../sdk/index.ts";
import { until } from "../sdk/harness.ts";
import { freePorts } from "../support/free-ports.ts";
import type { ServerUnderTest } from "../support/server-under-test.ts";
import { type CertificateFiles, TestPki } from "./support/certificates.ts";
import { logLines, planMember, startCluster, startMember } from "./support/member.ts";

const names = ["m1", "m2", "m3"] as const;
const hosts = ["127.0.0.1"];
const readyText = "ready to serve client requests";

/** What each member has under a key, without asking the others. */
async function valuesOf(members: readonly ServerUnderTest[], key: string): Promise<readonly (string | undefined)[]> {
  return Promise.all(
    members.map(async ({ endpoint }) => {
      await using client = await connect({ endpoints: endpoint });
      return (await client.kv.get(key, { serializable: true }))?.value;
    }),
  );
}

/** Puts until it is taken: an election may come between, and a put may be repeated. */
async function put(member: ServerUnderTest, key: string, value: string): Promise<void> {
  await until("the put is taken", async () => {
    try {
      await using client = await connect({ endpoints: member.endpoint });
      await client.kv.put(key, value);
      return true;
    } catch (error) {
      if (error instanceof ClientError) return false;
      throw error;
    }
  });
}

async function assertReplicates(members: readonly ServerUnderTest[], key: string): Promise<void> {
  for (const [index, member] of members.entries()) {
    await put(member, key, `by ${index}`);
    await until("all members have it", async () =>
      (await valuesOf(members, key)).every((value) => value === `by ${index}`),
    );
  }
}

const fileFlags = ({ certFile, keyFile }: CertificateFiles, ca: string): readonly string[] => [
  ...["--peer-cert-file", certFile, "--peer-key-file", keyFile, "--peer-trusted-ca-file", ca],
  "--peer-client-cert-auth",
];

const rejections = (member: ServerUnderTest): readonly string[] =>
  logLines(member, "rejected a member's connection").map(({ reason }) => String(reason));

/** Reasons why it could not reach others. */
const failures = (member: ServerUnderTest): readonly string[] =>
  logLines(member, "a member cannot be reached").map(({ reason }) => String(reason));

async function closed(socket: Socket): Promise<void> {
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("close", resolve));
}

/** The serial number of the certificate that is shown at a port for members. */
function shownAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!.serialNumber.toLowerCase());
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

test("members over TLS: they replicate, also after their certificates have changed", async (t) => {
  using pki = new TestPki();
  const authority = pki.authority("authority");
  const identities = names.map((name) => authority.issue({ commonName: name, hosts }));
  const allowed = ["--peer-cert-allowed-cn", names.join(",")];
  const members = await startCluster(t, {
    size: names.length,
    peerScheme: "https",
    args: (index) => [...fileFlags(identities[index]!, authority.certFile), ...allowed],
  });
  await assertReplicates(members, "k");

  const stranger = pki.authority("stranger").issue({ commonName: "m1", hosts });
  const fourth = authority.issue({ commonName: "m4", hosts });
  for (const [reason, identity] of [
    [/^client showed no certificate$/, {}],
    [/^client certificate not trusted: UNABLE_TO_/, { cert: stranger.certPem, key: stranger.keyPem }],
    [/common name "m4" is not allowed$/, { cert: fourth.certPem, key: fourth.keyPem }],
  ] as const) {
    const port = Number(new URL(members[0]!.peerUrl).port);
    await closed(connectTls({ host: "127.0.0.1", port, ca: authority.certPem, ...identity }));
    await until(String(reason), () => rejections(members[0]!).some((said) => reason.test(said)));
  }

  const replaced = identities.map((into, index) =>
    authority.issue({ commonName: names[index]!, hosts, into }).serial.toString("hex"),
  );
  for (const [index, { peerUrl }] of members.entries()) {
    const port = Number(new URL(peerUrl).port);
    await until("the new certificate is shown", async () => (await shownAt(port)) === replaced[index]);
  }
  await assertReplicates(members, "after");
  // A member that comes back makes all its connections anew, both ways.
  await members[2]!.restart();
  await assertReplicates(members, "again");
});

test("members over TLS: one of another authority stays outside, the others serve without it", async (t) => {
  using pki = new TestPki();
  const authorities = ["authority", "authority", "stranger"].map((name) => pki.authority(name));
  const [own, , stranger] = authorities;
  const members = await startCluster(t, {
    size: names.length,
    started: 2,
    peerScheme: "https",
    args: (index) => {
      const authority = index === 2 ? stranger! : own!;
      return fileFlags(authority.issue({ commonName: names[index]!, hosts }), authority.certFile);
    },
  });
  await assertReplicates(members.slice(0, 2), "k");
  // It waits for the others for ever, until the test stops it.
  const third = members[2]!;
  third.start().catch(() => undefined);
  for (const member of members) {
    await until("each says whom it does not trust", () => failures(member).some((said) => /certificate/.test(said)));
    await until("and who does not trust it", () =>
      rejections(member).includes("the other side hung up during the TLS handshake"),
    );
  }
  await assertReplicates(members.slice(0, 2), "still");
  assert.equal(third.log.includes(readyText), false);
});

test("members over TLS: --peer-auto-tls makes a certificate on each; another cluster's member stays outside", async (t) => {
  const members = await startCluster(t, { size: 3, peerScheme: "https", args: () => ["--peer-auto-tls"] });
  await assertReplicates(members, "k");
  const made = members.map(({ dataDir }) =>
    readFileSync(join(dataDir, "member", "peer-certificate", "cert.pem"), "utf8"),
  );
  assert.equal(new Set(made).size, names.length, "each has its own");
  await members[1]!.restart();
  await assertReplicates(members, "again");

  // It was given the name and the addresses of a member that is down, and calls itself part of another cluster.
  await members[2]!.stop();
  const intruder = await planMember({
    name: names[2],
    peerUrl: members[2]!.peerUrl,
    initialCluster: members.map(({ peerUrl }, index) => `${names[index]}=${peerUrl}`).join(","),
    args: ["--peer-auto-tls", "--initial-cluster-token", "another-cluster"],
  });
  t.after(() => intruder.dispose());
  intruder.start().catch(() => undefined);
  await until("it hears that it is of another cluster", () => failures(intruder).includes("refused: cluster-mismatch"));
  for (const member of members.slice(0, 2)) {
    await until("it is told the same", () => failures(member).includes("refused: cluster-mismatch"));
  }
  await assertReplicates(members.slice(0, 2), "without it");
  assert.equal(intruder.log.includes(readyText), false);
  await intruder.dispose();
  await members[2]!.start();
  await assertReplicates(members, "with the right one");
});

test("members over TLS: one that speaks plainly to a TLS port is not understood", async () => {
  const [port] = await freePorts(1);
  await using member = await startMember({ peerUrl: `https://127.0.0.1:${port}`, args: ["--peer-auto-tls"] });
  const socket = connectTcp(port!, "127.0.0.1", () => socket.write('{"purpose":"members"}\n'));
  await closed(socket);
  await until("the log says why", () =>
    rejections(member).includes("no TLS on a TLS port, or a version that is not served"),
  );
  await put(member, "k", "v");
});
