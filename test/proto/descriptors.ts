// Reads the .proto files through buf into plain shapes: what each message, enum and service looks like on the wire.
// Knows nothing of the generated code, so that the two can be compared.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { repositoryRoot } from "../support/paths.ts";

export interface FieldShape {
  readonly number: number;
  /** A scalar's name ("int64"), or the full name of a message or enum ("mvccpb.KeyValue"). */
  readonly type: string;
  readonly repeated?: true;
  /** Name of the oneof that the field belongs to. */
  readonly oneof?: string;
}

export interface MethodShape {
  /** Full names; "stream " in front where the side streams. */
  readonly request: string;
  readonly response: string;
}

export type Shape =
  | { readonly kind: "message"; readonly fields: { readonly [name: string]: FieldShape } }
  | { readonly kind: "enum"; readonly values: { readonly [name: string]: number } }
  | { readonly kind: "service"; readonly methods: { readonly [name: string]: MethodShape } };

// The part of google.protobuf.FileDescriptorSet's JSON form that is used here.
interface FieldJson {
  readonly name: string;
  readonly number: number;
  readonly label: string;
  readonly type: string;
  readonly typeName?: string;
  readonly oneofIndex?: number;
}
interface EnumJson {
  readonly name: string;
  readonly value: readonly { readonly name: string; readonly number?: number }[];
}
interface MessageJson {
  readonly name: string;
  readonly field?: readonly FieldJson[];
  readonly oneofDecl?: readonly { readonly name: string }[];
  readonly nestedType?: readonly MessageJson[];
  readonly enumType?: readonly EnumJson[];
}
interface FileJson {
  readonly name: string;
  readonly package: string;
  readonly messageType?: readonly MessageJson[];
  readonly enumType?: readonly EnumJson[];
  readonly service?: readonly {
    readonly name: string;
    readonly method: readonly {
      readonly name: string;
      readonly inputType: string;
      readonly outputType: string;
      readonly clientStreaming?: boolean;
      readonly serverStreaming?: boolean;
    }[];
  }[];
}

const withoutDot = (name: string): string => (name.startsWith(".") ? name.slice(1) : name);

function fieldShape(field: FieldJson, message: MessageJson): FieldShape {
  const oneof = field.oneofIndex === undefined ? undefined : message.oneofDecl?.[field.oneofIndex]?.name;
  return {
    number: field.number,
    type: field.typeName === undefined ? field.type.replace("TYPE_", "").toLowerCase() : withoutDot(field.typeName),
    ...(field.label === "LABEL_REPEATED" ? { repeated: true } : {}),
    ...(oneof === undefined ? {} : { oneof }),
  };
}

function addEnum(shapes: Map<string, Shape>, scope: string, json: EnumJson): void {
  const values = Object.fromEntries(json.value.map(({ name, number }) => [name, number ?? 0]));
  shapes.set(`${scope}.${json.name}`, { kind: "enum", values });
}

function addMessage(shapes: Map<string, Shape>, scope: string, json: MessageJson): void {
  const name = `${scope}.${json.name}`;
  const fields = Object.fromEntries((json.field ?? []).map((field) => [field.name, fieldShape(field, json)]));
  shapes.set(name, { kind: "message", fields });
  for (const nested of json.nestedType ?? []) addMessage(shapes, name, nested);
  for (const nested of json.enumType ?? []) addEnum(shapes, name, nested);
}

export interface Protocol {
  /** Messages, enums and services by full name. */
  readonly shapes: ReadonlyMap<string, Shape>;
  readonly files: readonly { readonly name: string; readonly package: string }[];
}

/** Everything under proto/. Throws with buf's own words where a file does not compile. */
export function readProtocol(): Protocol {
  const buf = join(repositoryRoot, "node_modules", ".bin", "buf");
  const args = ["build", "--as-file-descriptor-set", "--exclude-source-info", "-o", "-#format=json"];
  const result = spawnSync(buf, args, { cwd: join(repositoryRoot, "proto"), encoding: "utf8", maxBuffer: 1 << 26 });
  if (result.status !== 0) throw new Error(`buf build failed: ${result.error?.message ?? result.stderr}`);
  const set = JSON.parse(result.stdout) as { readonly file: readonly FileJson[] };
  const shapes = new Map<string, Shape>();
  for (const file of set.file) {
    for (const message of file.messageType ?? []) addMessage(shapes, file.package, message);
    for (const json of file.enumType ?? []) addEnum(shapes, file.package, json);
    for (const service of file.service ?? []) {
      const methods = Object.fromEntries(
        service.method.map((method) => [
          method.name,
          {
            request: `${method.clientStreaming === true ? "stream " : ""}${withoutDot(method.inputType)}`,
            response: `${method.serverStreaming === true ? "stream " : ""}${withoutDot(method.outputType)}`,
          },
        ]),
      );
      shapes.set(`${file.package}.${service.name}`, { kind: "service", methods });
    }
  }
  return { shapes, files: set.file.map((file) => ({ name: file.name, package: file.package })) };
}
