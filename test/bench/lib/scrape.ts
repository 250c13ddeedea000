// Reads a member's /metrics: the calls it has answered, by code, and the delay of its event loop. Both servers use the
// same names for calls, so one function counts for both.

export interface MetricSample {
  readonly name: string;
  readonly labels: { readonly [label: string]: string };
  readonly value: number;
}

/** Samples of the Prometheus text format. */
export function parseMetrics(text: string): readonly MetricSample[] {
  const samples: MetricSample[] = [];
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (match === null) continue;
    const labels: { [label: string]: string } = {};
    for (const [, label = "", value = ""] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[label] = value;
    samples.push({ name: match[1]!, labels, value: Number(match[3]) });
  }
  return samples;
}

export async function scrape(endpoint: string): Promise<readonly MetricSample[]> {
  const response = await fetch(`${endpoint}/metrics`);
  if (!response.ok) throw new Error(`${endpoint}/metrics answered ${response.status}`);
  return parseMetrics(await response.text());
}

/** Calls of one method that ended, by code. */
export type HandledCalls = ReadonlyMap<string, number>;

export function handledCalls(samples: readonly MetricSample[], method: string): HandledCalls {
  const calls = new Map<string, number>();
  for (const { name, labels, value } of samples) {
    const code = labels["grpc_code"];
    if (name !== "grpc_server_handled_total" || labels["grpc_method"] !== method || code === undefined) continue;
    calls.set(code, (calls.get(code) ?? 0) + value);
  }
  return calls;
}

/** What came on top of `before`; codes without a call are left out. */
export function handledSince(before: HandledCalls, after: HandledCalls): HandledCalls {
  return new Map(
    [...after].map(([code, count]) => [code, count - (before.get(code) ?? 0)] as const).filter(([, n]) => n > 0),
  );
}

/** Delay of the event loop since the scrape before, in milliseconds; NaN where the server reports none. */
export function loopDelayMs(samples: readonly MetricSample[], quantile: "0.5" | "0.99" | "1"): number {
  const found = samples.find(
    ({ name, labels }) => name === "quorate_event_loop_delay_seconds" && labels["quantile"] === quantile,
  );
  return found === undefined ? Number.NaN : found.value * 1000;
}

/** The store's revision. */
export function storeRevision(samples: readonly MetricSample[]): number {
  return samples.find(({ name }) => name === "etcd_debugging_mvcc_current_revision")?.value ?? Number.NaN;
}
