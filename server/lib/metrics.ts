// What lower floors report and count. services/metrics.ts turns these into Prometheus metrics; without it they cost
// one empty call.

export interface Counter {
  add(amount: number): void;
}

export interface Gauge {
  set(value: number): void;
}

export interface Histogram {
  /** `value` in the unit of the metric's name, seconds for `..._seconds`. */
  observe(value: number): void;
}

export type MetricLabels = { readonly [label: string]: string };

/** Hands out metrics by their full Prometheus name. Asking twice for one name and labels gives the same metric. */
export interface Metrics {
  counter(name: string, labels?: MetricLabels): Counter;
  gauge(name: string, labels?: MetricLabels): Gauge;
  histogram(name: string, labels?: MetricLabels): Histogram;
}

const nothing = { add: () => undefined, set: () => undefined, observe: () => undefined };

export const noMetrics: Metrics = {
  counter: () => nothing,
  gauge: () => nothing,
  histogram: () => nothing,
};
