// Cluster, Maintenance and Health as far as one member shows them, the services beside them, and what is not there.
import type { Case, Group } from "../case.ts";
import { all, call, halfClose, put, raw, receive, send, silent } from "../steps.ts";

const open = (method: string, stream = "s") => ({ kind: "open", stream, method }) as const;

/** One harmless request to every RPC that a first member may not serve. */
const perhapsNotServed: readonly (readonly [string, object])[] = [
  ["Cluster/MemberRemove", { ID: 4242n }],
  ["Cluster/MemberUpdate", { ID: 4242n, peerURLs: ["http://127.0.0.1:1"] }],
  ["Cluster/MemberPromote", { ID: 4242n }],
  ["Cluster/MemberAdd", { peerURLs: ["not a url"] }],
  ["Maintenance/Alarm", {}],
  ["Maintenance/HashKV", { revision: 2n ** 62n }],
  ["Maintenance/MoveLeader", { targetID: 4242n }],
  ["Maintenance/Downgrade", { action: 0, version: "nonsense" }],
  ["Auth/AuthStatus", {}],
  ["Auth/AuthEnable", {}],
  ["Auth/Authenticate", { name: "nobody", password: "x" }],
  ["Auth/UserGet", { name: "nobody" }],
  ["Auth/UserList", {}],
  ["Auth/RoleGet", { role: "nobody" }],
  ["Auth/RoleList", {}],
  ["Lock/Unlock", { key: new Uint8Array([0x6c]) }],
  ["Election/Leader", { name: new Uint8Array([0x65]) }],
  ["Election/Resign", {}],
];

const notServed: readonly Case[] = perhapsNotServed.map(([method, request]) => ({
  name: `${method}`,
  rows: ["X5"],
  steps: [call(method, request)],
}));

export const services: Group = {
  name: "services",
  cases: [
    {
      name: "member list",
      rows: ["C7", "X5"],
      setup: [put("a", "1")],
      steps: [call("Cluster/MemberList"), call("Cluster/MemberList", { linearizable: true })],
    },
    { name: "status", rows: ["M2", "X5"], setup: [put("a", "1")], steps: [call("Maintenance/Status")] },
    {
      name: "health",
      rows: ["S9"],
      steps: [
        call("Health/Check", {}),
        call("Health/Check", { service: "etcdserverpb.KV" }),
        open("Health/Watch"),
        send("s", { service: "" }),
        halfClose("s"),
        receive(1, "s"),
        silent("s", 150),
      ],
    },
    {
      name: "health of an unknown service, watched",
      rows: ["S9"],
      steps: [
        open("Health/Watch"),
        send("s", { service: "nothing" }),
        halfClose("s"),
        receive(1, "s"),
        silent("s", 150),
      ],
    },
    {
      name: "an unknown method and an unknown service",
      rows: ["S1"],
      steps: [
        call("/etcdserverpb.KV/Nothing", { $raw: new Uint8Array() }),
        call("/etcdserverpb.Nothing/Range", { $raw: new Uint8Array() }),
      ],
    },
    {
      name: "metadata that clients send",
      rows: ["X1", "X2"],
      steps: [
        call("KV/Put", { key: "a", value: "1" }, { metadata: { hasleader: "true", "client-api-version": "3.5.30" } }),
        call("KV/Range", { key: "a" }, { metadata: { token: "", authorization: "" } }),
        call("KV/Range", { key: "a" }, { metadata: { token: "nonsense" } }),
      ],
    },
    {
      name: "a deadline that has room and garbage on a stream",
      rows: ["X6"],
      steps: [
        call("KV/Range", { key: "a" }, { deadlineMs: 5000 }),
        open("Watch/Watch", "w"),
        send("w", { $raw: Buffer.from("0aff", "hex") }),
        receive(1, "w"),
        open("Lease/LeaseKeepAlive", "ka"),
        send("ka", { $raw: Buffer.from("08", "hex") }),
        receive(1, "ka"),
        raw("KV/Txn", Buffer.from("0a050a", "hex")),
        all(),
      ],
    },
    ...notServed,
  ],
};
