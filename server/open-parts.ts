// The parts of a member that were opened, to be closed in the opposite order. A part that comes while all are being
// closed is closed at once: what is being built meanwhile leaves nothing behind.
import { StartError } from "./identity.ts";

type Close = () => Promise<void> | void;

export class OpenParts {
  readonly #closers: Close[] = [];
  #closing: Promise<void> | undefined;

  /** @throws StartError when the parts were closed already; `close` was called then. */
  add(close: Close): void {
    if (this.#closing === undefined) {
      this.#closers.push(close);
      return;
    }
    this.#closing = this.#closing.then(close);
    // Whoever closes hears of it.
    this.#closing.catch(() => undefined);
    throw new StartError("the member was stopped while it started");
  }

  /**
   * Closes all of them. Twice is fine. One that fails keeps none of the others open.
   * @throws The first failure.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
