// Listen URLs as etcd's --listen-client-urls writes them: http, https, unix and unixs.
import { lookup } from "node:dns/promises";

export interface ListenAddress {
  readonly isTls: boolean;
  readonly target:
    | { readonly kind: "tcp"; readonly host: string; readonly port: number }
    /** The socket's file; relative to the working folder unless it begins with a slash. */
    | { readonly kind: "unix"; readonly path: string };
}

/** Throws a plain sentence where the URL is none of ours. */
export function parseListenUrl(url: string): ListenAddress {
  const match = /^(https?|unixs?):\/\/([^/]*)(\/.*)?$/.exec(url);
  if (match === null) throw new Error(`expected a URL like http://127.0.0.1:2379 or unix://path, found ${url}`);
  const [, scheme, authority = "", path = ""] = match;
  const isTls = scheme === "https" || scheme === "unixs";
  if (scheme === "unix" || scheme === "unixs") {
    // As etcd: host and path together are the file name, so unix://a:1 and unix:///run/a are both good.
    if (authority + path === "") throw new Error(`${url} names no socket file`);
    return { isTls, target: { kind: "unix", path: authority + path } };
  }
  if (path !== "" && path !== "/") throw new Error(`a listen URL has no path, found ${url}`);
  const parts = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(authority);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65_535) throw new Error(`expected host:port, found ${url}`);
  return { isTls, target: { kind: "tcp", host: parts[1] ?? parts[2] ?? "", port } };
}

/** The address to bind for a host name. IPv4 first: clients that mean this machine write 127.0.0.1. */
export async function resolveListenHost(host: string): Promise<string> {
  if (host === "") return "::";
  const { address } = await lookup(host, { verbatim: false });
  return address;
}

/** `address:port` with brackets around IPv6. */
export function hostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
