// What is remembered of streams that are closed, so that a late frame can be judged: harmless because it was under way
// when we ended the stream, or an error of the client. Only the latest are remembered.

/** How a stream ended, as far as late frames are concerned. */
export type Ending =
  /** We ended it while the client could still send: its frames may be under way and are ignored. */
  | "by-us"
  /** The client reset it. */
  | "reset-by-client"
  /** Both sides said that they were done. */
  | "complete";

const endings: readonly Ending[] = ["by-us", "reset-by-client", "complete"];
const remembered = 128;

export class ClosedStreams {
  readonly #ids = new Uint32Array(remembered);
  readonly #endings = new Uint8Array(remembered);
  #next = 0;

  add(streamId: number, ending: Ending): void {
    this.#ids[this.#next] = streamId;
    this.#endings[this.#next] = ending === "complete" ? 2 : ending === "by-us" ? 0 : 1;
    this.#next = (this.#next + 1) % remembered;
  }

  /** Undefined for a stream that was never open, or was so long ago. */
  endingOf(streamId: number): Ending | undefined {
    const slot = this.#ids.indexOf(streamId);
    return slot === -1 ? undefined : endings[this.#endings[slot]!];
  }
}
