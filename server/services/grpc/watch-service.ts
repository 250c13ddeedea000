// The Watch service: one stream of requests in, one of responses out, and the hub in between.

import type { ServiceImplementation } from "nice-grpc";
import type { CallContext } from "nice-grpc-common";
import {
  type WatchCreateRequest,
  WatchCreateRequest_FilterType,
  type WatchRequest,
} from "../../../proto/gen/etcdserverpb/rpc.ts";
import { byteStringFrom } from "../../lib/byte-string.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Random } from "../../lib/random.ts";
import { keyRangeOf } from "../../state/key-range.ts";
import type { WatchCreate, WatchHub } from "../../watch/watch-hub.ts";
import type { WatchStream } from "../../watch/watch-stream.ts";
import { type Answer, EventsAnswer } from "./answers.ts";
import { toWatchAnswers } from "./convert.ts";
import { watchWireDefinition } from "./definitions.ts";
import type { Header } from "./header.ts";
import { Inlet } from "./inlet.ts";
import { Outlet } from "./outlet.ts";
import type { RpcGuard } from "./rpc-guard.ts";

export interface WatchServiceOptions {
  readonly hub: WatchHub;
  readonly header: Header;
  readonly guard: RpcGuard;
  readonly clock: Clock;
  readonly random: Random;
  /** Time between regular progress notices. A tenth of it is added by chance, so that streams do not speak in chorus. */
  readonly progressIntervalMs: number;
  /** Responses above this size are split when the client allows it. */
  readonly fragmentBytes: number;
}

export function createWatchService(options: WatchServiceOptions): ServiceImplementation<typeof watchWireDefinition> {
  return {
    watch: options.guard.stream(watchWireDefinition.watch.path, (requests, context) =>
      serveStream(options, requests, context),
    ),
  };
}

function serveStream(
  options: WatchServiceOptions,
  requests: AsyncIterable<WatchRequest>,
  { signal }: CallContext,
): AsyncIterable<Answer> {
  const { hub, header } = options;
  const stream = hub.openStream(() => outlet.wake());
  const progress = startProgress(options, stream);
  /** A message in several pieces is sent piece by piece. */
  let pieces: Answer[] = [];
  let inlet: Inlet<WatchRequest> | undefined;
  const outlet = new Outlet<Answer>({
    signal,
    next: () => {
      if (pieces.length > 0) return pieces.shift();
      const message = stream.take();
      if (!stream.isOverrun) inlet?.resume();
      if (message === undefined) return undefined;
      if (message.kind === "events" && (!message.allowsFragments || message.bytes < options.fragmentBytes)) {
        return new EventsAnswer(header, message, 0, message.events.length, false);
      }
      pieces = toWatchAnswers(header, message, options.fragmentBytes);
      return pieces.shift();
    },
    onEnd: () => {
      progress.stop();
      hub.closeStream(stream);
      inlet?.stop();
    },
  });
  inlet = new Inlet(requests, {
    take: (request) => {
      serveRequest(hub, stream, request, progress);
      // A client that does not read its answers finds its requests unread as well.
      return !stream.isOverrun;
    },
    // A client that is done asking stays to listen, so the end of its requests ends nothing.
    onEnd: (error) => {
      if (error !== undefined) outlet.end(error);
    },
  });
  return outlet;
}

function serveRequest(
  hub: WatchHub,
  stream: WatchStream,
  { requestUnion }: WatchRequest,
  progress: ProgressTimer,
): void {
  switch (requestUnion?.$case) {
    case "createRequest":
      hub.create(stream, toWatchCreate(requestUnion.value));
      if (requestUnion.value.progressNotify) progress.start();
      break;
    case "cancelRequest":
      hub.cancel(stream, requestUnion.value.watchId);
      break;
    case "progressRequest":
      hub.requestProgress(stream);
      break;
    case undefined:
      // A kind of request that this version does not know is passed over, as etcd does.
      break;
  }
}

function toWatchCreate(request: WatchCreateRequest): WatchCreate {
  const { filters } = request;
  // An empty key means the smallest one.
  const key = request.key.length === 0 ? "\0" : byteStringFrom(request.key);
  return {
    range: keyRangeOf(key, byteStringFrom(request.rangeEnd)),
    startRevision: clampToSafeInteger(request.startRevision),
    watchId: request.watchId,
    wantsPuts: !filters.includes(WatchCreateRequest_FilterType.NOPUT),
    wantsDeletes: !filters.includes(WatchCreateRequest_FilterType.NODELETE),
    wantsPrevious: request.prevKv,
    wantsProgress: request.progressNotify,
    allowsFragments: request.fragment,
  };
}

function clampToSafeInteger(value: bigint): number {
  if (value > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER;
  return value < 0n ? -1 : Number(value);
}

interface ProgressTimer {
  /** Starts the notices if they have not started. */
  start(): void;
  stop(): void;
}

function startProgress(options: WatchServiceOptions, stream: WatchStream): ProgressTimer {
  const intervalMs = options.progressIntervalMs * (1 + options.random.next() / 10);
  let timer: { cancel(): void } | undefined;
  const tick = (): void => {
    options.hub.notifyProgress(stream);
    timer = options.clock.setTimer(intervalMs, tick);
  };
  return {
    start: () => {
      timer ??= options.clock.setTimer(intervalMs, tick);
    },
    stop: () => timer?.cancel(),
  };
}
