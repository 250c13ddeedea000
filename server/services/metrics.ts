// Prometheus metrics. The names are etcd's where it has a counterpart, so that dashboards and alerts made for it work.
// Lower floors ask for metrics by name; what each of them is stands in the table here.
import { monitorEventLoopDelay } from "node:perf_hooks";
import prometheus from "prom-client";
import type { Counter, Gauge, Histogram, MetricLabels, Metrics } from "../lib/metrics.ts";

type Kind = "counter" | "gauge" | "histogram";

interface Description {
  readonly kind: Kind;
  readonly help: string;
  readonly labels?: readonly string[];
  readonly buckets?: readonly number[];
}

/** `count` buckets that start at `start` and grow by the factor 2, as etcd's are. */
const doubling = (start: number, count: number): number[] => Array.from({ length: count }, (_, i) => start * 2 ** i);
const loopDelayResolutionMs = 10;
const rpcLabels = ["grpc_type", "grpc_service", "grpc_method"] as const;

const descriptions: { readonly [name: string]: Description } = {
  etcd_server_version: {
    kind: "gauge",
    help: "The API version this member offers, as label.",
    labels: ["server_version"],
  },
  etcd_server_id: { kind: "gauge", help: "This member's id, as label.", labels: ["server_id"] },
  etcd_server_has_leader: { kind: "gauge", help: "1 when a leader is known." },
  etcd_server_is_leader: { kind: "gauge", help: "1 when this member leads." },
  etcd_server_is_learner: { kind: "gauge", help: "1 when this member is a learner." },
  etcd_server_leader_changes_seen_total: { kind: "counter", help: "Leader changes seen." },
  etcd_server_proposals_committed_total: { kind: "gauge", help: "Index of the last committed entry." },
  etcd_server_proposals_applied_total: { kind: "gauge", help: "Index of the last applied entry." },
  etcd_server_proposals_pending: { kind: "gauge", help: "Proposals that wait for their outcome." },
  etcd_server_proposals_failed_total: { kind: "counter", help: "Proposals without an outcome." },
  etcd_server_slow_apply_total: { kind: "counter", help: "Batches that took 100 ms or longer to apply." },
  etcd_server_slow_read_indexes_total: { kind: "counter", help: "Read requests that had to be sent again." },
  etcd_server_read_indexes_failed_total: { kind: "counter", help: "Reads that no quorum confirmed in time." },
  etcd_server_quota_backend_bytes: { kind: "gauge", help: "Bytes the store may use; 0 for no limit." },
  etcd_server_health_success: { kind: "counter", help: "Health checks that succeeded." },
  etcd_server_health_failures: { kind: "counter", help: "Health checks that failed." },
  etcd_disk_wal_fsync_duration_seconds: {
    kind: "histogram",
    help: "Time to write and sync one group of log entries.",
    buckets: doubling(0.001, 14),
  },
  etcd_disk_wal_write_bytes_total: { kind: "counter", help: "Bytes written to the log." },
  etcd_disk_backend_commit_duration_seconds: {
    kind: "histogram",
    help: "Time to commit one batch of the store, on its own thread.",
    buckets: doubling(0.001, 14),
  },
  etcd_mvcc_db_total_size_in_bytes: { kind: "gauge", help: "Size of the store's file." },
  etcd_mvcc_db_total_size_in_use_in_bytes: { kind: "gauge", help: "Part of the store's file that holds data." },
  etcd_debugging_mvcc_current_revision: { kind: "gauge", help: "Revision of the store." },
  etcd_debugging_mvcc_compact_revision: { kind: "gauge", help: "Revision the store was last compacted to." },
  etcd_debugging_mvcc_events_total: { kind: "counter", help: "Changes made to the store." },
  etcd_debugging_mvcc_watch_stream_total: { kind: "gauge", help: "Open watch streams." },
  etcd_debugging_mvcc_watcher_total: { kind: "gauge", help: "Watchers." },
  etcd_debugging_mvcc_slow_watcher_total: { kind: "gauge", help: "Watchers that are behind." },
  etcd_debugging_lease_granted_total: { kind: "counter", help: "Leases granted." },
  etcd_debugging_lease_revoked_total: { kind: "counter", help: "Leases revoked." },
  etcd_debugging_lease_renewed_total: { kind: "counter", help: "Leases renewed." },
  etcd_debugging_server_lease_expired_total: { kind: "counter", help: "Leases that ran out." },
  etcd_network_client_grpc_received_bytes_total: { kind: "counter", help: "Bytes received from clients." },
  etcd_network_client_grpc_sent_bytes_total: { kind: "counter", help: "Bytes sent to clients." },
  etcd_network_peer_sent_bytes_total: { kind: "counter", help: "Bytes sent to a member.", labels: ["To"] },
  etcd_network_peer_sent_failures_total: { kind: "counter", help: "Sends to a member that failed.", labels: ["To"] },
  etcd_network_peer_received_bytes_total: { kind: "counter", help: "Bytes received from a member.", labels: ["From"] },
  etcd_snap_db_save_total_duration_seconds: {
    kind: "histogram",
    help: "Time to make and send a snapshot.",
    buckets: doubling(0.1, 10),
  },
  quorate_snapshot_send_failures_total: { kind: "counter", help: "Snapshots that did not reach a member." },
  grpc_server_started_total: { kind: "counter", help: "RPCs started.", labels: rpcLabels },
  grpc_server_handled_total: { kind: "counter", help: "RPCs ended, by code.", labels: [...rpcLabels, "grpc_code"] },
  grpc_server_msg_received_total: { kind: "counter", help: "Messages received from clients.", labels: rpcLabels },
  grpc_server_msg_sent_total: { kind: "counter", help: "Messages sent to clients.", labels: rpcLabels },
  quorate_event_loop_delay_seconds: {
    kind: "gauge",
    help: "Delay of the event loop since the last scrape.",
    labels: ["quantile"],
  },
};

// Calls count in plain numbers; the library, whose counters cost a hash of their labels, sees them when it is scraped.

class PlainCounter implements Counter {
  #value = 0;
  #shown = 0;
  readonly #show: (amount: number) => void;

  constructor(show: (amount: number) => void) {
    this.#show = show;
  }

  add(amount: number): void {
    this.#value += amount;
  }

  show(): void {
    this.#show(this.#value - this.#shown);
    this.#shown = this.#value;
  }
}

class PlainGauge implements Gauge {
  #value: number | undefined;
  readonly #show: (value: number) => void;

  constructor(show: (value: number) => void) {
    this.#show = show;
  }

  set(value: number): void {
    this.#value = value;
  }

  show(): void {
    if (this.#value !== undefined) this.#show(this.#value);
  }
}

/** Observations that nobody has looked at yet. */
const waitingMax = 1000;

/** Hands observations on many at a time: each one by itself costs more than what is often measured. */
class PlainHistogram implements Histogram {
  #waiting: number[] = [];
  readonly #show: (value: number) => void;

  constructor(show: (value: number) => void) {
    this.#show = show;
  }

  observe(value: number): void {
    this.#waiting.push(value);
    if (this.#waiting.length >= waitingMax) this.show();
  }

  show(): void {
    for (const value of this.#waiting) this.#show(value);
    this.#waiting = [];
  }
}

type PlainMetric = PlainCounter | PlainGauge | PlainHistogram;
type AnyMetric = prometheus.Counter | prometheus.Gauge | prometheus.Histogram;

export class PrometheusMetrics implements Metrics {
  readonly #registry = new prometheus.Registry();
  readonly #metrics = new Map<string, AnyMetric>();
  readonly #numbers = new Map<string, PlainMetric>();
  readonly #refreshers: (() => void)[] = [];
  readonly #loopDelay = monitorEventLoopDelay({ resolution: loopDelayResolutionMs });

  constructor() {
    for (const [name, description] of Object.entries(descriptions))
      this.#metrics.set(name, this.#create(name, description));
    prometheus.collectDefaultMetrics({ register: this.#registry });
    this.#loopDelay.enable();
    this.beforeScrape(() => this.#refreshLoopDelay());
  }

  #create(name: string, { kind, help, labels = [], buckets = [] }: Description): AnyMetric {
    const base = { name, help, labelNames: [...labels], registers: [this.#registry] };
    if (kind === "counter") return new prometheus.Counter(base);
    if (kind === "gauge") return new prometheus.Gauge(base);
    return new prometheus.Histogram({ ...base, buckets: [...buckets] });
  }

  #find(name: string): AnyMetric {
    const metric = this.#metrics.get(name);
    if (metric === undefined) throw new Error(`no metric is described under the name ${name}`);
    return metric;
  }

  counter(name: string, labels?: MetricLabels): Counter {
    return this.#plain(name, labels, (metric: prometheus.Counter) => {
      const child = labels === undefined ? metric : metric.labels(labels);
      return new PlainCounter((amount) => child.inc(amount));
    });
  }

  gauge(name: string, labels?: MetricLabels): Gauge {
    return this.#plain(name, labels, (metric: prometheus.Gauge) => {
      const child = labels === undefined ? metric : metric.labels(labels);
      return new PlainGauge((value) => child.set(value));
    });
  }

  #plain<Metric extends AnyMetric, Plain extends PlainMetric>(
    name: string,
    labels: MetricLabels | undefined,
    create: (metric: Metric) => Plain,
  ): Plain {
    const id = labels === undefined ? name : `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
    const known = this.#numbers.get(id) as Plain | undefined;
    if (known !== undefined) return known;
    const number = create(this.#find(name) as Metric);
    // Seen as zero from the start, so that a rate over the first event is right.
    if (number instanceof PlainCounter) number.show();
    this.#numbers.set(id, number);
    return number;
  }

  histogram(name: string, labels?: MetricLabels): Histogram {
    return this.#plain(name, labels, (metric: prometheus.Histogram) => {
      const child = labels === undefined ? metric : metric.labels(labels);
      return new PlainHistogram((value) => child.observe(value));
    });
  }

  /** Has `refresh` set gauges whenever somebody asks, for what is cheaper to look up than to follow. */
  beforeScrape(refresh: () => void): void {
    this.#refreshers.push(refresh);
  }

  #refreshLoopDelay(): void {
    for (const [quantile, percentile] of [
      ["0.5", 50],
      ["0.99", 99],
      ["1", 100],
    ] as const) {
      const nanoseconds = percentile === 100 ? this.#loopDelay.max : this.#loopDelay.percentile(percentile);
      // What is measured is the time between two looks; what comes on top of the interval is delay.
      const delayMs = Math.max(0, nanoseconds / 1e6 - loopDelayResolutionMs);
      this.gauge("quorate_event_loop_delay_seconds", { quantile }).set(delayMs / 1e3);
    }
    this.#loopDelay.reset();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async scrape(): Promise<string> {
    for (const refresh of this.#refreshers) refresh();
    for (const number of this.#numbers.values()) number.show();
    return this.#registry.metrics();
  }

  close(): void {
    this.#loopDelay.disable();
    this.#registry.clear();
  }
}
