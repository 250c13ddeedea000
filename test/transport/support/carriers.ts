// The two servers that can carry our services: this transport, and nice-grpc's. Tests of what a service may rely on run
// over both.

import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import { type CompatServiceDefinition, createServer as createNiceServer, type ServiceImplementation } from "nice-grpc";
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from "../../../server/transport/grpc-server.ts";

export interface Carrier {
  readonly name: "transport" | "nice-grpc";
  serve<Service extends CompatServiceDefinition>(
    definition: Service,
    implementation: ServiceImplementation<Service>,
  ): Promise<Served>;
}

export interface Served {
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly port: number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Serves `server` on a port of its own. */
export async function listen(server: GrpcServer): Promise<Served> {
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    server.accept(socket, {
      peer: `${socket.remoteAddress}:${socket.remotePort}`,
      isTls: false,
      clientCertificate: undefined,
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  return {
    port,
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      await server.close();
      await closed;
    },
  };
}

export function transportCarrier(options: GrpcServerOptions = {}): Carrier {
  return {
    name: "transport",
    serve: (definition, implementation) =>
      listen(createGrpcServer({ onError: () => undefined, ...options }).add(definition, implementation)),
  };
}

export const niceGrpcCarrier: Carrier = {
  name: "nice-grpc",
  async serve(definition, implementation) {
    const server = createNiceServer({ "grpc.max_receive_message_length": 2 * 1024 * 1024 });
    server.add(definition, implementation);
    const port = await server.listen("127.0.0.1:0");
    return {
      port,
      address: `127.0.0.1:${port}`,
      async [Symbol.asyncDispose]() {
        server.forceShutdown();
      },
    };
  },
};

export const carriers: readonly Carrier[] = [transportCarrier(), niceGrpcCarrier];
