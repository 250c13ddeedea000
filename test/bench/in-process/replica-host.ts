// A member without its doors: log and state on a real disk, and nothing to reach them by but function calls. Built from
// the parts that server.ts builds a member from.
import { join } from "node:path";
import { createDeferred } from "../../../server/lib/deferred.ts";
import { silentLogger } from "../../../server/lib/logger.ts";
import { noMetrics } from "../../../server/lib/metrics.ts";
import { createRandom } from "../../../server/lib/random.ts";
import { systemClock } from "../../../server/lib/system-clock.ts";
import { systemDisk } from "../../../server/lib/system-disk.ts";
import { LogStore } from "../../../server/log/log-store.ts";
import { SnapshotStore } from "../../../server/log/snapshot-store.ts";
import { bootstrapSnapshot } from "../../../server/raft/config.ts";
import { encodeConfState } from "../../../server/replica/conf-state-codec.ts";
import { Replica } from "../../../server/replica/replica.ts";
import { noTransport } from "../../../server/replica/transport.ts";
import { StateMachine } from "../../../server/state/state-machine.ts";
import { BufferedBackend } from "../../../server/storage/buffered-backend.ts";
import { LmdbStore } from "../../../server/storage/lmdb-store.ts";

const memberId = 1n;

export interface ReplicaHost {
  readonly replica: Replica;
  close(): Promise<void>;
}

/** Opens a lone member's replica in `folder`, which must exist. It leads when this resolves. */
export async function openReplica(folder: string): Promise<ReplicaHost> {
  const clock = systemClock;
  const onFailed = (error: unknown): never => {
    throw error;
  };
  const backend = new BufferedBackend(new LmdbStore({ folder: join(folder, "store"), clock, metrics: noMetrics }));
  const machine = new StateMachine(backend);
  const beginning = bootstrapSnapshot([memberId]);
  machine.bootstrap(
    [{ id: memberId, name: "bench", peerUrls: [], clientUrls: [], isLearner: false }],
    beginning.index,
    beginning.term,
  );
  machine.setConfiguration(encodeConfState(beginning.confState));
  const log = await LogStore.open({
    disk: systemDisk,
    folder: join(folder, "log"),
    clock,
    logger: silentLogger,
    metrics: noMetrics,
    bootstrap: {
      base: { index: beginning.index, term: beginning.term },
      hardState: { term: beginning.term, vote: undefined, commit: beginning.index },
    },
    onSaved: (saveId) => replica.onSaved(saveId),
    onFailed,
  });
  const leads = createDeferred<void>();
  const replica: Replica = new Replica({
    memberId,
    confState: beginning.confState,
    initialPeers: [],
    machine,
    backend,
    log,
    snapshots: new SnapshotStore(systemDisk, join(folder, "snapshots"), clock),
    transport: noTransport,
    clock,
    random: createRandom(1),
    logger: silentLogger,
    metrics: noMetrics,
    heartbeatIntervalMs: 100,
    electionTimeoutMs: 1000,
    requestBytesMax: 1.5 * 1024 * 1024,
    quotaBytes: 0,
    catchUpEntries: 5000,
    strictReconfigCheck: true,
    preVote: true,
    onStateReplacing: () => undefined,
    onStateReplaced: () => undefined,
    onRemoved: () => undefined,
    onEvents: () => undefined,
    onRoleState: ({ leader }) => {
      if (leader !== undefined) leads.resolve();
    },
    onFailed,
  });
  replica.start();
  await leads.promise;
  await replica.readBarrier();
  return {
    replica,
    close: async () => {
      await replica.close();
      await log.close();
      await backend.close();
    },
  };
}
