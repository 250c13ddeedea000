// The two programs that the table runs on, and a fresh server of either. The servers themselves come from test/support.
import { spawnSync } from "node:child_process";
import { findEtcd as findTool, type Target, targets } from "../support/server-under-test.ts";

export interface Program {
  readonly name: "quorate" | "etcd";
  readonly target: Target;
  /** A real etcd's own word; undefined for our member. */
  readonly version: string | undefined;
}

export interface RunningServer {
  /** host:port for clients; the same after a restart. */
  readonly endpoint: string;
  /** Kills the process without warning and starts it again on its data. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** A real etcd, or undefined: $QUORATE_ETCD_DIR first, then PATH. */
export function findEtcd(): Program | undefined {
  const file = findTool("etcd");
  const target = targets().find(({ name }) => name === "etcd");
  if (file === undefined || target === undefined) return undefined;
  const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8" });
  const version = /etcd Version: (\S+)/.exec(stdout ?? "")?.[1];
  return version === undefined ? undefined : { name: "etcd", target, version };
}

/** The etcdctl program's file, or undefined. */
export const findEtcdctl = (): string | undefined => findTool("etcdctl");

/** Our member, or undefined while the checkout has none. */
export function findMember(): Program | undefined {
  const target = targets().find(({ name }) => name === "quorate");
  return target === undefined ? undefined : { name: "quorate", target, version: undefined };
}

/** Starts a fresh server; it serves when this resolves. */
export async function startServer(program: Program, flags: readonly string[] = []): Promise<RunningServer> {
  const server = await program.target.start({ name: "conformance", args: flags });
  return {
    endpoint: server.endpoint.replace("http://", ""),
    restart: async () => {
      await server.kill();
      await server.start();
    },
    // Nothing in its data matters any more, so there is no need to ask it nicely.
    close: async () => {
      await server.kill();
      await server.dispose();
    },
  };
}
