// The server as a library: start a member inside another program.
export type { MemberConfig } from "./config.ts";
export { apiVersionDefault, quotaBytesDefault } from "./config.ts";
export type { LogFields, Logger, LogLevel } from "./lib/logger.ts";
export { silentLogger } from "./lib/logger.ts";
export type { Member, StartOptions } from "./server.ts";
export { FolderLockedError, StartError, startMember } from "./server.ts";
