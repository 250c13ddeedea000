// Everybody who means harm, in a process of their own: `node attackers.js PLAIN_PORT TLS_PORT [NAME]` attacks a member that
// has the keys of siege.ts until it is ended, with all attacks or those whose name has NAME in it. Each attack has one connection at a time, and a new one when it is closed.
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { RangeRequest, WatchCreateRequest, WatchRequest } from "../../../proto/gen/etcdserverpb/rpc.ts";
import { clientPreface, frameFlag, frameType, settingId } from "../../../server/transport/http2-constants.ts";
import { type Ask, type Attack, attacksOn } from "../support/attacks.ts";
import {
  dataFrame,
  frame,
  greeting,
  grpcHeaders,
  grpcMessage,
  headersFrame,
  hpackBlock,
  settings,
} from "../support/wire.ts";

const ask = (path: string, bytes: Uint8Array): Ask => ({ path, message: grpcMessage(Buffer.from(bytes)) });
const range = (key: string, rangeEnd = ""): Uint8Array =>
  RangeRequest.encode(RangeRequest.create({ key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd) })).finish();
const watch = ((): Uint8Array => {
  const value = WatchCreateRequest.create({ key: Buffer.from("large/0") });
  return WatchRequest.encode({ requestUnion: { $case: "createRequest", value } }).finish();
})();

const quick = ask("/etcdserverpb.KV/Range", range("small"));
const large = ask("/etcdserverpb.KV/Range", range("large/0"));
const wholeRange = ask("/etcdserverpb.KV/Range", range("large/", "large0"));
const attacks = attacksOn({
  quick,
  large,
  hanging: ask("/etcdserverpb.Watch/Watch", watch),
  endless: ask("/etcdserverpb.KV/RangeStream", range("large/", "large0")),
  collecting: ask("/etcdserverpb.Watch/Watch", watch),
  unread: "/etcdserverpb.KV/Nothing",
});

/** One connection of an attack. Resolves when it is over. */
type Attacker = (plainPort: number, tlsPort: number) => Promise<void>;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Writes what `nextPiece` gives, `everyMs`, until the connection is closed; at most as fast as it is taken. */
function feed(socket: Socket, nextPiece: () => Buffer | string | undefined, everyMs: number): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    const write = (): void => {
      if (socket.destroyed) return;
      const piece = nextPiece();
      if (piece === undefined || socket.write(piece)) setTimeout(write, everyMs);
      else socket.once("drain", write);
    };
    socket.once(socket instanceof Object && "encrypted" in socket ? "secureConnect" : "connect", write);
  });
}

/** Rounds of an attack on HTTP/2, twenty at a time. */
const flooding = (attack: Attack): Attacker => {
  return (port) => {
    const socket = connect(port, "127.0.0.1");
    socket.resume();
    let round = -1;
    return feed(
      socket,
      () => {
        if (round === -1) {
          round = 0;
          return greeting;
        }
        return Buffer.concat(Array.from({ length: 20 }, () => attack(round++)));
      },
      5,
    );
  };
};

/** Says `words` once and then nothing, or `drip` byte by byte. */
const dawdling =
  (words: Buffer | string, drip: Buffer | string = ""): Attacker =>
  (port) => {
    const bytes = Buffer.from(drip);
    let at = -1;
    return feed(
      connect(port, "127.0.0.1").resume(),
      () => {
        at += 1;
        return at === 0 ? Buffer.from(words) : bytes.subarray(at - 1, at);
      },
      100,
    );
  };

const onTlsPort =
  (attacker: Attacker): Attacker =>
  (_, tlsPort) =>
    attacker(tlsPort, tlsPort);

const openBlock = hpackBlock(grpcHeaders(quick.path));
const oversizeFrame = Buffer.from([0xff, 0xff, 0xff, frameType.data, 0, 0, 0, 0, 1]);
const clientHelloStart = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);

const rawAttacks: { readonly [name: string]: Attacker } = {
  "bad preface": dawdling("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
  "neither HTTP nor TLS": dawdling(Buffer.alloc(64, 0xfe)),
  "nothing at all": dawdling(""),
  "a preface, byte by byte": dawdling("", clientPreface),
  "slow headers, HTTP/2": dawdling(
    Buffer.concat([greeting, frame(frameType.headers, 0, 1, openBlock)]),
    Buffer.concat(Array.from({ length: 100 }, () => frame(frameType.continuation, 0, 1, Buffer.from([0x88])))),
  ),
  "slow body, HTTP/2": dawdling(
    Buffer.concat([greeting, headersFrame(1, grpcHeaders(quick.path), false)]),
    Buffer.concat(Array.from({ length: 100 }, () => dataFrame(1, Buffer.alloc(1), false))),
  ),
  "slow headers, HTTP/1.1": dawdling("GET /health HTTP/1.1\r\nhost: x\r\n", "x-slow: 1\r\n".repeat(100)),
  "slow body, HTTP/1.1": dawdling(
    "POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n",
    "x".repeat(1_000),
  ),
  "headers without end, HTTP/1.1": dawdling(`GET /health HTTP/1.1\r\n${"x-much: yes\r\n".repeat(20_000)}`),
  "frames above the limit": dawdling(Buffer.concat([greeting, oversizeFrame, Buffer.alloc(100_000)])),
  "TLS on the port without": dawdling(clientHelloStart),
  "plain HTTP/2 on the TLS port": onTlsPort(dawdling(greeting)),
  "plain HTTP/1.1 on the TLS port": onTlsPort(dawdling("GET /health HTTP/1.1\r\nhost: x\r\n\r\n")),
  "half a TLS handshake": onTlsPort(dawdling(clientHelloStart)),
  "a TLS handshake and no word": (_, port) => {
    const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    return feed(socket, () => undefined, 1_000);
  },
  "large answers that are not read": (port) => {
    // No resume(): the kernel's buffers fill up, then the member's.
    let id = -1;
    return feed(
      connect(port, "127.0.0.1"),
      () => {
        id += 2;
        const start = id === 1 ? Buffer.concat([greeting, settings([settingId.initialWindowSize, 2 ** 31 - 1])]) : "";
        const widen = id === 1 ? frame(frameType.windowUpdate, 0, 0, Buffer.from([0x7f, 0, 0, 0])) : "";
        const asked = Buffer.concat([
          headersFrame(id, grpcHeaders(large.path), false),
          dataFrame(id, large.message, true),
        ]);
        return Buffer.concat([Buffer.from(start), Buffer.from(widen), asked]);
      },
      5,
    );
  },
  "whole ranges that nobody takes": flooding((round) => {
    const start = round === 0 ? settings([settingId.initialWindowSize, 0]) : Buffer.alloc(0);
    const id = 1 + 2 * round;
    return Buffer.concat([
      start,
      headersFrame(id, grpcHeaders(wholeRange.path), false),
      dataFrame(id, wholeRange.message, true),
    ]);
  }),
  "more streams than there may be": flooding((round) =>
    frame(frameType.headers, frameFlag.endHeaders, 1 + 2 * round, hpackBlock(grpcHeaders("/etcdserverpb.Watch/Watch"))),
  ),
  "header lists that are too large": flooding((round) =>
    headersFrame(1 + 2 * round, [...grpcHeaders(quick.path), ["x-large", "x".repeat(15_000)]], true),
  ),
};

const http2Attacks = [
  ...Object.entries(attacks.nuisances),
  ...Object.entries(attacks.stoppedAtOnce).map(([name, [attack]]) => [name, attack] as const),
  ...Object.entries(attacks.bounded),
].map(([name, attack]) => [name, flooding(attack)] as const);

async function main([plainPort = "", tlsPort = "", wanted = ""]: readonly string[]): Promise<void> {
  const connections = new Map<string, number>();
  process.on("SIGTERM", () => {
    console.log(JSON.stringify(Object.fromEntries(connections)));
    process.exit(0);
  });
  console.log("ready");
  const all = [...http2Attacks, ...Object.entries(rawAttacks)].filter(([name]) => name.includes(wanted));
  await Promise.all(
    all.map(async ([name, attacker]) => {
      for (;;) {
        connections.set(name, (connections.get(name) ?? 0) + 1);
        await attacker(Number(plainPort), Number(tlsPort));
        // The next one comes soon, and not in a busy loop.
        await pause(20);
      }
    }),
  );
}

await main(process.argv.slice(2));
