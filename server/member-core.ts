// The part of a member that survives, replicates and answers: state, log, watch hub and replica, put together from the
// doors to the world outside. server.ts opens those doors onto files, sockets and the real clock; the simulator onto a
// world of its own. What listens to clients and peers is not here.
import { join } from "node:path";
import type { Identity } from "./identity.ts";
import { StartError } from "./identity.ts";
import type { Clock } from "./lib/clock.ts";
import type { Disk } from "./lib/disk.ts";
import type { Logger } from "./lib/logger.ts";
import type { Metrics } from "./lib/metrics.ts";
import type { Random } from "./lib/random.ts";
import { LogStore, type LogStoreOptions } from "./log/log-store.ts";
import { SnapshotStore } from "./log/snapshot-store.ts";
import { bootstrapSnapshot } from "./raft/config.ts";
import { type ConfState, emptyConfState, noEntryId, type SnapshotMeta } from "./raft/types.ts";
import { decodeConfState, encodeConfState } from "./replica/conf-state-codec.ts";
import { Replica } from "./replica/replica.ts";
import type { ReplicaOptions } from "./replica/replica-options.ts";
import type { PeerHandler, Transport } from "./replica/transport.ts";
import { WatchDriver } from "./services/watch-driver.ts";
import { StateMachine } from "./state/state-machine.ts";
import type { Backend, TableStore } from "./storage/backend.ts";
import { BufferedBackend } from "./storage/buffered-backend.ts";
import { WatchHub } from "./watch/watch-hub.ts";
import type { WatchLimits } from "./watch/watch-stream.ts";

/** The replica's settings, as the member's configuration has them. */
type ReplicaSettings = Pick<
  ReplicaOptions,
  | "heartbeatIntervalMs"
  | "electionTimeoutMs"
  | "requestBytesMax"
  | "quotaBytes"
  | "catchUpEntries"
  | "strictReconfigCheck"
  | "preVote"
>;

export interface MemberCoreOptions extends ReplicaSettings {
  readonly identity: Identity;
  readonly disk: Disk;
  /** Everything the member keeps is below it, but for the store. It exists, and its name is durable. */
  readonly folder: string;
  readonly store: TableStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Sizes of the log's files and of its cache. */
  readonly log?: Pick<LogStoreOptions, "segmentBytes" | "cacheBytes">;
  readonly watchLimits?: WatchLimits;
  /** The way to the other members. What it has to report goes to `peerHandler`, which is there once it has anything. */
  readonly createTransport: (peerHandler: () => PeerHandler) => Transport;
  readonly onEvents: ReplicaOptions["onEvents"];
  readonly onRoleState: ReplicaOptions["onRoleState"];
  readonly onRemoved: () => void;
  /** Called once when the member cannot go on. */
  readonly onFailed: (error: unknown) => void;
  /** Gets what must be closed when the member stops, or when opening fails half way; the last one first. */
  readonly onOpened: (close: () => Promise<void> | void) => void;
}

export interface MemberCore {
  /** Not started yet. */
  readonly replica: Replica;
  readonly backend: Backend;
  readonly hub: WatchHub;
}

/**
 * Opens what a member consists of, and makes it ready to be started.
 * @throws StartError LogError StorageError CorruptRecordError
 */
export async function openMemberCore(options: MemberCoreOptions): Promise<MemberCore> {
  const { identity, disk, folder, clock, random, logger, metrics, onOpened } = options;
  const backend: Backend = new BufferedBackend(options.store);
  onOpened(() => backend.close());
  const machine = new StateMachine(backend);
  const beginning = beginningOf(identity);
  if (identity.initialMembers.length > 0) {
    machine.bootstrap(identity.initialMembers, beginning.index, beginning.term);
    if (machine.configuration === undefined) machine.setConfiguration(encodeConfState(beginning.confState));
  }

  const log = await LogStore.open({
    ...options.log,
    disk,
    folder: join(folder, "log"),
    clock,
    logger: logger.child("log/log-store"),
    metrics,
    random: random.fork("log"),
    bootstrap: {
      base: { index: beginning.index, term: beginning.term },
      hardState: { term: beginning.term, vote: undefined, commit: beginning.index },
    },
    onSaved: (saveId) => replica.onSaved(saveId),
    onFailed: (error) => replica.fail(error),
  });
  onOpened(() => log.close());
  const confState = machine.configuration === undefined ? emptyConfState : decodeConfState(machine.configuration);
  await matchLogToState(log, machine, confState, folder, logger);

  const hub = new WatchHub(machine.mvcc, () => watchDriver.schedule(), options.watchLimits);
  const watchDriver = new WatchDriver(() => hub, clock, logger.child("services/watch-driver"));
  onOpened(() => watchDriver.close());
  const replica: Replica = new Replica({
    ...options,
    memberId: identity.memberId,
    confState,
    initialPeers: identity.initialPeers,
    machine,
    backend,
    log,
    snapshots: new SnapshotStore(disk, join(folder, "snapshots"), clock),
    transport: options.createTransport(() => replica.peerHandler),
    onStateReplacing: () => hub.suspend(),
    onStateReplaced: () => hub.resume(),
    onEvents: (batch) => {
      options.onEvents(batch);
      hub.notify(batch);
    },
  });
  onOpened(() => replica.close());
  return { replica, backend, hub };
}

/** Where the log and the state of this member begin, when they have not begun yet. */
function beginningOf({ initialMembers }: Identity): SnapshotMeta {
  // One that joins later has nothing: what it needs comes from the others.
  if (initialMembers.length === 0) return { ...noEntryId, confState: emptyConfState };
  return bootstrapSnapshot(initialMembers.map(({ id }) => id));
}

/**
 * Sees that log and state speak of the same history. A snapshot whose installation a crash cut short has replaced the
 * state and not the log yet; every other gap means that something is missing.
 */
async function matchLogToState(
  log: LogStore,
  machine: StateMachine,
  confState: ConfState,
  folder: string,
  logger: Logger,
): Promise<void> {
  const { appliedIndex: index, appliedTerm: term, installedSnapshot: installed } = machine;
  const isInLog = log.lastIndex() >= index && log.firstIndex() - 1 <= index && log.term(index) === term;
  if (isInLog) return;
  if (installed?.index === index && installed.term === term && log.firstIndex() - 1 <= index) {
    logger.log("info", "finishing the installation of a snapshot", { index, term });
    await log.resetTo({ index, term, confState });
    return;
  }
  throw new StartError(
    `entry ${index} of term ${term} was applied, but the log in ${folder} holds ${log.firstIndex()} to ` +
      `${log.lastIndex()}: a part of it is missing or was replaced. Restore the whole folder from one backup, or ` +
      "remove this member, add it again and start it with an empty folder.",
  );
}
