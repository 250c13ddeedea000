// A member that was behind while another one was added: it is called by somebody it has never heard of.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createDeferred } from "../../server/lib/deferred.ts";
import { silentLogger } from "../../server/lib/logger.ts";
import { noMetrics } from "../../server/lib/metrics.ts";
import { createRandom } from "../../server/lib/random.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import { PeerListener } from "../../server/peers/peer-listener.ts";
import { PeerTransport } from "../../server/peers/peer-transport.ts";
import type { Message } from "../../server/raft/message.ts";
import type { PeerHandler } from "../../server/replica/transport.ts";

const clusterId = 7n;
const clock = systemClock;
const logger = silentLogger;
const metrics = noMetrics;

/** One end: a port to be called at, and a way to call. */
async function openEnd(ownId: bigint, onMessage: (message: Message, transport: PeerTransport) => void) {
  const peerUrls: string[] = [];
  const transport = new PeerTransport({
    clusterId,
    ownId,
    clock,
    logger,
    metrics,
    random: createRandom(Number(ownId)),
    ownPeerUrls: () => peerUrls,
    onUnreachable: () => undefined,
    onRemoved: () => undefined,
  });
  const handler = { onMessage: (message: Message) => onMessage(message, transport) } as PeerHandler;
  const listener = new PeerListener({
    clusterId,
    ownId,
    clock,
    logger,
    metrics,
    handler,
    members: () => [],
    wasRemoved: () => false,
    onCaller: (caller) => transport.meet(caller),
  });
  peerUrls.push(await listener.listen("http://127.0.0.1:0"));
  return { peerUrls, transport, close: () => Promise.all([transport.close(), listener.close()]) };
}

test("a caller that is not known yet gets its answers, also after a change of peers that does not name it", async () => {
  const answered = createDeferred<Message>();
  const leader = await openEnd(1n, (message) => answered.resolve(message));
  const laggard = await openEnd(2n, ({ from, to, term }, transport) => {
    // What it applies meanwhile names others, and not yet the caller.
    transport.setPeers([]);
    transport.send([{ type: "heartbeat-response", from: to, to: from, term, round: 1, commit: 0 }]);
  });
  leader.transport.setPeers([{ id: 2n, peerUrls: laggard.peerUrls }]);
  // Messages may get lost while connections are made, so the leader goes on speaking up, as leaders do.
  const speaking = setInterval(() => {
    leader.transport.send([{ type: "heartbeat", from: 1n, to: 2n, term: 3, commit: 0, round: 1 }]);
  }, 10);
  try {
    assert.equal((await answered.promise).type, "heartbeat-response");
  } finally {
    clearInterval(speaking);
    await leader.close();
    await laggard.close();
  }
});
