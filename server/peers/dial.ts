// Makes a connection to another member: to one of its URLs, with TLS where the URL says so, greeting included.
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import { parseListenUrl } from "../transport/listen-url.ts";
import { PeerProtocolError } from "./byte-buffer.ts";
import { decodeHelloAnswer, encodeHello, type Hello, type HelloAnswer, helloBytesMax } from "./hello.ts";
import { readLine } from "./line-reader.ts";

export interface DialOptions {
  readonly clock: Clock;
  /** For `https` and `unixs` URLs; asked for anew each time, since certificates change. */
  readonly tls?: () => ConnectionOptions;
  readonly timeoutMs: number;
}

export interface Dialled {
  readonly socket: Socket;
  readonly answer: HelloAnswer;
  /** What came behind the answer already. */
  readonly rest: Buffer;
}

/** @throws PeerProtocolError when there is no connection, no answer, or none that makes sense. */
export async function dial(url: string, hello: Hello, options: DialOptions): Promise<Dialled> {
  const socket = open(url, options);
  // readLine hears of errors while it waits; the socket must have a listener after that, too.
  socket.on("error", () => undefined);
  try {
    socket.write(encodeHello(hello));
    const { text, rest } = await readLine(socket, options.clock, helloBytesMax, options.timeoutMs);
    return { socket, answer: decodeHelloAnswer(text), rest };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function open(url: string, options: DialOptions): Socket {
  const { isTls, target } = parseListenUrl(url);
  const address = target.kind === "unix" ? { path: target.path } : { host: target.host, port: target.port };
  const common = { ...address, noDelay: true, keepAlive: true } as const;
  if (!isTls) return connectTcp(common);
  if (options.tls === undefined) throw new PeerProtocolError(`${url} needs TLS, which is not configured for peers`);
  const serverName = target.kind === "tcp" && !/^[\d.:]+$/.test(target.host) ? { servername: target.host } : {};
  return connectTls({ ...common, ...serverName, ...options.tls() });
}
