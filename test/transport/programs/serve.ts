// Serves the echo service and a page of text through the whole front door, for tools that are not written in JavaScript:
// `node dist/test/transport/programs/serve.js URL [CERT KEY]` prints the URL it listens on and runs until it is ended.

import { silentLogger } from "../../../server/lib/logger.ts";
import { systemClock } from "../../../server/lib/system-clock.ts";
import { createFrontDoor } from "../../../server/transport/front-door.ts";
import { createGrpcServer } from "../../../server/transport/grpc-server.ts";
import { type HttpHandler, readBody } from "../../../server/transport/http-handler.ts";
import { TlsContext } from "../../../server/transport/tls-context.ts";
import { createEchoService, createJournal, EchoDefinition } from "../support/echo-service.ts";

const [, , url = "http://127.0.0.1:0", certFile, keyFile] = process.argv;

const http: HttpHandler = async (request) => {
  const body = await readBody(request, 1024 * 1024);
  return {
    status: 200,
    headers: { "content-type": "text/plain" },
    body: `${request.method} ${request.target}\n${body.toString()}`,
  };
};
const grpc = createGrpcServer({ http }).add(EchoDefinition, createEchoService(createJournal()));
const tls =
  certFile === undefined || keyFile === undefined
    ? {}
    : { tls: new TlsContext({ certFile, keyFile }, systemClock, silentLogger) };
const door = createFrontDoor({ grpc, http, ...tls });
process.on("SIGTERM", () => door.drain(5_000).then(() => process.exit(0)));
console.log((await door.listen(url)).url);
