// The wire contract, held from two sides: the .proto files against etcd's published surface (a file beside the checkout,
// where there is one), and the generated code against the .proto files, byte by byte with a parser of its own.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { RangeRequest } from "../../proto/gen/etcdserverpb/rpc.ts";
import { repositoryRoot } from "../support/paths.ts";
import { findShared } from "../support/shared.ts";
import { type FieldShape, readProtocol, type Shape } from "./descriptors.ts";

const { shapes, files } = readProtocol();
/** Packages that are etcd's; the standard health service is not part of the published surface file. */
const etcdPackages = ["etcdserverpb.", "mvccpb.", "authpb.", "v3lockpb.", "v3electionpb."];
/** What the generated files export, by package. */
const generated = new Map<string, { readonly [name: string]: unknown }>();
for (const file of files) {
  const compiled = join(repositoryRoot, "dist", "proto", "gen", file.name.replace(/\.proto$/, ".js"));
  const exported = (await import(pathToFileURL(compiled).href)) as { readonly [name: string]: unknown };
  generated.set(file.package, { ...generated.get(file.package), ...exported });
}

/** "ResponseHeader" inside etcdserverpb means etcdserverpb.ResponseHeader; an enum may sit inside the message itself. */
function resolveType(type: string, owner: string): string {
  for (let scope = owner; scope !== ""; scope = scope.slice(0, Math.max(0, scope.lastIndexOf("."))))
    if (shapes.has(`${scope}.${type}`)) return `${scope}.${type}`;
  return type;
}

function resolveMethodType(type: string, owner: string): string {
  const stream = type.startsWith("stream ") ? "stream " : "";
  return stream + resolveType(type.slice(stream.length), owner);
}

function toShape(json: Shape, owner: string): Shape {
  if (json.kind === "enum") return json;
  if (json.kind === "message") {
    const fields = Object.entries(json.fields).map(([name, field]) => [
      name,
      { ...field, type: resolveType(field.type, owner) },
    ]);
    return { kind: "message", fields: Object.fromEntries(fields) };
  }
  const methods = Object.entries(json.methods).map(([name, { request, response }]) => [
    name,
    { request: resolveMethodType(request, owner), response: resolveMethodType(response, owner) },
  ]);
  return { kind: "service", methods: Object.fromEntries(methods) };
}

test("the .proto files are etcd v3's, nothing missing and nothing extra", (t) => {
  const file = findShared(join("spec", "etcd-v3-wire.json"));
  if (file === undefined) {
    t.diagnostic("left out: no etcd-v3-wire.json beside the checkout (QUORATE_SHARED names another folder for it)");
    return;
  }
  const published = JSON.parse(readFileSync(file, "utf8")) as { readonly [name: string]: Shape };
  const ours = [...shapes.keys()].filter((name) => etcdPackages.some((prefix) => name.startsWith(prefix)));
  assert.deepEqual(ours.sort(), Object.keys(published).sort(), "messages, enums and services");
  for (const name of ours) {
    const expected = published[name];
    assert(expected !== undefined);
    assert.deepEqual(shapes.get(name), toShape(expected, name), name);
  }
  t.diagnostic(`${ours.length} messages, enums and services compared with ${file}`);
});

interface MessageCodec {
  encode(message: unknown): { finish(): Uint8Array };
  decode(input: Uint8Array): Record<string, unknown>;
  fromPartial(partial: Record<string, unknown>): unknown;
}

function generatedSymbol(fullName: string): unknown {
  const packageName = [...generated.keys()].find((name) => fullName.startsWith(`${name}.`)) ?? "";
  return generated.get(packageName)?.[fullName.slice(packageName.length + 1).replaceAll(".", "_")];
}

const isCodec = (value: unknown): value is MessageCodec =>
  typeof value === "object" && value !== null && "encode" in value && "decode" in value && "fromPartial" in value;

const camel = (name: string): string => name.replace(/_([a-zA-Z])/g, (_, letter: string) => letter.toUpperCase());

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

/** A value for the field, and the bytes that proto3 prescribes for it, worked out here and not by the generated code. */
function sampleOf(field: FieldShape): { readonly value: unknown; readonly wire: Buffer } {
  const tag = (wireType: number): Buffer => varint(BigInt(field.number * 8 + wireType));
  const delimited = (bytes: Buffer): Buffer => Buffer.concat([tag(2), varint(BigInt(bytes.length)), bytes]);
  const number = (value: bigint): Buffer => Buffer.concat([tag(0), varint(value)]);
  switch (field.type) {
    case "bytes":
      return { value: new Uint8Array([0, 255, 128]), wire: delimited(Buffer.from([0, 255, 128])) };
    case "string":
      return { value: "né", wire: delimited(Buffer.from("né")) };
    case "bool":
      return { value: true, wire: number(1n) };
    case "int64":
      return { value: -(2n ** 63n), wire: number(-(2n ** 63n)) };
    case "uint64":
      return { value: 2n ** 64n - 1n, wire: number(2n ** 64n - 1n) };
    case "uint32":
      return { value: 2 ** 32 - 1, wire: number(2n ** 32n - 1n) };
    case "int32":
      return { value: -1, wire: number(-1n) };
    case "sint64":
      return { value: -3n, wire: number(5n) };
    case "fixed64":
      return { value: 258n, wire: Buffer.concat([tag(1), Buffer.from([2, 1, 0, 0, 0, 0, 0, 0])]) };
    case "fixed32":
      return { value: 258, wire: Buffer.concat([tag(5), Buffer.from([2, 1, 0, 0])]) };
  }
  const shape = shapes.get(field.type);
  assert(shape !== undefined && shape.kind !== "service", `no such type: ${field.type}`);
  if (shape.kind === "enum") {
    const value = Math.max(...Object.values(shape.values));
    return { value, wire: number(BigInt(value)) };
  }
  const codec = generatedSymbol(field.type);
  assert(isCodec(codec), `${field.type} is not generated`);
  return { value: codec.decode(new Uint8Array()), wire: delimited(Buffer.alloc(0)) };
}

/** Repeated numbers are packed in proto3: one length-delimited field in place of one field each. */
function packed(wire: Buffer, field: FieldShape): Buffer {
  const tag = varint(BigInt(field.number * 8 + (Number(wire[0]) & 7)));
  if ((Number(wire[0]) & 7) === 2) return wire;
  const payload = wire.subarray(tag.length);
  return Buffer.concat([varint(BigInt(field.number * 8 + 2)), varint(BigInt(payload.length)), payload]);
}

test("generated code writes and reads every field as the .proto files say", (t) => {
  let fields = 0;
  for (const [name, shape] of shapes) {
    if (shape.kind !== "message") continue;
    const codec = generatedSymbol(name);
    assert(isCodec(codec), `${name} is not generated`);
    assert.equal(codec.encode(codec.fromPartial({})).finish().length, 0, `${name}: unset fields take no bytes`);
    for (const [fieldName, field] of Object.entries(shape.fields)) {
      const sample = sampleOf(field);
      const { value } = sample;
      const wire = field.repeated === true ? packed(sample.wire, field) : sample.wire;
      const member = field.repeated === true ? [value] : value;
      const partial =
        field.oneof === undefined
          ? { [camel(fieldName)]: member }
          : { [camel(field.oneof)]: { $case: camel(fieldName), value: member } };
      const encoded: Buffer = Buffer.from(codec.encode(codec.fromPartial(partial)).finish());
      assert.equal(encoded.toString("hex"), wire.toString("hex"), `${name}.${fieldName} on the wire`);
      const decoded: Record<string, unknown> = codec.decode(Uint8Array.from(wire));
      for (const [key, expected] of Object.entries(partial))
        assert.deepEqual(decoded[key], expected, `${name}.${fieldName} read back`);
      fields += 1;
    }
  }
  t.diagnostic(`${fields} fields`);
});

test("unknown fields and unknown enum values pass through a reader unharmed", () => {
  const unknownField = Buffer.concat([Buffer.from([0x0a, 0x01, 0x6b]), varint(15000n * 8n + 2n), Buffer.from([1, 7])]);
  assert.equal(Buffer.from(RangeRequest.decode(unknownField).key).toString(), "k");
  assert.equal(RangeRequest.decode(Buffer.from([0x28, 0x2a])).sortOrder, 42);
});

test("generated services have the .proto files' names, types and streaming", (t) => {
  let methods = 0;
  for (const [name, shape] of shapes) {
    if (shape.kind !== "service") continue;
    const definition = generatedSymbol(`${name}Definition`) as
      | { readonly fullName: string; readonly methods: { readonly [key: string]: MethodDefinition } }
      | undefined;
    assert(definition !== undefined, `${name} is not generated`);
    assert.equal(definition.fullName, name);
    const found = Object.values(definition.methods).map((method) => [
      method.name,
      {
        request: `${method.requestStream ? "stream " : ""}${typeName(method.requestType)}`,
        response: `${method.responseStream ? "stream " : ""}${typeName(method.responseType)}`,
      },
    ]);
    assert.deepEqual(Object.fromEntries(found), shape.methods, name);
    methods += found.length;
  }
  t.diagnostic(`${methods} RPCs`);
});

interface MethodDefinition {
  readonly name: string;
  readonly requestType: unknown;
  readonly responseType: unknown;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

const typeNames = new Map<unknown, string>();
for (const [name, shape] of shapes) if (shape.kind === "message") typeNames.set(generatedSymbol(name), name);

function typeName(codec: unknown): string {
  return typeNames.get(codec) ?? "a type that no .proto file names";
}

test("generated enums have every value of the .proto files", () => {
  for (const [name, shape] of shapes) {
    if (shape.kind !== "enum") continue;
    const symbol = generatedSymbol(name) as { readonly [value: string]: number } | undefined;
    assert(symbol !== undefined, `${name} is not generated`);
    const values = Object.fromEntries(Object.entries(symbol).filter(([key]) => key !== "UNRECOGNIZED"));
    assert.deepEqual(values, shape.values, name);
  }
});
