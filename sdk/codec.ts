// What a value means: bytes on the wire, something useful in the program. Codecs are passed per call or per view.
import { CodecError } from "./errors.ts";
import { isWellFormed } from "./text.ts";

/**
 * Turns values into bytes and back. `decode` may return a promise (schemas may validate asynchronously).
 * Both throw for what they cannot do; the SDK wraps that in a {@link CodecError} that names the key.
 */
export interface Codec<Out, In = Out> {
  readonly name: string;
  encode(value: In): Uint8Array;
  decode(bytes: Uint8Array): Out | PromiseLike<Out>;
}

/** What a codec's `decode` yields. */
export type Decoded<C> = C extends Codec<infer Out, infer _In> ? Out : never;

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text as UTF-8; the default. Bytes that are not UTF-8 are an error rather than replaced: read those with `bytes`. */
export const string: Codec<string> = {
  name: "string",
  encode: (value) => {
    // What the compiler would refuse comes in from untyped code.
    if (typeof value !== "string") throw new TypeError("expected a string; pass another codec for other values");
    // A lone surrogate would be stored as a replacement character and read back as something else.
    if (!isWellFormed(value)) throw new TypeError("text with a lone surrogate has no UTF-8 form");
    return encoder.encode(value);
  },
  decode: (bytes) => strictDecoder.decode(bytes),
};

/** The bytes themselves, copied on the way in and out, so that no later change of a buffer reaches the other side. */
export const bytes: Codec<Uint8Array> = {
  name: "bytes",
  encode: (value) => Uint8Array.from(value),
  decode: (value) => Uint8Array.from(value),
};

/**
 * The part of the Standard Schema interface (version 1) that is used here; zod, valibot and arktype schemas have it.
 * See https://standardschema.dev.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Input and output type of a schema, as the schema itself declares them. */
export type SchemaInput<S> = S extends StandardSchema<infer Input, infer _Output> ? Input : never;
export type SchemaOutput<S> = S extends StandardSchema<infer _Input, infer Output> ? Output : never;

/** A schema found a value wrong. `issues` says where and why. */
export class SchemaError extends CodecError {
  readonly issues: readonly StandardIssue[];
  constructor(issues: readonly StandardIssue[]) {
    super(`does not fit the schema: ${issues.map(describeIssue).join("; ")}`);
    this.issues = issues;
  }
}

function describeIssue(issue: StandardIssue): string {
  const path = (issue.path ?? []).map((step) => String(typeof step === "object" ? step.key : step)).join(".");
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}

/** JSON without a schema: what is read is `unknown` and has to be checked by whoever reads it. */
export function json(): Codec<unknown>;
/** JSON that is validated by a Standard Schema each time it is read; the result has the schema's output type. */
export function json<S extends StandardSchema>(schema: S): Codec<SchemaOutput<S>, SchemaInput<S>>;
export function json(schema?: StandardSchema): Codec<unknown> {
  return {
    name: "json",
    encode: (value) => {
      const text = JSON.stringify(value);
      if (text === undefined) throw new TypeError(`a value of type ${typeof value} has no JSON form`);
      return string.encode(text);
    },
    decode: (stored) => {
      const parsed: unknown = JSON.parse(strictDecoder.decode(stored));
      return schema === undefined ? parsed : validate(schema, parsed);
    },
  };
}

/** Validates with a Standard Schema: the output, or a {@link SchemaError} thrown (rejected where the schema is asynchronous). */
export function validate<Output>(schema: StandardSchema<unknown, Output>, value: unknown): Output | Promise<Output> {
  const result = schema["~standard"].validate(value);
  return result instanceof Promise ? result.then(outputOf) : outputOf(result);
}

function outputOf<Output>(result: StandardResult<Output>): Output {
  if (result.issues !== undefined) throw new SchemaError(result.issues);
  return result.value;
}

/** Messages of a generated protobuf type (ts-proto's `encode(...).finish()` and `decode`). */
export function protobuf<Message>(type: {
  encode(message: Message): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Message;
}): Codec<Message> {
  return {
    name: "protobuf",
    encode: (message) => type.encode(message).finish(),
    decode: (stored) => type.decode(stored),
  };
}

/** Encodes for the wire; a failure becomes a {@link CodecError} that names the key. */
export function encodeValue<In>(codec: Codec<unknown, In>, value: In, key: string): Uint8Array {
  try {
    return codec.encode(value);
  } catch (cause) {
    throw new CodecError(`value for ${key}: ${codec.name}: ${messageOf(cause)}`, { cause, key });
  }
}

/** Decodes what was stored. Stays synchronous where the codec is, so that long lists cost no promise per entry. */
export function decodeValue<Out>(codec: Codec<Out, never>, stored: Uint8Array, key: string): Out | Promise<Out> {
  const failed = (cause: unknown): never => {
    throw new CodecError(`value of ${key}: ${codec.name}: ${messageOf(cause)}`, { cause, key });
  };
  try {
    const value = codec.decode(stored);
    return isPromiseLike(value) ? Promise.resolve(value).catch(failed) : value;
  } catch (cause) {
    return failed(cause);
  }
}

export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
