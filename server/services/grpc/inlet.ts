// How the requests of a stream reach a service that takes them one by one, the mirror of outlet.ts. Our transport pushes
// them: no promise per message. Other carriers are iterated over. Either way the service sets the pace.
import { createDeferred, type Deferred } from "../../lib/deferred.ts";
import { type MessageSink, type PushSource, pushTo } from "../../transport/push-source.ts";

export interface InletOptions<Message> {
  /** Takes a message. False where the next one should wait for {@link Inlet.resume}. What it throws goes to `onEnd`. */
  readonly take: (message: Message) => boolean;
  /** No more messages come, because of an error if there is one. Called once. */
  readonly onEnd: (error?: unknown) => void;
}

export class Inlet<Message> implements MessageSink<Message> {
  onReady: (() => void) | undefined = undefined;
  readonly #options: InletOptions<Message>;
  #isWaiting = false;
  #isEnded = false;

  constructor(source: AsyncIterable<Message>, options: InletOptions<Message>) {
    this.#options = options;
    const push = (source as Partial<PushSource<Message>>)[pushTo];
    if (push !== undefined) push.call(source, this);
    else void this.#iterate(source);
  }

  /** Further messages may come. */
  resume(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.onReady?.();
  }

  /** Nobody wants further messages. `onEnd` is not called. */
  stop(): void {
    this.#isEnded = true;
    this.onReady?.();
  }

  write(message: Message): boolean {
    if (this.#isEnded) return false;
    try {
      if (this.#options.take(message)) return true;
    } catch (error) {
      this.end(error);
      return false;
    }
    this.#isWaiting = true;
    return false;
  }

  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#options.onEnd(error);
  }

  async #iterate(source: AsyncIterable<Message>): Promise<void> {
    let room: Deferred<void> | undefined;
    this.onReady = () => room?.resolve();
    try {
      for await (const message of source) {
        room = createDeferred();
        if (!this.write(message) && !this.#isEnded) await room.promise;
        if (this.#isEnded) return;
      }
      this.end();
    } catch (error) {
      this.end(error);
    }
  }
}
