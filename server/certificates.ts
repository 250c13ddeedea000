// The certificate that a side of a member shows: the one that was given, or one of its own making, kept in the data
// directory.
import { join } from "node:path";
import type { AutoTls, TlsConfig } from "./config.ts";
import { StartError } from "./identity.ts";
import type { Clock } from "./lib/clock.ts";
import { parseListenUrl } from "./transport/listen-url.ts";
import { keepSelfSigned } from "./transport/self-signed.ts";

/** @throws StartError when a certificate of our own cannot be made or read. */
export function certificatesOf(
  tls: TlsConfig | AutoTls | undefined,
  folder: string,
  side: "client" | "peer",
  listenUrls: readonly string[],
  clock: Clock,
): TlsConfig | undefined {
  if (tls === undefined || "certFile" in tls) return tls;
  const { validYears, ...versions } = tls;
  try {
    const files = keepSelfSigned(join(folder, `${side}-certificate`), {
      hosts: hostsOf(listenUrls),
      validYears,
      nowMs: clock.wallMs(),
    });
    return { ...files, ...versions, isSelfSigned: true };
  } catch (cause) {
    throw new StartError(`cannot make a certificate in ${folder}: ${(cause as Error).message}`, { cause });
  }
}

function hostsOf(urls: readonly string[]): readonly string[] {
  const hosts = urls
    .map((url) => parseListenUrl(url).target)
    .map((target) => (target.kind === "tcp" ? target.host : ""));
  return [...new Set(hosts.filter((host) => host !== ""))];
}
