// A server whose one unary method does nothing, for load generators: over this transport, or over @grpc/grpc-js for
// comparison. `node dist/test/transport/bench/do-nothing-server.js transport|grpc-js [PORT]` prints the port it took.

import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { createServer as createNiceServer } from "nice-grpc";
import { PutRequest, PutResponse } from "../../../proto/gen/etcdserverpb/rpc.ts";
import { createGrpcServer } from "../../../server/transport/grpc-server.ts";

const header = { clusterId: 1n, memberId: 2n, revision: 3n, raftTerm: 4n };
const answer = PutResponse.encode(PutResponse.fromPartial({ header })).finish();

/** Neither decodes nor encodes: what is left is the transport. */
const definition = {
  put: {
    path: "/etcdserverpb.KV/Put",
    requestStream: false,
    responseStream: false,
    requestSerialize: (request: PutRequest) => PutRequest.encode(request).finish(),
    requestDeserialize: (bytes: Uint8Array) => bytes,
    responseSerialize: (response: Uint8Array) => response,
    responseDeserialize: (bytes: Uint8Array) => PutResponse.decode(bytes),
    requestDecode: (_bytes: Buffer, start: number, end: number) => end - start,
    responseSizeBytes: () => answer.length,
    responseEncodeInto: (_response: Uint8Array, target: Buffer, start: number) => {
      target.set(answer, start);
      return start + answer.length;
    },
    options: {},
  },
} as const;

const mode = process.argv[2] ?? "transport";
const port = Number(process.argv[3] ?? 0);

if (mode === "transport") {
  const server = createGrpcServer();
  // A promise as a real handler's, or an answer at once.
  const isSync = process.argv[4] === "sync";
  server.add(definition, { put: isSync ? () => answer : async () => answer });
  const listener = createServer({ noDelay: true }, (socket) => {
    server.accept(socket, {
      peer: `${socket.remoteAddress}:${socket.remotePort}`,
      isTls: false,
      clientCertificate: undefined,
    });
  });
  listener.listen(port, "127.0.0.1", () => console.log((listener.address() as AddressInfo).port));
} else {
  const server = createNiceServer();
  server.add(definition, { put: async () => answer });
  console.log(await server.listen(`127.0.0.1:${port}`));
}

// A clean exit, so that a profile or a coverage report is written.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(0));
