// The TLS flags of one side of a member, client port or peer port, to what it is started with. Whether the files are
// there and fit is found out when they are read.
import type { AutoTls, TlsConfig } from "../../config.ts";
import type { Problem } from "./setting.ts";
import type { SettingsTable } from "./settings-table.ts";

export type TlsSide = "client" | "peer";

/** Undefined when no certificate is named: the side then speaks TLS with nobody. */
export function resolveTls(table: SettingsTable, side: TlsSide, problems: Problem[]): TlsConfig | AutoTls | undefined {
  const prefix = side === "peer" ? "peer-" : "";
  const flag = (name: string): string => `${prefix}${name}`;
  const certFile = table.text(flag("cert-file"));
  const keyFile = table.text(flag("key-file"));
  checkUrls(table, side, certFile !== "" || table.boolean(flag("auto-tls")), problems);
  const versions = versionsOf(table);
  if (certFile === "" && keyFile === "") {
    if (!table.boolean(flag("auto-tls"))) return undefined;
    const validYears = Math.max(1, table.integer("self-signed-cert-validity"));
    // etcd forgets `--client-cert-auth` and its kin here, and lets everybody in: what was asked for must hold. Between
    // members it cannot: certificates that they made themselves come from no authority.
    const trust = side === "client" ? trustOf(table, side) : {};
    return { validYears, ...versions, ...trust };
  }
  if (certFile === "" || keyFile === "") {
    const missing = flag(certFile === "" ? "cert-file" : "key-file");
    const present = flag(certFile === "" ? "key-file" : "cert-file");
    problems.push({
      label: `--${missing}`,
      found: `nothing, while --${present} is set`,
      expected: "certificate and key together",
      type: `--${missing}=FILE`,
    });
  }
  return { certFile, keyFile, ...versions, ...trustOf(table, side), ...callerOf(table, side) };
}

/** A URL that promises TLS needs something to keep the promise with. */
function checkUrls(table: SettingsTable, side: TlsSide, hasTls: boolean, problems: Problem[]): void {
  const names = side === "peer" ? ["listen-peer-urls"] : ["listen-client-urls", "listen-metrics-urls"];
  for (const name of names) {
    for (const url of table.list(name)) {
      if (!/^(https|unixs):/.test(url) || hasTls) continue;
      const prefix = side === "peer" ? "peer-" : "";
      problems.push({
        label: table.setting(name)?.label ?? `--${name}`,
        found: url,
        expected: "a certificate and a key for TLS",
        type: `--${prefix}cert-file=FILE --${prefix}key-file=FILE, or --${prefix}auto-tls`,
      });
    }
  }
}

function versionsOf(table: SettingsTable): Pick<TlsConfig, "minVersion" | "maxVersion" | "cipherSuites"> {
  const maxVersion = table.text("tls-max-version");
  const cipherSuites = table.list("cipher-suites");
  return {
    minVersion: table.text("tls-min-version"),
    ...(maxVersion === "" ? {} : { maxVersion }),
    ...(cipherSuites.length === 0 ? {} : { cipherSuites }),
  };
}

function trustOf(
  table: SettingsTable,
  side: TlsSide,
): Pick<TlsConfig, "trustedCaFile" | "clientCertAuth" | "crlFile" | "allowedCommonNames" | "allowedHostnames"> {
  const isPeer = side === "peer";
  const trustedCaFile = table.text(isPeer ? "peer-trusted-ca-file" : "trusted-ca-file");
  const crlFile = table.text(isPeer ? "peer-crl-file" : "client-crl-file");
  const allowedCommonNames = isPeer ? table.list("peer-cert-allowed-cn") : [];
  const allowedHostnames = table.list(isPeer ? "peer-cert-allowed-hostname" : "client-cert-allowed-hostname");
  return {
    clientCertAuth: table.boolean(isPeer ? "peer-client-cert-auth" : "client-cert-auth"),
    ...(trustedCaFile === "" ? {} : { trustedCaFile }),
    ...(crlFile === "" ? {} : { crlFile }),
    ...(allowedCommonNames.length === 0 ? {} : { allowedCommonNames }),
    ...(allowedHostnames.length === 0 ? {} : { allowedHostnames }),
  };
}

/** What a member shows when it calls others, if that is not what it shows when it is called. */
function callerOf(table: SettingsTable, side: TlsSide): Pick<TlsConfig, "clientCertFile" | "clientKeyFile"> {
  if (side !== "peer") return {};
  const clientCertFile = table.text("peer-client-cert-file");
  const clientKeyFile = table.text("peer-client-key-file");
  return clientCertFile === "" || clientKeyFile === "" ? {} : { clientCertFile, clientKeyFile };
}
