// The recipes: what teams build on a coordination service, built once and carefully, on nothing but the public SDK.
export { Config, loadConfig } from "./config.ts";
export { ConfigError, type ConfigIssue } from "./config-error.ts";
export type {
  ConfigChange,
  ConfigDifference,
  ConfigEvents,
  ConfigOptions,
  ConfigOrigin,
  ConfigRejection,
} from "./config-options.ts";
export { Selection, type SelectionEvents } from "./config-selection.ts";
export {
  type ClusterKeys,
  type ConfigSource,
  cluster,
  defaults,
  type EnvOptions,
  env,
  type FileOptions,
  file,
  type LiveSource,
  type SourceState,
  type StaticSource,
} from "./config-sources.ts";
export type { ConfigTree, DeepReadonly } from "./config-tree.ts";
export type { HolderInfo } from "./contenders.ts";
export type {
  ConfigDiagnostics,
  OwnershipDiagnostics,
  RegistrationDiagnostics,
  ResolutionDiagnostics,
} from "./diagnostics.ts";
export {
  Election,
  type ElectionInspection,
  type ElectionOptions,
  Elections,
  type Leader,
  Leadership,
} from "./election.ts";
export {
  LeadershipLostError,
  LockLostError,
  OwnershipLostError,
  type OwnershipLostReason,
  RecipeError,
  type RecipeErrorCode,
  SessionLostError,
  UnconfirmedError,
  WaitTimeoutError,
} from "./errors.ts";
export { type GrpcModule, type GrpcResolverOptions, registerGrpcResolver } from "./grpc-resolver.ts";
export type { HealthCheck } from "./health-probe.ts";
export { type LeaderChange, LeaderWatch } from "./leader-watch.ts";
export { Locks, type LocksOptions } from "./locks.ts";
export { HeldLock, type LockContender, type LockInspection, Mutex, type MutexOptions } from "./mutex.ts";
export { Ownership, type OwnershipState, type ReleaseResult } from "./ownership.ts";
export {
  type Candidate,
  type FailureBackoff,
  leastPending,
  type PickStrategy,
  random,
  roundRobin,
  sticky,
  weighted,
} from "./pick.ts";
export { type RegisterOptions, Registration, type RegistrationEvents, type RegistrationState } from "./registration.ts";
export { Registry, type RegistryOptions } from "./registry.ts";
export {
  type Endpoint,
  type Pick,
  type ResolutionChange,
  type ResolveOptions,
  Resolver,
  type ResolverEvents,
  type WhenEmpty,
} from "./resolver.ts";
export { openSession, Session, type SessionEvents, type SessionOptions, type SessionState } from "./session.ts";
export { type SessionChoice, SessionSource, sharedSession } from "./session-source.ts";
export type { WaitOptions } from "./waiting.ts";
