// Bounds TLS handshakes that have begun and not ended, in total and per address, so that half-open ones cannot use up
// the memory and the file descriptors of everybody else.
import type { Socket } from "node:net";

export class HandshakeGate {
  readonly #totalMax: number;
  readonly #perAddressMax: number;
  #total = 0;
  readonly #byAddress = new Map<string, Set<Socket>>();

  constructor(totalMax: number, perAddressMax: number) {
    this.#totalMax = totalMax;
    this.#perAddressMax = perAddressMax;
  }

  /** Handshakes under way. */
  get total(): number {
    return this.#total;
  }

  /** Counts a new connection until it leaves or is closed. False where there are too many. */
  enter(socket: Socket): boolean {
    const address = socket.remoteAddress ?? "";
    const ofAddress = this.#byAddress.get(address) ?? new Set();
    if (this.#total >= this.#totalMax || ofAddress.size >= this.#perAddressMax) return false;
    this.#byAddress.set(address, ofAddress.add(socket));
    this.#total += 1;
    socket.once("close", () => this.#leave(address, socket));
    return true;
  }

  /** A handshake of a client at this address and port has ended. */
  leave(remoteAddress: string | undefined, remotePort: number | undefined): void {
    const address = remoteAddress ?? "";
    for (const socket of this.#byAddress.get(address) ?? []) {
      // Unix sockets have no port: which of them it was makes no difference to the count.
      if (socket.remotePort !== remotePort) continue;
      this.#leave(address, socket);
      return;
    }
  }

  /** Closes the connections whose handshakes are under way. Of unix sockets it is not known which those are. */
  closeAll(): void {
    for (const sockets of [...this.#byAddress.values()]) {
      for (const socket of [...sockets]) if (socket.remotePort !== undefined) socket.destroy();
    }
  }

  #leave(address: string, socket: Socket): void {
    const ofAddress = this.#byAddress.get(address);
    if (ofAddress?.delete(socket) !== true) return;
    this.#total -= 1;
    if (ofAddress.size === 0) this.#byAddress.delete(address);
  }
}
