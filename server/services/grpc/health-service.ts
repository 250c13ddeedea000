// The standard gRPC health service, for the server as a whole, which has the empty name.

import type { ServiceImplementation } from "nice-grpc";
import { ServerError, Status } from "nice-grpc-common";
import {
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthDefinition,
} from "../../../proto/gen/health/v1/health.ts";
import { AbortError } from "../../lib/abort.ts";
import { createDeferred, type Deferred } from "../../lib/deferred.ts";
import type { RpcGuard } from "./rpc-guard.ts";

const path = (method: string): string => `/${HealthDefinition.fullName}/${method}`;

/** Whether the member serves, and who wants to hear when that changes. */
export class ServingState {
  #isServing = true;
  #changed: Deferred<void> = createDeferred();

  get isServing(): boolean {
    return this.#isServing;
  }

  /** Settles with the next change. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  set(isServing: boolean): void {
    if (this.#isServing === isServing) return;
    this.#isServing = isServing;
    this.#changed.resolve();
    this.#changed = createDeferred();
  }
}

export function createHealthService(
  serving: ServingState,
  guard: RpcGuard,
): ServiceImplementation<typeof HealthDefinition> {
  const answer = (): HealthCheckResponse => ({
    status: serving.isServing
      ? HealthCheckResponse_ServingStatus.SERVING
      : HealthCheckResponse_ServingStatus.NOT_SERVING,
  });
  return {
    check: guard.unary(path("Check"), async ({ service }) => {
      if (service !== "") throw new ServerError(Status.NOT_FOUND, "unknown service");
      return answer();
    }),
    watch: guard.stream(path("Watch"), async function* ({ service }, { signal }) {
      const aborted = createDeferred<void>();
      signal.addEventListener("abort", () => aborted.resolve());
      if (service !== "") yield { status: HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN };
      while (!signal.aborted) {
        if (service === "") yield answer();
        await Promise.race([service === "" ? serving.changed : aborted.promise, aborted.promise]);
      }
      throw new AbortError();
    }),
  };
}
