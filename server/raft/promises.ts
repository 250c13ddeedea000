// Messages that wait until what they state is durable.
import type { Message } from "./message.ts";

/**
 * Queues a message behind those that leave with it or before it. Acknowledgements are cumulative: of a run of them to one
 * leader, the last one says it all.
 */
export function queuePromise(queue: Message[], message: Message): void {
  const last = queue.at(-1);
  if (
    last?.type === "append-accepted" &&
    message.type === "append-accepted" &&
    last.to === message.to &&
    last.term === message.term &&
    last.index <= message.index
  )
    queue[queue.length - 1] = message;
  else queue.push(message);
}
