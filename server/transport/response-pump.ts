// Carries a handler's stream of responses to the client: takes the next message only when the one before has left for
// the socket, so that a handler is as fast as its client. Two kinds of sources: any async iterable, which is asked for
// each message, and a push source, which is told when it may write.
import type { H2Stream } from "./h2-stream.ts";
import { type MessageSink, type PushSource, pushTo } from "./push-source.ts";

/** The call as the pump sees it. */
export interface PumpTarget {
  readonly stream: H2Stream;
  readonly isOver: boolean;
  readonly usesGzip: boolean;
  sendMessage(message: unknown): boolean;
  sendMessageAsNegotiated(message: unknown): Promise<boolean>;
  endResponses(): void;
  fail(error: unknown): void;
  handlerDone(): void;
}

export class ResponsePump implements MessageSink<unknown> {
  onReady: (() => void) | undefined = undefined;
  readonly #call: PumpTarget;
  #isPush = false;
  /** Waits for the client to take what was sent. */
  #wake: (() => void) | undefined = undefined;

  constructor(call: PumpTarget) {
    this.#call = call;
  }

  /** `source` is what the handler returned. */
  start(source: unknown): void {
    if (typeof source !== "object" || source === null || !(Symbol.asyncIterator in source)) {
      this.#call.fail(new TypeError("a streaming handler returned nothing to iterate over"));
      return;
    }
    const pushes = (source as Partial<PushSource<unknown>>)[pushTo];
    this.#isPush = pushes !== undefined && !this.#call.usesGzip;
    try {
      if (this.#isPush) pushes!.call(source, this);
      else this.#drive((source as AsyncIterable<unknown>)[Symbol.asyncIterator]());
    } catch (error) {
      this.#call.fail(error);
    }
  }

  /** The client has taken all that waited. */
  onDrain(): void {
    if (this.#isPush) this.#callOnReady();
    else this.#goOn();
  }

  /** The call is over before its responses are. A push source hears it through the signal and has nothing more to do. */
  onOver(): void {
    if (this.#isPush) this.#call.handlerDone();
    else this.#goOn();
  }

  write(message: unknown): boolean {
    const call = this.#call;
    return !call.isOver && call.sendMessage(message) && call.stream.waitingBytes === 0;
  }

  end(error?: unknown): void {
    if (error === undefined) this.#call.endResponses();
    else this.#call.fail(error);
  }

  #drive(iterator: AsyncIterator<unknown>): void {
    this.#run(iterator).then(
      () => this.#call.endResponses(),
      (error: unknown) => this.#call.fail(error),
    );
  }

  async #run(iterator: AsyncIterator<unknown>): Promise<void> {
    const call = this.#call;
    for (;;) {
      const result = await iterator.next();
      if (result.done === true) return;
      const isSent = call.usesGzip
        ? !call.isOver && (await call.sendMessageAsNegotiated(result.value))
        : !call.isOver && call.sendMessage(result.value);
      if (isSent && call.stream.waitingBytes > 0) await this.#drained();
      if (call.isOver) {
        // Nobody listens any more: let the handler clean up.
        await iterator.return?.();
        return;
      }
    }
  }

  /** Called from within the sending of other streams: what the source throws must end its own call only. */
  #callOnReady(): void {
    try {
      this.onReady?.();
    } catch (error) {
      this.#call.fail(error);
    }
  }

  #goOn(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
