// Streams of messages that come from events: instead of being asked for each one with a promise, a source tells its
// sink. Responses take this way from a handler to the client, and requests from the client to a handler.

/** Where a {@link PushSource} writes. No method may throw. */
export interface MessageSink<Message> {
  /**
   * Takes a message. False where no further one should come before {@link onReady}: this one was taken all the same.
   * After the end it does nothing and says false.
   */
  write(message: Message): boolean;
  /** There are no more messages, because of an error if there is one. */
  end(error?: unknown): void;
  /** Called whenever there is room again after a `false`. Set once, by the source. */
  onReady: (() => void) | undefined;
}

/** The member that makes an async iterable a push source. */
export const pushTo: unique symbol = Symbol("pushTo");

/**
 * Messages that are either pushed or iterated over, as the reader knows how to. Carriers of services that know nothing
 * of this see the async iterable. A source of responses learns of the end of its call through the context's signal.
 */
export interface PushSource<Message> extends AsyncIterable<Message> {
  [pushTo](sink: MessageSink<Message>): void;
}
