// Counts calls and messages per method, under the names that grpc-go's servers, and so etcd's dashboards, use.
import type { Counter, Histogram, Metrics } from "../lib/metrics.ts";
import type { CallObserver } from "./call-observer.ts";
import type { GrpcMethod } from "./grpc-method.ts";
import { statusNames } from "./grpc-status.ts";

interface MethodCounters {
  readonly started: Counter;
  readonly received: Counter;
  readonly sent: Counter;
  /** By status code, made when a code is first met. */
  readonly handled: (Counter | undefined)[];
  readonly seconds: Histogram | undefined;
}

export interface CallMetricsOptions {
  /** Observe how long calls take, too: etcd's --metrics=extensive. */
  readonly durations?: boolean;
}

export function createCallMetrics(metrics: Metrics, options: CallMetricsOptions = {}): CallObserver {
  const known = new Map<GrpcMethod, MethodCounters>();

  const labelsOf = ({ kind, service, name }: GrpcMethod) => ({
    grpc_type: kind,
    grpc_service: service,
    grpc_method: name,
  });
  const countersOf = (method: GrpcMethod): MethodCounters => {
    let counters = known.get(method);
    if (counters === undefined) {
      const labels = labelsOf(method);
      counters = {
        started: metrics.counter("grpc_server_started_total", labels),
        received: metrics.counter("grpc_server_msg_received_total", labels),
        sent: metrics.counter("grpc_server_msg_sent_total", labels),
        handled: [],
        seconds: options.durations === true ? metrics.histogram("grpc_server_handling_seconds", labels) : undefined,
      };
      known.set(method, counters);
    }
    return counters;
  };

  const handledOf = (method: GrpcMethod, code: number): Counter => {
    const { handled } = countersOf(method);
    handled[code] ??= metrics.counter("grpc_server_handled_total", {
      ...labelsOf(method),
      grpc_code: statusNames[code] ?? String(code),
    });
    return handled[code];
  };

  return {
    onOffered(method) {
      // Zero for every outcome from the start, so that a rate over a first error is seen.
      for (let code = 0; code < statusNames.length; code++) handledOf(method, code);
    },
    onStart(method) {
      countersOf(method).started.add(1);
    },
    afterCall(method, { code }, durationSeconds) {
      handledOf(method, code).add(1);
      countersOf(method).seconds?.observe(durationSeconds);
    },
    onMessage(method, direction) {
      const { received, sent } = countersOf(method);
      if (direction === "received") received.add(1);
      else sent.add(1);
    },
  };
}
