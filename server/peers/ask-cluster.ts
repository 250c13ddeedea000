// Asks a running cluster who belongs to it, before this member is a part of it.
import type { ConnectionOptions } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Member } from "../state/cluster/member-codec.ts";
import { dial } from "./dial.ts";

const roundsMax = 10;
const pauseMs = 500;
const timeoutMs = 2000;

/** What the first member that answers says; undefined when none does after several rounds. */
export async function askCluster(
  peerUrls: readonly string[],
  options: { readonly clock: Clock; readonly logger: Logger; readonly tls?: () => ConnectionOptions },
): Promise<{ readonly clusterId: bigint; readonly members: readonly Member[] } | undefined> {
  const { clock, logger } = options;
  for (let round = 0; round < roundsMax && peerUrls.length > 0; round++) {
    for (const url of peerUrls) {
      try {
        const hello = { purpose: "members", clusterId: 0n, from: 0n, to: 0n, peerUrls: [] } as const;
        const { socket, answer } = await dial(url, hello, { ...options, timeoutMs });
        socket.destroy();
        if (answer.kind === "members") return { clusterId: answer.clusterId, members: answer.members };
      } catch (error) {
        logger.log("warn", "a member did not say who belongs to the cluster", { url, error: String(error) });
      }
    }
    await new Promise<void>((resolve) => clock.setTimer(pauseMs, resolve));
  }
  return undefined;
}
