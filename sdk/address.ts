// Where a member listens, read from what the user wrote.
import { InvalidArgumentError } from "./errors.ts";

export interface Address {
  /** As it is shown in errors and in `client.inspect()`; two spellings of one address become one. */
  readonly url: string;
  readonly isTls: boolean;
  /** The `:authority` of requests. */
  readonly authority: string;
  readonly target: { readonly host: string; readonly port: number } | { readonly path: string };
}

const defaultPort = 2379;

/**
 * Reads `http://host:port`, `https://host:port`, `unix:///path`, `unixs:///path` (TLS) or a bare `host:port`.
 * The port defaults to 2379.
 */
export function parseAddress(endpoint: string): Address {
  const unix = /^(unixs?):(?:\/\/)?(.+)$/.exec(endpoint);
  if (unix !== null) {
    const [, scheme, path] = unix as unknown as readonly [string, string, string];
    return { url: `${scheme}://${path}`, isTls: scheme === "unixs", authority: "localhost", target: { path } };
  }
  const withScheme = endpoint.includes("://") ? endpoint : `http://${endpoint}`;
  let parsed: URL;
  try {
    parsed = new URL(withScheme);
  } catch (cause) {
    throw new InvalidArgumentError(
      `endpoint: expected a URL like http://host:2379, found ${JSON.stringify(endpoint)}`,
      {
        cause,
      },
    );
  }
  const isPlain = parsed.pathname === "/" || parsed.pathname === "";
  if (!["http:", "https:"].includes(parsed.protocol) || !isPlain || parsed.username !== "" || parsed.search !== "") {
    throw new InvalidArgumentError(
      `endpoint: expected http, https, unix or unixs with a host, a port and nothing else, found ${JSON.stringify(endpoint)}`,
    );
  }
  const isTls = parsed.protocol === "https:";
  // URL drops a port that is its scheme's default; etcd's default port is another, so only a written one counts.
  const written = /:(\d+)\/?$/.exec(withScheme)?.[1];
  const port = written === undefined ? defaultPort : Number(written);
  const host = parsed.hostname.replace(/^\[(.*)\]$/, "$1");
  const authority = `${parsed.hostname}:${port}`;
  return { url: `${parsed.protocol}//${authority}`, isTls, authority, target: { host, port } };
}
