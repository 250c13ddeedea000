// What the floors below cli/ know of logging. system-logger.ts writes the lines.

export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal";

/** Order of severity, for comparing levels. */
export const logLevelRank: { readonly [L in LogLevel]: number } = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 };

/** Values that go into a line beside the message. A bigint is printed in decimal. */
export type LogFields = { readonly [key: string]: unknown };

export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
  /** A logger whose lines name `caller` as their source, `folder/file` without ending. */
  child(caller: string): Logger;
}

export const silentLogger: Logger = {
  log: () => undefined,
  child: () => silentLogger,
};
