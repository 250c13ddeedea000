// Records what etcdctl answers to the rows of etcdctl-rows.txt on a real etcd: `node dist/test/cli/record.js`.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../support/paths.ts";
import { findEtcd, targets } from "../support/server-under-test.ts";
import { type Answered, answer, readRows } from "./etcdctl-rows.ts";

const etcdctl = findEtcd("etcdctl");
const etcd = targets().find(({ name }) => name === "etcd");
if (etcdctl === undefined || etcd === undefined) throw new Error("etcd and etcdctl are needed");
const version = /version: (\S+)/.exec(spawnSync(etcdctl, ["version"], { encoding: "utf8" }).stdout)?.[1] ?? "unknown";
const answers: { [row: string]: Answered[] } = {};
{
  await using server = await etcd.start();
  for (const row of readRows()) (answers[row.text] ??= []).push(await answer(etcdctl, server.endpoint, row));
}
const path = join(repositoryRoot, "test", "cli", "etcdctl-3.5.recorded.json");
writeFileSync(path, `${JSON.stringify({ version, answers }, undefined, 1)}\n`);
