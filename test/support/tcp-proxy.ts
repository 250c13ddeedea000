// A TCP proxy in user space, to do to connections what networks do: delay, stop one direction or both without a word,
// break off in the middle of an answer, refuse. It knows nothing of what passes through.
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from "node:net";
import { freePorts } from "./free-ports.ts";

/** `toServer`: from whoever connected to the proxy; `toClient`: back to it. */
export type Direction = "toServer" | "toClient";
export type Directions = Direction | "both";

const both: readonly Direction[] = ["toServer", "toClient"];
const each = (directions: Directions): readonly Direction[] => (directions === "both" ? both : [directions]);

/** What is done to bytes of one direction, on every connection, present and future. */
interface Rule {
  delayMs: number;
  /** Bytes are kept here until the direction is healed, as a network that drops packets makes TCP do. */
  isHeld: boolean;
  /** The next bytes are thrown away and the connection reset instead. */
  isCutNext: boolean;
  bytesPerSecond: number;
}

const noRule = (): Rule => ({ delayMs: 0, isHeld: false, isCutNext: false, bytesPerSecond: Number.POSITIVE_INFINITY });

export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: NetConnectOpts;
  readonly #links = new Set<Link>();
  readonly #rules: { readonly [D in Direction]: Rule } = { toServer: noRule(), toClient: noRule() };
  #port = 0;
  #isRefusing = false;
  #accepted = 0;

  private constructor(target: NetConnectOpts) {
    this.#target = target;
    // Half-open sockets are allowed so that each side's end can be passed on, or kept back, by itself.
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  /** Starts a proxy on a free port of 127.0.0.1 in front of `http://host:port` or a port of 127.0.0.1. */
  static async start(target: string | number): Promise<TcpProxy> {
    const url = typeof target === "number" ? new URL(`http://127.0.0.1:${target}`) : new URL(target);
    const proxy = new TcpProxy({ host: url.hostname, port: Number(url.port) });
    const [port] = (await freePorts(1)) as [number];
    await proxy.#listen(port);
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** Where clients connect to, as an endpoint. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#links.size;
  }

  /** Connections that were ever made. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Delays every byte of a direction by `delayMs`, in order. */
  delay(delayMs: number, directions: Directions = "both"): void {
    for (const direction of each(directions)) this.#rules[direction].delayMs = delayMs;
  }

  /** Lets at most so many bytes a second through. */
  throttle(bytesPerSecond: number, directions: Directions = "both"): void {
    for (const direction of each(directions)) this.#rules[direction].bytesPerSecond = bytesPerSecond;
  }

  /**
   * Stops a direction without a word: no bytes, no ends, no resets get through, on present and new connections, until
   * `heal`. With both directions this is a half-open connection: each side believes that the other is there.
   */
  blackhole(directions: Directions = "both"): void {
    for (const direction of each(directions)) this.#rules[direction].isHeld = true;
  }

  /** When the next bytes of a direction arrive they are thrown away and their connection is reset. Once. */
  cutNext(direction: Direction): void {
    this.#rules[direction].isCutNext = true;
  }

  /** Ends all delays, throttles and blackholes; what was kept back is delivered. */
  heal(): void {
    for (const direction of both) Object.assign(this.#rules[direction], noRule());
    for (const link of [...this.#links]) link.flush();
  }

  /** Breaks all connections off: with a reset, or politely. New ones are accepted. */
  cut(how: "reset" | "end" = "reset"): void {
    for (const link of [...this.#links]) link.cut(how);
  }

  /** Breaks all connections off and refuses new ones until `accept`. */
  async refuse(): Promise<void> {
    if (this.#isRefusing) return;
    this.#isRefusing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }

  /** Takes connections again, on the same port. */
  async accept(): Promise<void> {
    if (!this.#isRefusing) return;
    this.#isRefusing = false;
    await this.#listen(this.#port);
  }

  /** Closes everything. Closing twice is fine. */
  async close(): Promise<void> {
    await this.refuse();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", () => {
        this.#server.removeListener("error", reject);
        resolve();
      });
    });
    const address = this.#server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
  }

  #accept(client: Socket): void {
    this.#accepted += 1;
    const server = connect({ ...this.#target, allowHalfOpen: true } as NetConnectOpts);
    const link: Link = new Link(client, server, this.#rules, () => this.#links.delete(link));
    this.#links.add(link);
  }
}

function reset(socket: Socket): void {
  // Node loses track of a socket that is reset while its shutdown is under way, and then never exits.
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** One connection through the proxy: two sockets and a queue for each direction. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #pipes: readonly Pipe[];
  readonly #onClosed: () => void;
  #isClosed = false;

  constructor(client: Socket, server: Socket, rules: { readonly [D in Direction]: Rule }, onClosed: () => void) {
    this.#client = client;
    this.#server = server;
    this.#onClosed = onClosed;
    const onCut = (): void => this.cut("reset");
    this.#pipes = [new Pipe(client, server, rules.toServer, onCut), new Pipe(server, client, rules.toClient, onCut)];
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("close", () => {
        if (client.destroyed && server.destroyed) this.#closed();
      });
    }
  }

  flush(): void {
    for (const pipe of this.#pipes) pipe.flush();
  }

  cut(how: "reset" | "end"): void {
    for (const socket of [this.#client, this.#server]) {
      if (how === "end") socket.destroy();
      else reset(socket);
    }
    this.#closed();
  }

  #closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onClosed();
  }
}

/** One direction of a link. Ends and errors of the source travel behind its bytes, and are kept back with them. */
class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #rule: Rule;
  readonly #queue: { readonly bytes: Buffer | "end" | "reset"; readonly dueMs: number }[] = [];
  readonly #onCut: () => void;
  #timer: NodeJS.Timeout | undefined;
  #freeMs = 0;

  constructor(source: Socket, sink: Socket, rule: Rule, onCut: () => void) {
    this.#source = source;
    this.#sink = sink;
    this.#rule = rule;
    this.#onCut = onCut;
    source.on("data", (bytes) => this.#take(bytes));
    source.on("end", () => this.#take("end"));
    source.on("error", () => this.#take("reset"));
    sink.on("drain", () => source.resume());
    source.on("close", () => {
      if (!this.#rule.isHeld && this.#queue.length === 0) this.#sink.end();
    });
  }

  #take(bytes: Buffer | "end" | "reset"): void {
    const rule = this.#rule;
    if (rule.isCutNext && typeof bytes !== "string") {
      rule.isCutNext = false;
      this.#onCut();
      return;
    }
    const now = performance.now();
    const sizeMs = typeof bytes === "string" ? 0 : (bytes.length / rule.bytesPerSecond) * 1000;
    this.#freeMs = Math.max(this.#freeMs, now) + sizeMs;
    this.#queue.push({ bytes, dueMs: this.#freeMs + rule.delayMs });
    this.flush();
  }

  flush(): void {
    clearTimeout(this.#timer);
    while (this.#queue.length > 0 && !this.#rule.isHeld) {
      const { bytes, dueMs } = this.#queue[0]!;
      const isPlain = this.#rule.delayMs === 0 && this.#rule.bytesPerSecond === Number.POSITIVE_INFINITY;
      const waitMs = isPlain ? 0 : dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flush(), waitMs);
        return;
      }
      this.#queue.shift();
      this.#pass(bytes);
    }
  }

  #pass(bytes: Buffer | "end" | "reset"): void {
    if (this.#sink.destroyed) return;
    if (bytes === "end") this.#sink.end();
    // Told as an end: a reset would overtake the bytes that were passed on just before it.
    else if (bytes === "reset") this.#sink.destroy();
    else if (!this.#sink.write(bytes)) this.#source.pause();
  }
}
