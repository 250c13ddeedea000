// Flags that every client command takes, and the variables that stand for them.
import { boolean, type ClientFlag, duration, integer, list, text } from "./command-description.ts";

export const globalFlags: readonly ClientFlag[] = [
  list("endpoints", "Where the members listen, with commas between", "127.0.0.1:2379"),
  text("write-out", "Form of the output: simple, json, table, fields or protobuf", "simple", "w"),
  boolean("hex", "Print keys and values as hexadecimal bytes"),
  duration("dial-timeout", "Time that connecting may take", "2s"),
  duration("command-timeout", "Time that a short command may take, connecting apart", "5s"),
  duration("keepalive-time", "Silence after which a member is asked for a sign of life", "2s"),
  duration("keepalive-timeout", "Time it then has to give one", "6s"),
  text("user", "Name, or name:password; asks for the password if there is none"),
  text("password", "Password of --user"),
  text("cacert", "File with the authorities whose certificates are trusted"),
  text("cert", "File with the certificate to show"),
  text("key", "File with the key of --cert"),
  boolean("insecure-transport", "Connect without TLS where an endpoint does not say", "true"),
  boolean("insecure-skip-tls-verify", "Trust any certificate; for tests only"),
  text("discovery-srv", "DNS domain whose SRV records name the endpoints", "", "d"),
  text("discovery-srv-name", "Suffix of the service name in those records"),
  boolean("insecure-discovery", "Take SRV records of members without TLS, too", "true"),
  integer("max-request-bytes", "Taken for etcdctl's sake; the server sets the limit"),
  integer("max-recv-bytes", "Largest answer that is taken; 0 means 256 MiB"),
  boolean("debug", "Tell on standard error what the client does"),
  boolean("help", "Print help for a command", "false", "h"),
];

/** Variables for flags, the one that counts first: QUORATECTL_ENDPOINTS, then ETCDCTL_ENDPOINTS. */
export const variablesOf = (flag: string): readonly string[] => {
  const name = flag.toUpperCase().replaceAll("-", "_");
  return [`QUORATECTL_${name}`, `ETCDCTL_${name}`];
};
