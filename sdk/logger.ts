// The logger that the SDK accepts: pino's shape, so that pino, fastify's logger and most others fit as they are.

/** A method that takes fields and a message. */
export type LogMethod = (fields: object, message: string) => void;

/** What the SDK needs of a logger. `child`, where there is one, is called with the part of the SDK that logs. */
export interface Logger {
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
  child?(bindings: object): Logger;
}

const ignore: LogMethod = () => undefined;

export const silentLogger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** A logger whose lines carry `bindings`, where the given one can do that. */
export const childLogger = (logger: Logger, bindings: object): Logger => logger.child?.(bindings) ?? logger;
