// The one method of the story's service, as client and server see it. Text in, text out.
import type { MethodDefinition } from "@grpc/grpc-js";

const serialize = (text: string): Buffer => Buffer.from(text);
const deserialize = (bytes: Buffer): string => bytes.toString();

export const greet: MethodDefinition<string, string> = {
  path: "/demo.Greeter/Greet",
  requestStream: false,
  responseStream: false,
  requestSerialize: serialize,
  requestDeserialize: deserialize,
  responseSerialize: serialize,
  responseDeserialize: deserialize,
};
