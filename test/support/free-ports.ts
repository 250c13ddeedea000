// Ports of 127.0.0.1 for servers that are told where to listen, also those that are stopped and started again there.
//
// A port that was free a moment ago is not free for long where many test files run at once: between the asking and the
// listening, and while a server is down, any outgoing connection may be given it as its own, and any other test may ask.
// So ports come from below the range that the system takes those from, in blocks that belong to one process each: it
// holds the first port of its block for as long as it lives, which no other process can then do.
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";

const firstPort = 10_240;
const blockPorts = 64;
const outgoingFromDefault = 32_768;

/** The block in use: the next port of it, and the one behind its last. */
let next = 0;
let end = 0;

/** Ports on which nobody listens, each given out once by this process and by no other. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    if (next === end) await claimBlock();
    else {
      const port = next++;
      const server = await listenAt(port);
      if (server === undefined) continue;
      await new Promise((resolve) => server.close(resolve));
      ports.push(port);
    }
  }
  return ports;
}

/** Claims that are under way: calls at the same time share one. */
let claiming: Promise<void> | undefined;

function claimBlock(): Promise<void> {
  claiming ??= claim().finally(() => {
    claiming = undefined;
  });
  return claiming;
}

async function claim(): Promise<void> {
  const blocks = Math.floor((outgoingFrom() - firstPort) / blockPorts);
  const start = Math.floor(Math.random() * blocks);
  for (let i = 0; i < blocks; i++) {
    const first = firstPort + ((start + i) % blocks) * blockPorts;
    const guard = await listenAt(first);
    if (guard === undefined) continue;
    // Kept for good: it is the claim. It neither accepts anybody for long nor keeps the process alive.
    guard.on("connection", (socket) => socket.destroy()).unref();
    next = first + 1;
    end = first + blockPorts;
    return;
  }
  throw new Error(`no block of ${blockPorts} ports is free between ${firstPort} and ${outgoingFrom()}`);
}

/** The lowest port that the system gives to outgoing connections. */
function outgoingFrom(): number {
  try {
    const [low] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/);
    const port = Number(low);
    // Where nothing is left below it, the usual place is as good as any.
    return port >= firstPort + 64 * blockPorts ? port : outgoingFromDefault;
  } catch {
    // Not Linux.
    return outgoingFromDefault;
  }
}

/** Listens there, or answers `undefined` where somebody else does. */
function listenAt(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(undefined));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(server));
  });
}
