// Every flag of a member: all of etcd's, 3.5 to its main branch, with etcd 3.6's defaults, and what each does here. Data
// only. Reading them is parse-flags.ts, what follows from them resolve-config.ts.
import { type Flag, type FlagGroup, ignored, noEffect, notOffered, renamed, used } from "./flag.ts";

const noOwnCalls = "a member makes no calls to its own client port";
const noSanCheck = "members' names are checked only when --peer-cert-allowed-... says so";
const noDiscovery = "members find each other through --initial-cluster only";
const ownTiming = "raft and its connections here have their own timing";
const notYet = "this version does not offer it yet";
const ownStore = "the store here is LMDB, which needs no such setting";
const noFiles = "there are no such files here: applied log segments are used again";
const ownLimits = "the transport has limits of its own";

export const flagGroups: readonly FlagGroup[] = [
  {
    title: "Member and storage",
    flags: [
      used("name", "text", "default", "Name of this member."),
      used("data-dir", "text", "<name>.quorate", "Folder that everything is kept in."),
      notOffered("wal-dir", "text", "", "Folder for the log.", "the log is kept below --data-dir"),
      noEffect(
        "snapshot-count",
        "integer",
        "10000",
        "Entries between two snapshots.",
        "the store flushes by its own rule",
      ),
      used("snapshot-catchup-entries", "integer", "5000", "Entries kept for members that fall behind."),
      noEffect("max-snapshots", "integer", "5", "Snapshot files kept.", noFiles),
      noEffect("max-wals", "integer", "5", "Log files kept.", noFiles),
      used("heartbeat-interval", "integer", "100", "Time between heartbeats, in milliseconds."),
      used("election-timeout", "integer", "1000", "Time without a leader until an election, in milliseconds."),
      noEffect("initial-election-tick-advance", "boolean", "true", "Hurry the first election.", ownTiming),
      used("listen-client-urls", "urls", "http://localhost:2379", "Where to listen for clients."),
      used("listen-peer-urls", "urls", "http://localhost:2380", "Where to listen for other members."),
      notOffered("listen-client-http-urls", "urls", "", "HTTP apart from gRPC.", "both are served on the client URLs"),
      used("listen-metrics-urls", "urls", "", "Where else to answer /metrics and the health checks."),
      notOffered("memory-mlock", "boolean", "false", "Keep all memory out of swap.", "Node.js cannot lock memory"),
      used("quota-backend-bytes", "integer", "0", "Size the store may reach; 0 means 2 GiB, below 0 no limit."),
      noEffect("backend-bbolt-freelist-type", "text", "map", "How bbolt keeps free pages.", ownStore, {
        choices: ["map", "array"],
      }),
      noEffect("backend-batch-interval", "duration", "0s", "Time between commits of the store.", ownStore),
      noEffect("backend-batch-limit", "integer", "0", "Writes per commit of the store.", ownStore),
      noEffect("bootstrap-defrag-threshold-megabytes", "integer", "0", "Defragment at start.", ownStore),
      noEffect("unsafe-no-fsync", "boolean", "false", "Answer before data is safe.", "data is always made safe first"),
      notOffered("force-new-cluster", "boolean", "false", "Make a cluster of one from one member.", notYet),
    ],
  },
  {
    title: "Requests and transport",
    flags: [
      used("max-txn-ops", "integer", "128", "Operations that each list of a txn may have."),
      used("max-request-bytes", "integer", "1572864", "Largest request, in bytes."),
      noEffect("max-concurrent-streams", "integer", "4294967295", "Calls at once on a connection.", ownLimits),
      noEffect("grpc-keepalive-min-time", "duration", "5s", "Shortest time between a client's pings.", ownLimits),
      noEffect("grpc-keepalive-interval", "duration", "2h0m0s", "Time between pings to clients.", ownLimits),
      noEffect("grpc-keepalive-timeout", "duration", "20s", "Time a client has to answer a ping.", ownLimits),
      notOffered(
        "socket-reuse-port",
        "boolean",
        "false",
        "Share ports with other processes.",
        "Node.js has no such option",
      ),
      noEffect("socket-reuse-address", "boolean", "false", "Bind addresses just freed.", "that is always so here"),
      noEffect("raft-read-timeout", "duration", "5s", "Time a peer has to send.", ownTiming),
      noEffect("raft-write-timeout", "duration", "5s", "Time a peer has to receive.", ownTiming),
      noEffect("enable-grpc-gateway", "boolean", "true", "Serve JSON over HTTP.", "this version has no JSON gateway"),
      notOffered("cors", "list", "*", "Origins that browsers may call from.", "this version has no JSON gateway"),
      notOffered(
        "host-whitelist",
        "list",
        "*",
        "Host names that HTTP requests may carry.",
        "they are not checked here",
      ),
    ],
  },
  {
    title: "Clustering",
    flags: [
      used("advertise-client-urls", "urls", "http://localhost:2379", "Client URLs that others are told of."),
      used("initial-advertise-peer-urls", "urls", "http://localhost:2380", "Peer URLs that others are told of."),
      used("initial-cluster", "list", "<name>=<initial-advertise-peer-urls>", "First members: name=url,name=url,..."),
      used("initial-cluster-state", "text", "new", "Start a cluster, or join one that runs.", {
        choices: ["new", "existing"],
      }),
      used(
        "initial-cluster-token",
        "text",
        "etcd-cluster",
        "Word that keeps clusters apart; part of the cluster's id.",
      ),
      used("strict-reconfig-check", "boolean", "true", "Refuse changes that could lose the quorum."),
      used("pre-vote", "boolean", "true", "Ask whether an election can be won before starting one."),
      used("max-learners", "integer", "1", "Members without a vote that there may be."),
      notOffered("discovery-srv", "text", "", "DNS domain that names the members.", noDiscovery),
      notOffered("discovery-srv-name", "text", "", "Suffix of the DNS service name.", noDiscovery),
      noEffect("discovery-fallback", "text", "exit", "What to do when discovery fails.", noDiscovery, {
        choices: ["exit", "proxy"],
      }),
      notOffered("discovery-token", "text", "", "Token of the discovery service.", noDiscovery),
      notOffered("discovery-endpoints", "list", "", "Members of the discovery service.", noDiscovery),
      noEffect("discovery-dial-timeout", "duration", "2s", "Time to connect to it.", noDiscovery),
      noEffect("discovery-request-timeout", "duration", "5s", "Time for a request to it.", noDiscovery),
      noEffect("discovery-keepalive-time", "duration", "2s", "Time between pings to it.", noDiscovery),
      noEffect("discovery-keepalive-timeout", "duration", "6s", "Time it has to answer a ping.", noDiscovery),
      noEffect("discovery-insecure-transport", "boolean", "true", "Talk to it without TLS.", noDiscovery),
      noEffect("discovery-insecure-skip-tls-verify", "boolean", "false", "Trust any certificate.", noDiscovery),
      notOffered("discovery-cert", "text", "", "Certificate for it.", noDiscovery),
      notOffered("discovery-key", "text", "", "Key of that certificate.", noDiscovery),
      notOffered("discovery-cacert", "text", "", "Authority of its certificate.", noDiscovery),
      notOffered("discovery-user", "text", "", "User there.", noDiscovery),
      notOffered("discovery-password", "text", "", "Password of that user.", noDiscovery),
      notOffered("discovery", "text", "", "URL of the old discovery service.", noDiscovery),
      notOffered("discovery-proxy", "text", "", "HTTP proxy to it.", noDiscovery),
    ],
  },
  {
    title: "Compaction, checks, features",
    flags: [
      used("auto-compaction-mode", "text", "periodic", "How --auto-compaction-retention is read.", {
        choices: ["periodic", "revision"],
      }),
      used(
        "auto-compaction-retention",
        "text",
        "0",
        "History to keep when compacting by itself: hours (8), a time (90m), or revisions in revision mode; 0 for all.",
      ),
      noEffect("compaction-batch-limit", "integer", "0", "Revisions removed in one go.", "it is done in small steps"),
      noEffect("compaction-sleep-interval", "duration", "0s", "Pause between two.", "it is done in small steps"),
      notOffered("corrupt-check-time", "duration", "0s", "Compare data between members.", notYet),
      noEffect("compact-hash-check-time", "duration", "1m0s", "Compare hashes of compactions.", notYet),
      used(
        "watch-progress-notify-interval",
        "duration",
        "0s",
        "Time between progress notes of idle watches; 0 means 10m.",
      ),
      noEffect("downgrade-check-time", "duration", "5s", "Time between checks for a downgrade.", notYet),
      used("feature-gates", "list", "", "Features to switch: Name=true,Name=false,..."),
      noEffect("v2-deprecation", "text", "write-only", "Phase of the old API.", "the old API was never here", {
        choices: ["not-yet", "write-only", "write-only-drop-data", "gone"],
      }),
    ],
  },
  {
    title: "TLS and authentication",
    flags: [
      used("cert-file", "text", "", "Certificate for clients to see."),
      used("key-file", "text", "", "Key of that certificate."),
      used("client-cert-auth", "boolean", "false", "Ask clients for certificates."),
      noEffect("client-cert-file", "text", "", "Certificate for calls this member makes.", noOwnCalls),
      noEffect("client-key-file", "text", "", "Key of that certificate.", noOwnCalls),
      used("client-crl-file", "text", "", "Client certificates taken back."),
      used("client-cert-allowed-hostname", "list", "", "Names that client certificates may have."),
      used("trusted-ca-file", "text", "", "Authority of client certificates."),
      used("auto-tls", "boolean", "false", "Make a certificate for clients."),
      used("peer-cert-file", "text", "", "Certificate for members to see."),
      used("peer-key-file", "text", "", "Key of that certificate."),
      used("peer-client-cert-auth", "boolean", "false", "Ask members for certificates."),
      used("peer-client-cert-file", "text", "", "Certificate for calls to members."),
      used("peer-client-key-file", "text", "", "Key of that certificate."),
      used("peer-trusted-ca-file", "text", "", "Authority of members' certificates."),
      used("peer-cert-allowed-cn", "list", "", "Common names that members may have."),
      used("peer-cert-allowed-hostname", "list", "", "Names that members' certificates may have."),
      used("peer-auto-tls", "boolean", "false", "Make a certificate for members."),
      used("peer-crl-file", "text", "", "Members' certificates taken back."),
      noEffect("peer-skip-client-san-verification", "boolean", "false", "Skip a check of members' names.", noSanCheck),
      used("self-signed-cert-validity", "integer", "1", "Years that certificates made by the member are good for."),
      used("cipher-suites", "list", "", "TLS cipher suites."),
      used("tls-min-version", "text", "TLS1.2", "Oldest TLS version.", { choices: ["TLS1.2", "TLS1.3"] }),
      used("tls-max-version", "text", "", "Newest TLS version.", { choices: ["", "TLS1.2", "TLS1.3"] }),
      notOffered("auth-token", "text", "simple", "Kind of auth tokens.", "this version has no users and roles"),
      noEffect(
        "auth-token-ttl",
        "integer",
        "300",
        "Life of a token, in seconds.",
        "this version has no users and roles",
      ),
      noEffect("bcrypt-cost", "integer", "10", "Cost of a password check.", "this version has no users and roles"),
    ],
  },
  {
    title: "Logs, metrics, tracing",
    flags: [
      used("logger", "text", "zap", "Only zap, which stands for lines like etcd's.", { choices: ["zap"] }),
      used("log-outputs", "list", "default", "Where the log goes: default (stderr), stderr, stdout or files."),
      used("log-level", "text", "info", "Least level that is logged.", {
        choices: ["debug", "info", "warn", "error", "panic", "fatal"],
      }),
      used("log-format", "text", "json", "json or console. On a terminal, without this flag, lines are for people.", {
        choices: ["json", "console"],
      }),
      used(
        "enable-log-rotation",
        "boolean",
        "false",
        "Begin a new log file when one is full; needs one file as output.",
      ),
      used(
        "log-rotation-config-json",
        "text",
        '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}',
        "When a log file is full (megabytes) and which old ones are kept (days, number).",
      ),
      noEffect("warning-unary-request-duration", "duration", "300ms", "Report slower requests.", "none are reported"),
      noEffect("warning-apply-duration", "duration", "100ms", "Report slower commands.", "none are reported"),
      noEffect("metrics", "text", "basic", "How much is measured.", "there is one set of metrics", {
        choices: ["basic", "extensive"],
      }),
      notOffered("enable-pprof", "boolean", "false", "Serve profiles.", "start Node.js with --inspect or --cpu-prof"),
      notOffered("enable-distributed-tracing", "boolean", "false", "Send traces.", "there is no tracing here"),
      noEffect("distributed-tracing-address", "text", "localhost:4317", "Where to.", "there is no tracing here"),
      noEffect("distributed-tracing-service-name", "text", "etcd", "Under which name.", "there is no tracing here"),
      noEffect("distributed-tracing-instance-id", "text", "", "Under which id.", "there is no tracing here"),
      noEffect("distributed-tracing-sampling-rate", "integer", "0", "How many.", "there is no tracing here"),
    ],
  },
  {
    title: "Other",
    flags: [
      used("config-file", "text", "", "YAML file with the same settings."),
      used("version", "boolean", "false", "Print the version and exit.", { isCommandLineOnly: true }),
      used("help", "boolean", "false", "Print this and exit.", { isCommandLineOnly: true }),
    ],
  },
];

const gates = "feature-gates";
const noV2 = "the old API was never here";

/** Spellings of etcd 3.5 and 3.6 that later ones dropped. */
export const olderFlags: readonly Flag[] = [
  renamed("experimental-bootstrap-defrag-threshold-megabytes", "integer", "bootstrap-defrag-threshold-megabytes"),
  renamed("experimental-compact-hash-check-enabled", "boolean", gates, "CompactHashCheck"),
  renamed("experimental-compact-hash-check-time", "duration", "compact-hash-check-time"),
  renamed("experimental-compaction-batch-limit", "integer", "compaction-batch-limit"),
  renamed("experimental-compaction-sleep-interval", "duration", "compaction-sleep-interval"),
  renamed("experimental-corrupt-check-time", "duration", "corrupt-check-time"),
  renamed("experimental-distributed-tracing-address", "text", "distributed-tracing-address"),
  renamed("experimental-distributed-tracing-instance-id", "text", "distributed-tracing-instance-id"),
  renamed("experimental-distributed-tracing-sampling-rate", "integer", "distributed-tracing-sampling-rate"),
  renamed("experimental-distributed-tracing-service-name", "text", "distributed-tracing-service-name"),
  renamed("experimental-downgrade-check-time", "duration", "downgrade-check-time"),
  renamed("experimental-enable-distributed-tracing", "boolean", "enable-distributed-tracing"),
  renamed("experimental-enable-lease-checkpoint", "boolean", gates, "LeaseCheckpoint"),
  renamed("experimental-enable-lease-checkpoint-persist", "boolean", gates, "LeaseCheckpointPersist"),
  renamed("experimental-initial-corrupt-check", "boolean", gates, "InitialCorruptCheck"),
  renamed("experimental-memory-mlock", "boolean", "memory-mlock"),
  renamed("experimental-peer-skip-client-san-verification", "boolean", "peer-skip-client-san-verification"),
  renamed("experimental-snapshot-catchup-entries", "integer", "snapshot-catchup-entries"),
  renamed("experimental-stop-grpc-service-on-defrag", "boolean", gates, "StopGRPCServiceOnDefrag"),
  renamed("experimental-txn-mode-write-with-shared-buffer", "boolean", gates, "TxnModeWriteWithSharedBuffer"),
  renamed("experimental-warning-apply-duration", "duration", "warning-apply-duration"),
  renamed("experimental-warning-unary-request-duration", "duration", "warning-unary-request-duration"),
  renamed("experimental-watch-progress-notify-interval", "duration", "watch-progress-notify-interval"),
  notOffered("experimental-enable-v2v3", "text", "", "Serve the old API.", noV2),
  notOffered("enable-v2", "boolean", "false", "Serve the old API.", noV2),
  notOffered("proxy", "text", "off", "Be a proxy of the old API.", noV2, { choices: ["off", "readonly", "on"] }),
  noEffect("proxy-failure-wait", "integer", "5000", "Of the old proxy.", noV2),
  noEffect("proxy-refresh-interval", "integer", "30000", "Of the old proxy.", noV2),
  noEffect("proxy-dial-timeout", "integer", "1000", "Of the old proxy.", noV2),
  noEffect("proxy-write-timeout", "integer", "5000", "Of the old proxy.", noV2),
  noEffect("proxy-read-timeout", "integer", "0", "Of the old proxy.", noV2),
];

/** Names that etcd takes for old times' sake and drops. */
export const ignoredFlags: readonly Flag[] = [
  "cluster-active-size",
  "cluster-remove-delay",
  "cluster-sync-interval",
  "config",
  "force",
  "max-result-buffer",
  "max-retry-attempts",
  "peer-heartbeat-interval",
  "peer-election-timeout",
  "retry-interval",
  "snapshot",
  "v",
  "vv",
  "test.coverprofile",
  "test.outputdir",
].map(ignored);

/** Every flag by its name. */
export const flagsByName: ReadonlyMap<string, Flag> = new Map(
  [...flagGroups.flatMap(({ flags }) => flags), ...olderFlags, ...ignoredFlags].map((flag) => [flag.name, flag]),
);

/** A feature that can be switched, with what etcd says of it. None of them changes anything here. */
export interface FeatureGate {
  readonly name: string;
  readonly default: boolean;
  readonly stage: "alpha" | "beta";
}

export const featureGates: readonly FeatureGate[] = [
  { name: "StopGRPCServiceOnDefrag", default: false, stage: "alpha" },
  { name: "InitialCorruptCheck", default: false, stage: "alpha" },
  { name: "CompactHashCheck", default: false, stage: "alpha" },
  { name: "TxnModeWriteWithSharedBuffer", default: true, stage: "beta" },
  { name: "LeaseCheckpoint", default: false, stage: "alpha" },
  { name: "LeaseCheckpointPersist", default: false, stage: "alpha" },
  { name: "SetMemberLocalAddr", default: false, stage: "alpha" },
  { name: "FastLeaseKeepAlive", default: true, stage: "beta" },
  { name: "PriorityRequest", default: false, stage: "alpha" },
];
