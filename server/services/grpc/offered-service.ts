// A service and what carries it out, as a pair that lists can hold.
import type { CompatServiceDefinition, ServiceImplementation } from "nice-grpc";

export interface OfferedService {
  readonly definition: CompatServiceDefinition;
  readonly implementation: ServiceImplementation<CompatServiceDefinition>;
}

/** Makes the pair; this is where the compiler checks that the two fit. */
export function offer<Definition extends CompatServiceDefinition>(
  definition: Definition,
  implementation: ServiceImplementation<Definition>,
): OfferedService {
  return { definition, implementation: implementation as ServiceImplementation<CompatServiceDefinition> };
}
