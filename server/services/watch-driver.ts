// Gives the watch hub its turns: as long as watchers are behind, each turn of the event loop lets them read a piece.
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { WatchHub } from "../watch/watch-hub.ts";

export class WatchDriver {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #hub: () => WatchHub;
  #isScheduled = false;
  #isClosed = false;

  /** @param hub Asked for only once there is work, since the hub itself is made with {@link WatchDriver.schedule}. */
  constructor(hub: () => WatchHub, clock: Clock, logger: Logger) {
    this.#hub = hub;
    this.#clock = clock;
    this.#logger = logger;
  }

  schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#clock.nextTurn(() => this.#run());
  }

  #run(): void {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    let hasMore: boolean;
    try {
      hasMore = this.#hub().catchUp();
    } catch (error) {
      // History that cannot be read must not be passed over: whoever needs it is told, and nobody else is disturbed.
      this.#logger.log("error", "history cannot be read; watchers that need it are cancelled", {
        error: String(error),
      });
      this.#hub().cancelUnsynced("etcdserver: corrupt cluster");
      return;
    }
    if (hasMore) this.schedule();
  }

  close(): void {
    this.#isClosed = true;
  }
}
