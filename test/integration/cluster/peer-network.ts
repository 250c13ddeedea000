// The network between members. Each member's peer port has a door in front of it that reads who is calling and leads
// the connection through a TCP proxy of that pair and direction, so that faults can be told apart by both ends.
import { connect, createServer, type Server, type Socket } from "node:net";
import { TcpProxy } from "../../support/tcp-proxy.ts";

interface Door {
  readonly server: Server;
  readonly port: number;
}

const helloBytesMax = 16 * 1024;

export class PeerNetwork implements AsyncDisposable {
  readonly #doors = new Map<string, Door>();
  readonly #links = new Map<string, TcpProxy>();
  /** Where members listen, behind their doors. */
  readonly #ports = new Map<string, number>();
  /** Names by the id that they greet with, in hex. */
  readonly #names = new Map<string, string>();
  readonly #sockets = new Set<Socket>();

  /** Opens the door of a member, and the ways from and to all others. Returns the URL that others are to call. */
  async addMember(name: string, listenPort: number): Promise<string> {
    const others = [...this.#doors.keys()];
    const server = createServer({ allowHalfOpen: true }, (caller) => this.#greet(name, listenPort, caller));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => resolve());
    });
    const { port } = server.address() as { port: number };
    this.#doors.set(name, { server, port });
    for (const other of others) {
      this.#links.set(linkName(other, name), await TcpProxy.start(listenPort));
      const way = this.#ports.get(other);
      if (way !== undefined) this.#links.set(linkName(name, other), await TcpProxy.start(way));
    }
    this.#ports.set(name, listenPort);
    return `http://127.0.0.1:${port}`;
  }

  /** Tells whose id this is. Until then its connections pass untouched. */
  nameId(id: bigint, name: string): void {
    this.#names.set(id.toString(16), name);
  }

  get names(): readonly string[] {
    return [...this.#doors.keys()];
  }

  /** Reads the greeting, which is a line of JSON, and goes on by way of the caller's proxy. */
  #greet(name: string, listenPort: number, caller: Socket): void {
    this.#track(caller);
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      size += chunk.length;
      if (!chunk.includes(10) && size < helloBytesMax) return;
      caller.removeListener("data", onData);
      caller.pause();
      const received = Buffer.concat(chunks);
      const from = this.#names.get(/"from":"([0-9a-f]+)"/.exec(received.toString("latin1"))?.[1] ?? "");
      const port = this.#links.get(linkName(from ?? "", name))?.port ?? listenPort;
      const way = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      this.#track(way);
      way.write(received);
      join(caller, way);
      join(way, caller);
      caller.resume();
    };
    caller.on("data", onData);
    caller.on("error", () => caller.destroy());
  }

  #track(socket: Socket): void {
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
  }

  /** What is sent from one to the other does not arrive any more, on whichever connection. */
  drop(from: string, to: string): void {
    this.#links.get(linkName(from, to))?.blackhole("toServer");
    this.#links.get(linkName(to, from))?.blackhole("toClient");
  }

  /** Cuts a member off: all it sends, all that is sent to it, or both. */
  isolate(name: string, what: "sends" | "receives" | "both"): void {
    for (const other of this.names) {
      if (other === name) continue;
      if (what !== "receives") this.drop(name, other);
      if (what !== "sends") this.drop(other, name);
    }
  }

  delay(name: string, delayMs: number): void {
    for (const link of this.#linksOf(name)) link.delay(delayMs);
  }

  throttle(name: string, bytesPerSecond: number): void {
    for (const link of this.#linksOf(name)) link.throttle(bytesPerSecond);
  }

  /** Resets the connections of a member to and from all others. */
  reset(name: string): void {
    for (const link of this.#linksOf(name)) link.cut();
  }

  /** Resets each of a member's connections in the middle of what is sent next. */
  cutNext(name: string): void {
    for (const link of this.#linksOf(name)) link.cutNext("toServer");
  }

  #linksOf(name: string): readonly TcpProxy[] {
    return [...this.#links].filter(([link]) => link.split(">").includes(name)).map(([, proxy]) => proxy);
  }

  /** Everything arrives again, what was kept back included. */
  heal(): void {
    for (const link of this.#links.values()) link.heal();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await Promise.all([...this.#doors.values()].map(({ server }) => new Promise((resolve) => server.close(resolve))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const linkName = (from: string, to: string): string => `${from}>${to}`;

/** Passes bytes on, and an end or a reset as what it is. */
function join(from: Socket, to: Socket): void {
  from.on("data", (chunk) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", () => to.end());
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroy());
}
