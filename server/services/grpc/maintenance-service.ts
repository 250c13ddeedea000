// The Maintenance service. How this member is; working on it is not offered yet.
import type { ServiceImplementation } from "nice-grpc";
import {
  type AlarmMember,
  AlarmRequest_AlarmAction,
  AlarmType,
  MaintenanceDefinition,
} from "../../../proto/gen/etcdserverpb/rpc.ts";
import type { Replica } from "../../replica/replica.ts";
import type { Alarm } from "../../state/command.ts";
import { notOffered } from "./errors.ts";
import type { Header } from "./header.ts";
import { expectResult } from "./kv-service.ts";
import type { RpcGuard } from "./rpc-guard.ts";

export interface MaintenanceServiceOptions {
  readonly replica: Replica;
  /** Size of the store on disk, and the part of it that holds data. */
  readonly storeSizeBytes: () => { readonly total: number; readonly inUse: number };
  readonly header: Header;
  readonly guard: RpcGuard;
  /** The API version that this member reports. */
  readonly apiVersion: string;
  readonly quotaBytes: number;
}

const path = (method: string): string => `/${MaintenanceDefinition.fullName}/${method}`;

export function createMaintenanceService(
  options: MaintenanceServiceOptions,
): ServiceImplementation<typeof MaintenanceDefinition> {
  const { replica, header, guard } = options;
  const refuse = (method: string): (() => Promise<never>) =>
    guard.unary(path(method), async () => {
      throw notOffered(method);
    }) as () => Promise<never>;
  return {
    status: guard.unary(path("Status"), async () => {
      const size = options.storeSizeBytes();
      const raft = replica.raftStatus();
      return {
        header: header.fields(),
        version: options.apiVersion,
        dbSize: BigInt(size.total),
        leader: raft.leader ?? 0n,
        raftIndex: BigInt(raft.commit),
        raftTerm: BigInt(raft.term),
        raftAppliedIndex: BigInt(replica.machine.appliedIndex),
        errors: [
          ...(raft.leader === undefined ? ["etcdserver: no leader"] : []),
          ...replica.machine.alarms.list().map(alarmText),
        ],
        dbSizeInUse: BigInt(size.inUse),
        isLearner: raft.confState.learners.includes(replica.memberId),
        storageVersion: options.apiVersion,
        dbSizeQuota: BigInt(options.quotaBytes),
        downgradeInfo: { enabled: false, targetVersion: "" },
      };
    }),
    alarm: guard.unary(path("Alarm"), async ({ action, alarm, memberID }) => {
      const types = typesOf(alarm);
      if (action === AlarmRequest_AlarmAction.GET) {
        await replica.readBarrier();
        const raised = replica.machine.alarms.list().filter(({ type }) => types.includes(type));
        return { header: header.fields(), alarms: raised.map(toAlarmMember) };
      }
      const isRaised = action === AlarmRequest_AlarmAction.ACTIVATE;
      const changed: Alarm[] = [];
      // Without a type there is nothing to raise or clear.
      for (const type of alarm === AlarmType.NONE ? [] : types) {
        const target = { memberId: memberID, type };
        const { result } = await replica.proposeInternal({ kind: "alarm", alarm: target, isRaised });
        if (expectResult(result, "alarm").isKnown) changed.push(target);
      }
      return { header: header.fields(), alarms: changed.map(toAlarmMember) };
    }),
    defragment: refuse("Defragment"),
    hash: refuse("Hash"),
    hashKV: refuse("HashKV"),
    // biome-ignore lint/correctness/useYield: a stream that ends before its first message
    snapshot: guard.stream(path("Snapshot"), async function* () {
      throw notOffered("Snapshot");
    }),
    moveLeader: guard.unary(path("MoveLeader"), async ({ targetID }) => {
      await replica.leaderTransfer.moveTo(targetID);
      // etcd answers this one without a header.
      return { header: undefined };
    }),
    downgrade: refuse("Downgrade"),
  };
}

const wireTypes: { readonly [T in Alarm["type"]]: AlarmType } = {
  "no-space": AlarmType.NOSPACE,
  corrupt: AlarmType.CORRUPT,
};

/** The alarm types that a request means; NONE means all. */
function typesOf(wireType: AlarmType): readonly Alarm["type"][] {
  const all = ["no-space", "corrupt"] as const;
  return all.filter((type) => wireType === AlarmType.NONE || wireTypes[type] === wireType);
}

function toAlarmMember({ memberId, type }: Alarm): AlarmMember {
  return { memberID: memberId, alarm: wireTypes[type] };
}

/** As etcd prints an alarm among the errors of a status. */
function alarmText({ memberId, type }: Alarm): string {
  return `memberID:${memberId} alarm:${type === "no-space" ? "NOSPACE" : "CORRUPT"} `;
}
