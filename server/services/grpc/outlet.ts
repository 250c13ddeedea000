// Where a service puts the messages of a stream that come when something happens. Our transport is pushed to: no promise
// and no generator per message. Other carriers iterate. Either way the client sets the pace: what it does not take
// waits with the service, which is asked for the next message only when there is room.
import { AbortError } from "../../lib/abort.ts";
import { createDeferred, type Deferred } from "../../lib/deferred.ts";
import { type MessageSink, type PushSource, pushTo } from "../../transport/push-source.ts";

export interface OutletOptions<Message> {
  /** Ends the stream. */
  readonly signal: AbortSignal;
  /** The next message, if there is one. */
  readonly next: () => Message | undefined;
  /** Called once, however the stream ends. */
  readonly onEnd: () => void;
}

/** Outlets that were woken in this turn. One microtask serves all of them: an event may wake thousands. */
let woken: { onWoken(): void }[] = [];

function pumpWoken(): void {
  const outlets = woken;
  woken = [];
  for (const outlet of outlets) outlet.onWoken();
}

export class Outlet<Message> implements PushSource<Message> {
  readonly #options: OutletOptions<Message>;
  readonly #onAbort = (): void => this.end(new AbortError("the stream was cancelled"));
  #sink: MessageSink<Message> | undefined;
  /** The iterating side waits for a message or the end. */
  #waiting: Deferred<void> | undefined;
  #isScheduled = false;
  #isBlocked = false;
  #isFinishing = false;
  #isEnded = false;
  #failure: unknown;

  constructor(options: OutletOptions<Message>) {
    this.#options = options;
    if (options.signal.aborted) this.#onAbort();
    else options.signal.addEventListener("abort", this.#onAbort);
  }

  /** There may be messages. They are sent at the end of this turn, with all others that it brings. */
  wake(): void {
    this.#waiting?.resolve();
    if (this.#sink === undefined || this.#isScheduled || this.#isBlocked || this.#isEnded) return;
    this.#isScheduled = true;
    if (woken.push(this) === 1) queueMicrotask(pumpWoken);
  }

  /** @internal Called once after {@link Outlet.wake}, when this turn's messages are there. */
  onWoken(): void {
    this.#isScheduled = false;
    if (!this.#isBlocked) this.#pump();
  }

  /**
   * Sends a message at once, ahead of whatever `next` would give. False where it cannot be sent now, and has to come by
   * way of `next` instead.
   */
  tryWrite(message: Message): boolean {
    if (this.#sink === undefined || this.#isBlocked || this.#isEnded) return false;
    try {
      this.#isBlocked = !this.#sink.write(message);
    } catch (error) {
      this.end(error);
    }
    return true;
  }

  /** Ends the stream once there is no next message. */
  finish(): void {
    this.#isFinishing = true;
    this.wake();
  }

  /** Ends the stream at once, in failure if there is an error. Does nothing after the end. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#failure = error;
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    this.#waiting?.resolve();
    this.#options.onEnd();
    this.#sink?.end(error);
  }

  [pushTo](sink: MessageSink<Message>): void {
    this.#sink = sink;
    if (this.#isEnded) {
      sink.end(this.#failure);
      return;
    }
    sink.onReady = () => {
      this.#isBlocked = false;
      this.#pump();
    };
    this.wake();
  }

  #pump(): void {
    try {
      while (!this.#isEnded) {
        const message = this.#options.next();
        if (message === undefined) {
          if (this.#isFinishing) this.end();
          return;
        }
        if ((this.#sink as MessageSink<Message>).write(message)) continue;
        this.#isBlocked = true;
        return;
      }
    } catch (error) {
      this.end(error);
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Message> {
    try {
      for (;;) {
        if (this.#isEnded) {
          if (this.#failure !== undefined) throw this.#failure;
          return;
        }
        const message = this.#options.next();
        if (message !== undefined) {
          yield message;
          continue;
        }
        if (this.#isFinishing) return;
        this.#waiting = createDeferred();
        await this.#waiting.promise;
        this.#waiting = undefined;
      }
    } catch (error) {
      this.end(error);
      throw error;
    } finally {
      this.end();
    }
  }
}
