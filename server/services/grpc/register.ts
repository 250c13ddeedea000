// All services of a member, and the one place that says which are offered.
import { ClusterDefinition, MaintenanceDefinition } from "../../../proto/gen/etcdserverpb/rpc.ts";
import { HealthDefinition } from "../../../proto/gen/health/v1/health.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Random } from "../../lib/random.ts";
import type { Replica } from "../../replica/replica.ts";
import type { WatchHub } from "../../watch/watch-hub.ts";
import { createClusterService } from "./cluster-service.ts";
import { keepAliveWireDefinition, kvWireDefinition, leaseDefinition, watchWireDefinition } from "./definitions.ts";
import { Header } from "./header.ts";
import { createHealthService, type ServingState } from "./health-service.ts";
import { createKvService } from "./kv-service.ts";
import { createKeepAliveService, createLeaseService } from "./lease-service.ts";
import { createMaintenanceService } from "./maintenance-service.ts";
import { createServicesNotOffered } from "./not-offered.ts";
import { type OfferedService, offer } from "./offered-service.ts";
import { RpcGuard } from "./rpc-guard.ts";
import { createWatchService } from "./watch-service.ts";

export interface ServicesOptions {
  readonly clusterId: bigint;
  readonly replica: Replica;
  /** Size of the store on disk, and the part of it that holds data. */
  readonly storeSizeBytes: () => { readonly total: number; readonly inUse: number };
  readonly hub: WatchHub;
  readonly serving: ServingState;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly apiVersion: string;
  readonly txnOperationsMax: number;
  readonly requestBytesMax: number;
  readonly quotaBytes: number;
  readonly electionTimeoutMs: number;
  readonly initialClusterToken: string;
  readonly learnersMax: number;
  readonly watchProgressIntervalMs: number;
}

/** What a message may weigh beyond the request in it, as in etcd. */
export const grpcOverheadBytes = 512 * 1024;

/** The services, for any server that carries nice-grpc's. */
export function createServices(options: ServicesOptions): OfferedService[] {
  const { replica, clock, random, requestBytesMax, storeSizeBytes } = options;
  const header = new Header({
    clusterId: options.clusterId,
    memberId: replica.memberId,
    raftTerm: () => replica.roleState.term,
    revision: () => replica.machine.mvcc.currentRevision,
  });
  const guard = new RpcGuard({
    logger: options.logger,
    clock,
    hasLeader: () => replica.roleState.leader !== undefined,
    isLearner: () => replica.isLearner,
    electionTimeoutMs: options.electionTimeoutMs,
  });
  const { txnOperationsMax, apiVersion, quotaBytes } = options;
  const kv = offer(
    kvWireDefinition,
    createKvService({ replica, header, guard, clock, txnOperationsMax, streamChunkBytes: requestBytesMax }),
  );
  const watch = offer(
    watchWireDefinition,
    createWatchService({
      hub: options.hub,
      header,
      guard,
      clock,
      random: random.fork("watch"),
      progressIntervalMs: options.watchProgressIntervalMs,
      fragmentBytes: requestBytesMax + grpcOverheadBytes,
    }),
  );
  const leaseOptions = {
    replica,
    header,
    guard,
    random: random.fork("lease"),
    // etcd grants no lease shorter than one and a half elections.
    ttlSecondsMin: Math.ceil((options.electionTimeoutMs * 1.5) / 1000),
  };
  const lease = offer(leaseDefinition, createLeaseService(leaseOptions));
  const keepAlive = offer(keepAliveWireDefinition, createKeepAliveService(leaseOptions));
  const cluster = offer(
    ClusterDefinition,
    createClusterService({
      replica,
      header,
      guard,
      clock,
      initialClusterToken: options.initialClusterToken,
      learnersMax: options.learnersMax,
    }),
  );
  const maintenance = offer(
    MaintenanceDefinition,
    createMaintenanceService({ replica, storeSizeBytes, header, guard, apiVersion, quotaBytes }),
  );
  const health = offer(HealthDefinition, createHealthService(options.serving, guard));
  return [kv, watch, lease, keepAlive, cluster, maintenance, health, ...createServicesNotOffered()];
}
