// Every flag that etcd 3.5 to its main branch knows, and its feature gates: facts to hold flags-table.ts to where the
// page that they come from is not at hand.

export const etcdFlags: readonly string[] = `
name data-dir wal-dir snapshot-count snapshot-catchup-entries max-snapshots max-wals heartbeat-interval
election-timeout initial-election-tick-advance listen-peer-urls listen-client-urls listen-client-http-urls
listen-metrics-urls memory-mlock quota-backend-bytes backend-bbolt-freelist-type backend-batch-interval
backend-batch-limit bootstrap-defrag-threshold-megabytes unsafe-no-fsync force-new-cluster max-txn-ops
max-request-bytes max-concurrent-streams grpc-keepalive-min-time grpc-keepalive-interval
grpc-keepalive-timeout socket-reuse-port socket-reuse-address raft-read-timeout raft-write-timeout
enable-grpc-gateway cors host-whitelist advertise-client-urls initial-advertise-peer-urls initial-cluster
initial-cluster-state initial-cluster-token strict-reconfig-check pre-vote max-learners discovery-srv
discovery-srv-name discovery-fallback discovery-token discovery-endpoints discovery-dial-timeout
discovery-request-timeout discovery-keepalive-time discovery-keepalive-timeout discovery-insecure-transport
discovery-insecure-skip-tls-verify discovery-cert discovery-key discovery-cacert discovery-user
discovery-password discovery discovery-proxy auto-compaction-mode auto-compaction-retention
compaction-batch-limit compaction-sleep-interval corrupt-check-time compact-hash-check-time
watch-progress-notify-interval downgrade-check-time feature-gates v2-deprecation cert-file key-file
client-cert-auth client-cert-file client-key-file client-crl-file client-cert-allowed-hostname
trusted-ca-file auto-tls peer-cert-file peer-key-file peer-client-cert-auth peer-client-cert-file
peer-client-key-file peer-trusted-ca-file peer-cert-allowed-cn peer-cert-allowed-hostname peer-auto-tls
peer-crl-file peer-skip-client-san-verification self-signed-cert-validity cipher-suites tls-min-version
tls-max-version auth-token auth-token-ttl bcrypt-cost logger log-outputs log-level log-format
enable-log-rotation log-rotation-config-json warning-unary-request-duration warning-apply-duration metrics
enable-pprof enable-distributed-tracing distributed-tracing-address distributed-tracing-service-name
distributed-tracing-instance-id distributed-tracing-sampling-rate config-file version
experimental-bootstrap-defrag-threshold-megabytes experimental-compact-hash-check-enabled
experimental-compact-hash-check-time experimental-compaction-batch-limit
experimental-compaction-sleep-interval experimental-corrupt-check-time
experimental-distributed-tracing-address experimental-distributed-tracing-instance-id
experimental-distributed-tracing-sampling-rate experimental-distributed-tracing-service-name
experimental-downgrade-check-time experimental-enable-distributed-tracing
experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist experimental-enable-v2v3
experimental-initial-corrupt-check experimental-memory-mlock experimental-peer-skip-client-san-verification
experimental-snapshot-catchup-entries experimental-stop-grpc-service-on-defrag
experimental-txn-mode-write-with-shared-buffer experimental-warning-apply-duration
experimental-warning-unary-request-duration experimental-watch-progress-notify-interval enable-v2 proxy
proxy-failure-wait proxy-refresh-interval proxy-dial-timeout proxy-write-timeout proxy-read-timeout
`
  .trim()
  .split(/\s+/);

/** Names that etcd accepts and drops. */
export const etcdIgnored: readonly string[] = `
cluster-active-size cluster-remove-delay cluster-sync-interval config force max-result-buffer
max-retry-attempts peer-heartbeat-interval peer-election-timeout retry-interval snapshot v vv
test.coverprofile test.outputdir
`
  .trim()
  .split(/\s+/);

export const etcdGates: readonly string[] = `
StopGRPCServiceOnDefrag InitialCorruptCheck CompactHashCheck TxnModeWriteWithSharedBuffer LeaseCheckpoint LeaseCheckpointPersist SetMemberLocalAddr FastLeaseKeepAlive PriorityRequest
`
  .trim()
  .split(/\s+/);
