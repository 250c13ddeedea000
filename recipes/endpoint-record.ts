// What is stored for an instance of a service: the JSON of Go's naming/endpoints, so that Go's gRPC resolver and ours see
// the same, with one more field of our own that Go ignores.
//   key    <service>/<id>
//   value  {"Op":0,"Addr":"10.0.0.7:8443","Metadata":...,"Instance":{"id":"...","epoch":1,"version":1,"weight":1}}
import { type Codec, type SchemaOutput, type StandardSchema, validate } from "../sdk/index.ts";
import { RecipeError } from "./errors.ts";

/** Which process wrote an endpoint. Absent from what Go and others register. */
export interface Instance {
  /** Drawn anew for each registration. */
  readonly id: string;
  /** Counts how often that registration had to be made anew: after a lost session, or after another hand removed it. */
  readonly epoch: number;
  /** Counts its writes, so that each can be told from all others. */
  readonly version: number;
  /** Share of the calls that it wants, relative to the others'. */
  readonly weight: number;
}

/** A stored endpoint. */
export interface EndpointRecord<M = unknown> {
  readonly address: string;
  readonly metadata: M;
  readonly instance: Instance | undefined;
}

/** Prefix of a service's endpoints. */
export const servicePrefix = (service: string): string => `${service}/`;

export function endpointKey(service: string, id: string): string {
  if (service === "") throw new RecipeError("CONFLICT", "service: expected at least one character, found none");
  if (id === "") throw new RecipeError("CONFLICT", "id: expected at least one character, found none");
  return servicePrefix(service) + id;
}

/** `host:port`, with brackets around an IPv6 address. */
export function joinAddress(host: string, port: number | undefined): string {
  if (port === undefined) return host;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new RecipeError("CONFLICT", `port: expected a number from 0 to 65535, found ${port}`);
  }
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Host and port of an address; `port` is undefined where there is none. */
export function splitAddress(address: string): { readonly host: string; readonly port: number | undefined } {
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(address);
  // More colons without brackets: an IPv6 address on its own.
  if (match === null) return { host: address, port: undefined };
  return { host: match[1] ?? match[2] ?? "", port: match[3] === undefined ? undefined : Number(match[3]) };
}

export function encodeEndpoint({ address, metadata, instance }: EndpointRecord): string {
  return JSON.stringify({ Op: 0, Addr: address, Metadata: metadata ?? null, Instance: instance });
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Reads endpoints; with a schema, their metadata must fit it. Throws for what is no endpoint. */
export function endpointCodec<S extends StandardSchema>(schema: S): Codec<EndpointRecord<SchemaOutput<S>>, never>;
export function endpointCodec(schema?: StandardSchema): Codec<EndpointRecord, never>;
export function endpointCodec(schema?: StandardSchema): Codec<EndpointRecord, never> {
  return {
    name: "endpoint",
    encode: () => {
      throw new TypeError("endpoints are written by their registrations");
    },
    decode: async (stored) => {
      const record = parseEndpoint(decoder.decode(stored));
      return schema === undefined ? record : { ...record, metadata: await validate(schema, record.metadata) };
    },
  };
}

export function parseEndpoint(text: string): EndpointRecord {
  const parsed: unknown = JSON.parse(text);
  const { Addr, Metadata, Instance } = fieldsOf(parsed, "an endpoint");
  if (typeof Addr !== "string" || Addr === "") throw new TypeError("Addr: expected an address, found none");
  return { address: Addr, metadata: Metadata ?? undefined, instance: parseInstance(Instance) };
}

function parseInstance(value: unknown): Instance | undefined {
  if (value === undefined || value === null) return undefined;
  const { id, epoch, version, weight } = fieldsOf(value, "Instance");
  if (typeof id !== "string" || typeof epoch !== "number") throw new TypeError("Instance: expected an id and an epoch");
  return {
    id,
    epoch,
    version: typeof version === "number" ? version : 0,
    weight: typeof weight === "number" && weight >= 0 ? weight : 1,
  };
}

function fieldsOf(value: unknown, what: string): { readonly [field: string]: unknown } {
  if (typeof value !== "object" || value === null) throw new TypeError(`${what}: expected an object`);
  return value as { readonly [field: string]: unknown };
}

/** Whether a stored value was written by this registration; what is unreadable was not. */
export function instanceOf(stored: Uint8Array): Instance | undefined {
  try {
    return parseEndpoint(decoder.decode(stored)).instance;
  } catch {
    return undefined;
  }
}
