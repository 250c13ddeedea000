// A part of a configuration that is followed by itself.
import { EventEmitter } from "node:events";
import { isDeepStrictEqual } from "node:util";
import { surface } from "./surface.ts";

export interface SelectionEvents<Part> {
  change: [next: Part, previous: Part];
}

/** From {@link Config.select}. `current` is always the newest value, so it can be handed to whatever lives long. */
export class Selection<Part> extends EventEmitter<SelectionEvents<Part>> implements Disposable {
  readonly #onDispose: () => void;
  #current: Part;

  /** @internal */
  constructor(current: Part, onDispose: () => void) {
    super();
    this.#current = current;
    this.#onDispose = onDispose;
  }

  get current(): Part {
    return this.#current;
  }

  /** @internal Tells only what differs. */
  offer(next: Part): void {
    if (isDeepStrictEqual(next, this.#current)) return;
    const previous = this.#current;
    this.#current = next;
    surface(() => this.emit("change", next, previous));
  }

  /** Stops following. */
  [Symbol.dispose](): void {
    this.#onDispose();
  }
}
