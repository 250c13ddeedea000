// The composition root: builds a member from its parts, bottom up, starts it, and stops it in the opposite order.
// Everything is wired here and nowhere else.
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { certificatesOf } from "./certificates.ts";
import type { MemberConfig, TlsConfig } from "./config.ts";
import { type Identity, loadIdentity, StartError } from "./identity.ts";
import type { Clock } from "./lib/clock.ts";
import { createDeferred } from "./lib/deferred.ts";
import type { Logger } from "./lib/logger.ts";
import { createRandom } from "./lib/random.ts";
import { systemClock } from "./lib/system-clock.ts";
import { systemDisk } from "./lib/system-disk.ts";
import { FolderLockedError, lockFolder } from "./lib/system-folder-lock.ts";
import { openMemberCore } from "./member-core.ts";
import { OpenParts } from "./open-parts.ts";
import { askCluster } from "./peers/ask-cluster.ts";
import { PeerListener, type PeerListenerOptions } from "./peers/peer-listener.ts";
import { peerClientTls } from "./peers/peer-tls.ts";
import { PeerTransport } from "./peers/peer-transport.ts";
import type { RoleState } from "./raft/types.ts";
import { AutoCompactor } from "./replica/auto-compactor.ts";
import { ReplicaError } from "./replica/errors.ts";
import type { Replica } from "./replica/replica.ts";
import { ServingState } from "./services/grpc/health-service.ts";
import { createServices, grpcOverheadBytes } from "./services/grpc/register.ts";
import { createHttpRoutes } from "./services/http/routes.ts";
import { PrometheusMetrics } from "./services/metrics.ts";
import type { MemberAttributes } from "./state/command.ts";
import type { Backend } from "./storage/backend.ts";
import { LmdbStore } from "./storage/lmdb-store.ts";
import { createCallMetrics } from "./transport/call-metrics.ts";
import { FrontDoor } from "./transport/front-door.ts";
import { GrpcServer } from "./transport/grpc-server.ts";
import { TlsContext } from "./transport/tls-context.ts";
import type { WatchHub } from "./watch/watch-hub.ts";

export interface StartOptions {
  readonly logger: Logger;
  /**
   * Called once when the member cannot go on, or when a start that failed cannot be undone. What it holds on disk is
   * safe. The process should end at once, without waiting for anything: a thread of it may never end by itself.
   */
  readonly onFailed: (error: unknown) => void;
  /** Called once when this member was removed from its cluster: it should be closed, and cannot come back. */
  readonly onRemoved?: () => void;
}

export interface Member {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** Where it listens for clients, with the ports that were taken. */
  readonly clientUrls: readonly string[];
  readonly metricsUrls: readonly string[];
  /** Ends calls under way, puts the state on disk and stops. Twice is fine. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** When the member stops: how long calls under way may take, and how long clients without calls may stay. */
const drainMs = { calls: 5_000, idle: 700 } as const;
/** How long it may take to undo a start that failed. */
const undoMsMax = 2000;

/**
 * Starts a member and resolves once it serves.
 * @throws StartError FolderLockedError LogError StorageError Nothing is left running then.
 */
export async function startMember(config: MemberConfig, options: StartOptions): Promise<Member> {
  const parts = new OpenParts();
  // Until the member is there, a failure is the start's: nobody may be left waiting for a leader that cannot come.
  const failed = createDeferred<never>();
  failed.promise.catch(() => undefined);
  let isStarted = false;
  const onFailed = (error: unknown): void => {
    if (isStarted) options.onFailed(error);
    else failed.reject(error);
  };
  const building = buildMember(config, { ...options, onFailed }, parts).then((member) => {
    isStarted = true;
    return member;
  });
  try {
    return await Promise.race([building, failed.promise]);
  } catch (error) {
    const late = systemClock.setTimer(undoMsMax, () => options.onFailed(error));
    // The start's failure is the one to be told.
    await parts.close().catch(() => undefined);
    late.cancel();
    throw error;
  }
}

async function buildMember(
  config: MemberConfig,
  { logger, onFailed, onRemoved = () => undefined }: StartOptions,
  parts: OpenParts,
): Promise<Member> {
  const clock = systemClock;
  const random = createRandom(randomInt(2 ** 32));
  const metrics = new PrometheusMetrics();
  parts.add(() => metrics.close());

  const folder = await openDataDir(config.dataDir);
  const lock = await lockFolder(folder);
  parts.add(() => lock.release());
  const peerTls = certificatesOf(config.peerTls, folder, "peer", config.listenPeerUrls, clock);
  const callTls = peerTls === undefined ? {} : { tls: () => peerClientTls(peerTls) };
  const identity = await loadIdentity(systemDisk, folder, config, (urls) =>
    askCluster(urls, { clock, logger: logger.child("peers/ask-cluster"), ...callTls }),
  );

  const openTls = (certificates: TlsConfig | undefined): { readonly tls?: TlsContext } => {
    if (certificates === undefined) return {};
    const tls = new TlsContext(certificates, clock, logger);
    parts.add(() => tls.close());
    return { tls };
  };

  const store = new LmdbStore({ folder: join(folder, "store"), clock, metrics });
  parts.add(() => store.close());
  // The store syncs what it writes, but not the names of its files and of its folder.
  await systemDisk.syncFolder(join(folder, "store"));
  await systemDisk.syncFolder(folder);

  const events = metrics.counter("etcd_debugging_mvcc_events_total");
  const ready = createDeferred<void>();
  let transport: PeerTransport | undefined;
  const ownPeerUrls = (): readonly string[] =>
    replica.machine.members.get(identity.memberId)?.peerUrls ?? config.initialAdvertisePeerUrls;
  const { replica, backend, hub } = await openMemberCore({
    ...config,
    catchUpEntries: config.snapshotCatchUpEntries,
    identity,
    disk: systemDisk,
    folder,
    store,
    clock,
    random,
    logger,
    metrics,
    createTransport: (peerHandler) => {
      transport = new PeerTransport({
        clusterId: identity.clusterId,
        ownId: identity.memberId,
        clock,
        random: random.fork("peers"),
        logger: logger.child("peers/peer-link"),
        metrics,
        ...callTls,
        ownPeerUrls,
        onUnreachable: (id) => peerHandler().onUnreachable(id),
        onRemoved: () => peerHandler().onRemoved(),
      });
      return transport;
    },
    onEvents: (batch) => events.add(batch.events.length),
    onRoleState: (state) => {
      noteRole(metrics, logger, identity, state);
      if (state.leader !== undefined) ready.resolve();
    },
    onRemoved,
    onFailed,
    onOpened: (close) => parts.add(close),
  });
  const listener = await openPeerListener(config, identity, replica, {
    onCaller: (caller) => transport?.meet(caller),
    clock,
    logger,
    metrics,
    ...openTls(peerTls),
  });
  parts.add(() => listener.close());
  replica.start();
  await ready.promise;
  await untilCurrent(replica);

  if (config.autoCompaction !== undefined) {
    const compactor = new AutoCompactor({
      settings: config.autoCompaction,
      clock,
      logger: logger.child("replica/auto-compactor"),
      isLeader: () => replica.roleState.role === "leader",
      currentRevision: () => replica.machine.mvcc.currentRevision,
      compactRevision: () => replica.machine.mvcc.compactRevision,
      compact: (command, request) => replica.propose(command, request),
    });
    parts.add(() => compactor.close());
  }
  const serving = new ServingState();
  const routes = createHttpRoutes({ replica, metrics, apiVersion: config.apiVersion });
  const received = metrics.counter("etcd_network_client_grpc_received_bytes_total");
  const sent = metrics.counter("etcd_network_client_grpc_sent_bytes_total");
  const callMetrics = createCallMetrics(metrics);
  const createGrpc = (): GrpcServer =>
    new GrpcServer({
      limits: { receiveMessageBytesMax: config.requestBytesMax + grpcOverheadBytes },
      http: routes,
      logger: logger.child("transport/grpc-server"),
      clock,
      observer: callMetrics,
      onBytes: (receivedBytes, sentBytes) => {
        received.add(receivedBytes);
        sent.add(sentBytes);
      },
    });
  const grpc = createGrpc();
  const services = createServices({
    ...config,
    clusterId: identity.clusterId,
    replica,
    storeSizeBytes: () => backend.sizeBytes(),
    hub,
    serving,
    clock,
    random,
    logger: logger.child("services/grpc"),
  });
  for (const { definition, implementation } of services) grpc.add(definition, implementation as never);
  describeMember(metrics, config, identity, replica, backend, hub);

  const clientTls = openTls(certificatesOf(config.clientTls, folder, "client", config.listenClientUrls, clock));
  const clientDoor = new FrontDoor({ grpc, http: routes, logger, clock, ...clientTls });
  const metricsDoor = new FrontDoor({ grpc: createGrpc(), http: routes, logger, clock, ...clientTls });
  parts.add(async () => {
    serving.set(false);
    await replica.leaderTransfer.handOver();
    await Promise.all([clientDoor, metricsDoor].map((door) => door.drain(drainMs.calls, drainMs.idle)));
  });
  const clientUrls: string[] = [];
  for (const url of config.listenClientUrls) clientUrls.push((await clientDoor.listen(url)).url);
  const metricsUrls: string[] = [];
  for (const url of config.listenMetricsUrls) metricsUrls.push((await metricsDoor.listen(url, "http")).url);

  const advertised = config.advertiseClientUrls.length > 0 ? config.advertiseClientUrls : clientUrls;
  await publish(replica, { id: identity.memberId, name: config.name, clientUrls: advertised }, clock, logger);
  return {
    memberId: identity.memberId,
    clusterId: identity.clusterId,
    clientUrls,
    metricsUrls,
    close: () => parts.close(),
    [Symbol.asyncDispose]: () => parts.close(),
  };
}

/** The folders that get a new name in them when this one is made, innermost first. */
function foldersThatChange(folder: string): readonly string[] {
  if (existsSync(folder)) return [];
  return [dirname(folder), ...foldersThatChange(dirname(folder))];
}

/** The folder that this version keeps its data in, made if need be. */
async function openDataDir(dataDir: string): Promise<string> {
  const folder = join(dataDir, "member");
  try {
    const made = foldersThatChange(resolve(dataDir));
    systemDisk.makeFolder(dataDir);
    const names = systemDisk.list(dataDir);
    if (names.includes("member")) {
      const inside = systemDisk.list(folder);
      if (inside.includes("wal") || inside.includes("snap")) {
        throw new StartError(`${dataDir} holds the data of an etcd member; choose another --data-dir`);
      }
    }
    systemDisk.makeFolder(folder);
    // A folder above that may not be opened was there before us, and so was this one.
    for (const above of made) await systemDisk.syncFolder(above).catch(() => undefined);
    await systemDisk.syncFolder(dataDir);
    return folder;
  } catch (cause) {
    if (cause instanceof StartError) throw cause;
    throw new StartError(`cannot use the data directory ${dataDir}: ${(cause as Error).message}`, { cause });
  }
}

/** Resolves once this member's state was current once: until then it must not answer anybody. */
async function untilCurrent(replica: Replica): Promise<void> {
  for (;;) {
    try {
      await replica.readBarrier();
      return;
    } catch (error) {
      // Without a quorum there is nothing to do but wait for one.
      if (!(error instanceof ReplicaError) || error.code !== "timed-out") throw error;
    }
  }
}

async function openPeerListener(
  config: MemberConfig,
  identity: Identity,
  replica: Replica,
  { logger, ...doors }: Pick<PeerListenerOptions, "clock" | "logger" | "metrics" | "tls" | "onCaller">,
): Promise<PeerListener> {
  const { members } = replica.machine;
  const listener = new PeerListener({
    clusterId: identity.clusterId,
    ownId: identity.memberId,
    ...doors,
    logger: logger.child("peers/peer-listener"),
    handler: replica.peerHandler,
    members: () => members.list(),
    wasRemoved: (id) => members.wasRemoved(id),
  });
  for (const url of config.listenPeerUrls) await listener.listen(url);
  return listener;
}

/** Tells the cluster this member's name and where clients find it, however long that takes. */
async function publish(replica: Replica, member: MemberAttributes, clock: Clock, logger: Logger): Promise<void> {
  const publishRetryMs = 200;
  for (;;) {
    try {
      await replica.proposeInternal({ kind: "member-publish", member });
      return;
    } catch (error) {
      if (!(error instanceof ReplicaError) || error.code.startsWith("stopped")) throw error;
      logger.log("warn", "publishing this member's name and client URLs failed; trying again", { error: error.code });
      await new Promise<void>((resolve) => clock.setTimer(publishRetryMs, resolve));
    }
  }
}

function noteRole(metrics: PrometheusMetrics, logger: Logger, identity: Identity, state: RoleState): void {
  metrics.gauge("etcd_server_has_leader").set(state.leader === undefined ? 0 : 1);
  metrics.gauge("etcd_server_is_leader").set(state.role === "leader" ? 1 : 0);
  logger.child("replica/replica").log("info", "raft state changed", {
    "local-member-id": identity.memberId.toString(16),
    role: state.role,
    term: state.term,
    leader: state.leader?.toString(16) ?? "none",
  });
}

/** Metrics that are looked up when somebody asks. */
function describeMember(
  metrics: PrometheusMetrics,
  config: MemberConfig,
  identity: Identity,
  replica: Replica,
  backend: Backend,
  hub: WatchHub,
): void {
  metrics.gauge("etcd_server_version", { server_version: config.apiVersion }).set(1);
  metrics.gauge("etcd_server_id", { server_id: identity.memberId.toString(16) }).set(1);
  metrics.gauge("etcd_server_quota_backend_bytes").set(config.quotaBytes);
  const { mvcc } = replica.machine;
  metrics.beforeScrape(() => {
    metrics.gauge("etcd_server_is_learner").set(replica.isLearner ? 1 : 0);
    const size = backend.sizeBytes();
    metrics.gauge("etcd_mvcc_db_total_size_in_bytes").set(size.total);
    metrics.gauge("etcd_mvcc_db_total_size_in_use_in_bytes").set(size.inUse);
    metrics.gauge("etcd_debugging_mvcc_current_revision").set(mvcc.currentRevision);
    metrics.gauge("etcd_debugging_mvcc_compact_revision").set(Math.max(0, mvcc.compactRevision));
    const counts = hub.counts;
    metrics.gauge("etcd_debugging_mvcc_watch_stream_total").set(counts.streams);
    metrics.gauge("etcd_debugging_mvcc_watcher_total").set(counts.watchers);
    metrics.gauge("etcd_debugging_mvcc_slow_watcher_total").set(counts.slowWatchers);
  });
}

export { FolderLockedError, StartError };
