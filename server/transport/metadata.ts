// gRPC metadata with nice-grpc's interface and rules: text values joined with a comma, binary values under names that
// end in `-bin` and travel in base64. One for what a request brought, and for what a response takes along.
import type { Metadata, MetadataValue } from "nice-grpc-common";
import { type HeaderField, headerToken } from "./header-field.ts";
import type { ResponseFields } from "./hpack-encoder.ts";

type Value = string | Uint8Array;

const isBinaryName = (name: string): boolean => name.endsWith("-bin");
const validName = /^[0-9a-z_.-]+$/;
const validText = /^[ -~]*$/;

/** Names that the protocol itself uses in responses. */
const reserved = new Set([
  "content-type",
  "te",
  "grpc-status",
  "grpc-message",
  "grpc-encoding",
  "grpc-accept-encoding",
]);

export class CallMetadata implements Metadata {
  readonly #values = new Map<string, Value[]>();

  /** What a request's fields say beyond what the transport itself reads. Values that are no printable ASCII are left out. */
  static fromRequest(fields: readonly HeaderField[]): CallMetadata {
    const metadata = new CallMetadata();
    for (const { token, name, value } of fields) {
      if (token !== headerToken.other && token !== headerToken.host && token !== headerToken.contentLength) continue;
      if (!isBinaryName(name)) {
        if (validText.test(value)) metadata.#append(name, value);
      } else for (const part of value.split(",")) metadata.#append(name, Buffer.from(part.trim(), "base64"));
    }
    return metadata;
  }

  get isEmpty(): boolean {
    return this.#values.size === 0;
  }

  set<Key extends string>(key: Key, value: MetadataValue<Key> | MetadataValue<Key>[]): Metadata {
    const name = key.toLowerCase();
    const values = (Array.isArray(value) ? value : [value]) as Value[];
    for (const item of values) check(name, item);
    if (values.length === 0) this.#values.delete(name);
    else this.#values.set(name, isBinaryName(name) ? [...values] : [values.join(", ")]);
    return this;
  }

  append<Key extends string>(key: Key, value: MetadataValue<Key>): Metadata {
    const name = key.toLowerCase();
    check(name, value);
    this.#append(name, value);
    return this;
  }

  delete(key: string): void {
    this.#values.delete(key.toLowerCase());
  }

  get<Key extends string>(key: Key): MetadataValue<Key> | undefined {
    return this.#values.get(key.toLowerCase())?.[0] as MetadataValue<Key> | undefined;
  }

  getAll<Key extends string>(key: Key): MetadataValue<Key>[] {
    return (this.#values.get(key.toLowerCase()) ?? []) as MetadataValue<Key>[];
  }

  has(key: string): boolean {
    return this.#values.has(key.toLowerCase());
  }

  [Symbol.iterator](): IterableIterator<[string, Value[]]> {
    return this.#values[Symbol.iterator]();
  }

  #append(name: string, value: Value): void {
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, [value]);
    else if (isBinaryName(name)) values.push(value);
    else values[0] = `${values[0]}, ${value}`;
  }
}

/** As fields of a response. */
export function toResponseFields(metadata: Metadata): ResponseFields {
  const fields: [string, string][] = [];
  for (const [name, values] of metadata) {
    if (reserved.has(name)) continue;
    for (const value of values) fields.push([name, typeof value === "string" ? value : toUnpaddedBase64(value)]);
  }
  return fields;
}

/** The specification asks senders not to pad. */
function toUnpaddedBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64").replace(/=+$/, "");
}

function check(name: string, value: unknown): void {
  if (!validName.test(name)) throw new Error(`metadata name ${JSON.stringify(name)} contains illegal characters`);
  if (isBinaryName(name)) {
    if (!(value instanceof Uint8Array)) throw new Error(`metadata ${name}: a name in -bin takes bytes`);
  } else if (typeof value !== "string") throw new Error(`metadata ${name}: only a name in -bin takes bytes`);
  else if (!validText.test(value)) throw new Error(`metadata ${name}: the value is not printable ASCII`);
}
