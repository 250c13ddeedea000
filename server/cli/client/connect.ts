// From the global flags to a connected client: endpoints, TLS, credentials, times.
import { readFileSync } from "node:fs";
import {
  type Client,
  type ClientOptions,
  type Credentials,
  connect,
  type Logger,
  type TlsOptions,
} from "../../../sdk/index.ts";
import { badArguments } from "./command-error.ts";
import type { FlagValues } from "./flag-values.ts";
import type { Io } from "./io.ts";
import { askPassword } from "./prompt.ts";

/** Endpoints as given, or as the DNS domain of --discovery-srv names them. */
export async function findEndpoints(flags: FlagValues): Promise<readonly string[]> {
  const domain = flags.text("discovery-srv");
  if (domain !== "") {
    const { discoverEndpoints } = await import("./discover.ts");
    return discoverEndpoints(domain, flags.text("discovery-srv-name"), flags.boolean("insecure-discovery"));
  }
  const endpoints = flags.list("endpoints");
  if (endpoints.length === 0) throw badArguments("no endpoints: type --endpoints=127.0.0.1:2379");
  return endpoints;
}

/** Everything but the endpoints, which asks for a password at most once. */
export async function readClientOptions(flags: FlagValues, io: Io): Promise<Omit<ClientOptions, "endpoints">> {
  const credentials = await readCredentials(flags, io);
  const tls = readTls(flags);
  const receiveBytesMax = Number(flags.integer("max-recv-bytes"));
  const probeAfter = flags.durationMs("keepalive-time");
  return {
    deadline: flags.durationMs("command-timeout"),
    connectTimeout: flags.durationMs("dial-timeout"),
    liveness: { probeAfter, deadAfter: probeAfter + flags.durationMs("keepalive-timeout") },
    balance: "ordered",
    ...(receiveBytesMax > 0 ? { messageBytesMax: receiveBytesMax } : {}),
    ...(tls === undefined ? {} : { tls }),
    ...(credentials === undefined ? {} : { credentials }),
    ...(flags.boolean("debug") ? { logger: debugLogger({}, io) } : {}),
  };
}

/** Connects to these endpoints; one without a scheme speaks TLS if the flags ask for it. */
export function connectTo(
  endpoints: readonly string[],
  flags: FlagValues,
  options: Omit<ClientOptions, "endpoints">,
): Promise<Client> {
  const isTls = options.tls !== undefined || !flags.boolean("insecure-transport");
  const urls = endpoints.map((endpoint) => (endpoint.includes("://") || !isTls ? endpoint : `https://${endpoint}`));
  return connect({ ...options, endpoints: urls });
}

function readTls(flags: FlagValues): TlsOptions | undefined {
  const [ca, cert, key] = [flags.text("cacert"), flags.text("cert"), flags.text("key")];
  if ((cert === "") !== (key === "")) {
    throw badArguments(`--cert and --key belong together: found --key=${key} and --cert=${cert}`);
  }
  const isAnyTrusted = flags.boolean("insecure-skip-tls-verify");
  if (ca === "" && cert === "" && !isAnyTrusted) return undefined;
  return {
    ...(ca === "" ? {} : { ca: readPem(ca) }),
    ...(cert === "" ? {} : { cert: readPem(cert), key: readPem(key) }),
    ...(isAnyTrusted ? { rejectUnauthorized: false } : {}),
  };
}

function readPem(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw badArguments(`cannot read ${path}: ${(error as Error).message}`);
  }
}

async function readCredentials(flags: FlagValues, io: Io): Promise<Credentials | undefined> {
  const user = flags.text("user");
  const password = flags.isSet("password") ? flags.text("password") : undefined;
  if (user === "") {
    if (password !== undefined) throw badArguments("--password belongs to --user: type --user=NAME");
    return undefined;
  }
  if (password !== undefined) return { name: user, password };
  const at = user.indexOf(":");
  if (at >= 0) return { name: user.slice(0, at), password: user.slice(at + 1) };
  return { name: user, password: await askPassword("Password: ", io) };
}

/** Lines like the server's, on standard error. */
function debugLogger(bindings: object, io: Io): Logger {
  const write =
    (level: string) =>
    (fields: object, message: string): void => {
      const line = { level, ts: new Date().toISOString(), msg: message, ...bindings, ...fields };
      io.errors.write(`${JSON.stringify(line, printable)}\n`);
    };
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: (more) => debugLogger({ ...bindings, ...more }, io),
  };
}

const printable = (_: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);
