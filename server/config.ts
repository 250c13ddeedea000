// What a member is started with, once flags, environment and file have been read and checked (cli/). Everything here
// is resolved: no defaults are left to fill in, no text to parse.
import type { AutoCompaction } from "./replica/auto-compactor.ts";
import type { TlsOptions, TlsRules } from "./transport/tls-context.ts";

export interface MemberConfig {
  readonly name: string;
  /** Everything the member keeps is below this folder. */
  readonly dataDir: string;
  /** URLs of the client listeners: `http://127.0.0.1:2379`, ... Port 0 takes a free one. */
  readonly listenClientUrls: readonly string[];
  /** URLs that clients are told of. */
  readonly advertiseClientUrls: readonly string[];
  /** URLs that answer /metrics and the health checks and nothing else. */
  readonly listenMetricsUrls: readonly string[];
  readonly listenPeerUrls: readonly string[];
  readonly initialAdvertisePeerUrls: readonly string[];
  /** The cluster's members when this one starts for the very first time, by name. Not read again after that. */
  readonly initialCluster: readonly { readonly name: string; readonly peerUrls: readonly string[] }[];
  /** Whether the cluster begins with this member, or had it added while running. */
  readonly initialClusterState: "new" | "existing";
  readonly initialClusterToken: string;
  /** Refuse changes of membership that could cost the quorum. */
  readonly strictReconfigCheck: boolean;
  readonly learnersMax: number;
  /** Ask whether an election can be won before starting one. */
  readonly preVote: boolean;
  /** Entries kept in the log for members that fall behind. */
  readonly snapshotCatchUpEntries: number;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  /** Comparisons and operations that a list of a txn may have. */
  readonly txnOperationsMax: number;
  /** Largest request, in bytes. */
  readonly requestBytesMax: number;
  /** Bytes that the store may use; 0 for no limit. */
  readonly quotaBytes: number;
  readonly watchProgressIntervalMs: number;
  /** History that the cluster's leader gives up by itself; undefined: none. */
  readonly autoCompaction: AutoCompaction | undefined;
  /** For `https` and `unixs` client URLs. */
  readonly clientTls: TlsConfig | AutoTls | undefined;
  /** For `https` peer URLs, both ways. */
  readonly peerTls: TlsConfig | AutoTls | undefined;
  /** What is said where etcd would say its version. */
  readonly apiVersion: string;
}

/**
 * The member makes a certificate for itself at its first start. It encrypts, and proves nothing. The rules are for the
 * client port only.
 */
export interface AutoTls extends TlsRules {
  readonly validYears: number;
}

/** Certificates of one side of a member, its client port or its peer port. Named as etcd's flags are. */
export interface TlsConfig extends TlsOptions {
  /** A certificate to show when calling other members, if not the one above. */
  readonly clientCertFile?: string;
  readonly clientKeyFile?: string;
  /** The certificate was made by the member itself, so nobody can vouch for it: it encrypts and proves nothing. */
  readonly isSelfSigned?: boolean;
}

/** The version of etcd's API that is offered, unless a test suite says otherwise. */
export const apiVersionDefault = "3.6.0";

/** etcd's default quota. */
export const quotaBytesDefault = 2 * 1024 * 1024 * 1024;
