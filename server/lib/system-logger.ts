// Log lines as text: one JSON object a line, with the keys etcd uses, so that tools that read its logs read ours; or
// lines for a person. Where they go is the caller's `write`, which must not fail.
import { type LogFields, type Logger, type LogLevel, logLevelRank } from "./logger.ts";

/**
 * - `json`: `{"level","ts","caller","msg",...}`;
 * - `console`: the same with tabs between, as etcd's console format;
 * - `friendly`: for somebody who looks at a terminal: no times, no callers.
 */
export type LogFormat = "json" | "console" | "friendly";

export interface SystemLoggerOptions {
  /** Lines below it are left out. */
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes a whole line with its end. */
  readonly write: (line: string) => void;
}

/** Makes a logger; `caller` is what lines name as their source until `child` says otherwise. */
export function createSystemLogger(options: SystemLoggerOptions, caller = "quorate"): Logger {
  const { level: least, format, write } = options;
  const toLine = formats[format];
  return {
    log(level, message, fields = {}) {
      if (logLevelRank[level] < logLevelRank[least]) return;
      write(`${toLine(level, caller, message, fields)}\n`);
    },
    child: (name) => createSystemLogger(options, name),
  };
}

type ToLine = (level: LogLevel, caller: string, message: string, fields: LogFields) => string;

const formats: { readonly [F in LogFormat]: ToLine } = {
  json: (level, caller, message, fields) => {
    const { level: _l, ts: _t, caller: _c, msg: _m, ...rest } = fields;
    return JSON.stringify({ level, ts: new Date().toISOString(), caller, msg: message, ...rest }, printable);
  },
  console: (level, caller, message, fields) => {
    const rest = Object.keys(fields).length === 0 ? "" : `\t${JSON.stringify(fields, printable)}`;
    return `${new Date().toISOString()}\t${level}\t${caller}\t${message}${rest}`;
  },
  friendly: (level, _caller, message, fields) => {
    const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${friendlyValue(value)}`);
    return `${level === "info" ? "" : `${level}: `}${message}${rest.join("")}`;
  },
};

function friendlyValue(value: unknown): string {
  if (value instanceof Error) return value.message;
  if (typeof value === "string") return value;
  return JSON.stringify(value, printable) ?? "undefined";
}

/** Errors with their causes, ids in decimal: what JSON does not know by itself. */
function printable(_: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (!(value instanceof Error)) return value;
  const text = value.stack ?? value.message;
  return value.cause === undefined ? text : `${text}\ncaused by: ${String(printable("", value.cause))}`;
}
