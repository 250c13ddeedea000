// Services of etcd's API that this version does not offer at all: every RPC of theirs says so by name.
import type { CompatServiceDefinition, ServiceImplementation } from "nice-grpc";
import { AuthDefinition } from "../../../proto/gen/etcdserverpb/rpc.ts";
import { ElectionDefinition } from "../../../proto/gen/v3electionpb/v3election.ts";
import { LockDefinition } from "../../../proto/gen/v3lockpb/v3lock.ts";
import { notOffered } from "./errors.ts";
import type { OfferedService } from "./offered-service.ts";

/** A definition as the generated code has it. */
interface GenericDefinition {
  readonly name: string;
  readonly fullName: string;
  readonly methods: { readonly [method: string]: { readonly name: string; readonly responseStream: boolean } };
}

export function createServicesNotOffered(): OfferedService[] {
  return [AuthDefinition, LockDefinition, ElectionDefinition].map((definition) => ({
    definition,
    implementation: refuseAll(definition) as ServiceImplementation<CompatServiceDefinition>,
  }));
}

function refuseAll(definition: GenericDefinition): { readonly [method: string]: unknown } {
  const methods = Object.entries(definition.methods).map(([key, { name, responseStream }]) => {
    const rpc = `${definition.name}.${name}`;
    // biome-ignore lint/correctness/useYield: a stream that ends before its first message
    const stream = async function* (): AsyncIterable<never> {
      throw notOffered(rpc);
    };
    const unary = async (): Promise<never> => {
      throw notOffered(rpc);
    };
    return [key, responseStream ? stream : unary] as const;
  });
  return Object.fromEntries(methods);
}
