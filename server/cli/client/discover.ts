// Endpoints from DNS SRV records, as etcd names them: `_etcd-client-ssl._tcp.DOMAIN` for members with TLS and
// `_etcd-client._tcp.DOMAIN` for those without.
import { resolveSrv } from "node:dns/promises";
import { CommandError, exitStatus } from "./command-error.ts";

export async function discoverEndpoints(
  domain: string,
  suffix: string,
  takesInsecure: boolean,
): Promise<readonly string[]> {
  const ending = suffix === "" ? "" : `-${suffix}`;
  const secure = await lookUp(`_etcd-client-ssl${ending}._tcp.${domain}`, "https");
  const insecure = takesInsecure ? await lookUp(`_etcd-client${ending}._tcp.${domain}`, "http") : [];
  const endpoints = [...secure, ...insecure];
  if (endpoints.length > 0) return endpoints;
  throw new CommandError(`${domain} has no SRV records of members`, exitStatus.badConnection);
}

async function lookUp(name: string, scheme: string): Promise<readonly string[]> {
  try {
    const records = await resolveSrv(name);
    return records
      .sort((a, b) => a.priority - b.priority)
      .map(({ name: host, port }) => `${scheme}://${host.replace(/\.$/, "")}:${port}`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTFOUND" || code === "ENODATA") return [];
    throw new CommandError(`cannot look up ${name}: ${(error as Error).message}`, exitStatus.badConnection);
  }
}
