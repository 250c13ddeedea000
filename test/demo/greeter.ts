// An instance of a service: a real gRPC server that registers itself and says how its lease fares.
import { subscribe } from "node:diagnostics_channel";
import * as grpc from "@grpc/grpc-js";
import { Registry } from "../../recipes/index.ts";
import type { LeaseDiagnostics } from "../../sdk/index.ts";
import { enter, leave, report } from "./actor.ts";
import { greet } from "./greeting.ts";
import { serviceName } from "./messages.ts";

await enter(async (client, name, ttl) => {
  const server = new grpc.Server();
  const answer: grpc.handleUnaryCall<string, string> = (call, callback) => {
    callback(null, `hello ${call.request}, this is ${name}`);
  };
  server.addService({ greet }, { greet: answer });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const registry = new Registry(client, { session: { ttl } });
  const registration = await registry.register({
    service: serviceName,
    address: "127.0.0.1",
    port,
    metadata: { name },
  });
  subscribe("quorate:lease", (message) => {
    if ((message as LeaseDiagnostics).event === "renew") report({ kind: "renewed" });
  });
  report({ kind: "registered", address: registration.address, ttlMs: registration.session?.ttlMs ?? 0 });
  return async (order) => {
    if (order.kind !== "leave") return;
    await registration.drain();
    server.forceShutdown();
    await leave(client);
  };
});
