// Chooses the form of the output.
import { CommandError, exitStatus } from "../client/command-error.ts";
import type { Answer, AnswerKind, Views } from "./answer.ts";
import { fieldsViews } from "./fields.ts";
import { jsonViews } from "./json.ts";
import { protobufViews } from "./protobuf.ts";
import { simpleViews } from "./simple.ts";
import { tableViews } from "./table.ts";

const formats = {
  simple: simpleViews,
  json: jsonViews,
  table: tableViews,
  fields: fieldsViews,
  protobuf: protobufViews,
} as const satisfies { readonly [format: string]: Views };

export type Format = keyof typeof formats;

export interface Printer {
  readonly format: Format;
  print(answer: Answer): string | Uint8Array;
}

/** @throws CommandError for a form that there is not; `print` throws for a kind that the form cannot show. */
export function createPrinter(format: string, isHex: boolean): Printer {
  if (!Object.hasOwn(formats, format)) throw new CommandError("unsupported output format", exitStatus.unsupported);
  const known = format as Format;
  const views: { readonly [Kind in AnswerKind]?: (answer: never, isHex: boolean) => string | Uint8Array } =
    formats[known];
  return {
    format: known,
    print(answer) {
      const view = views[answer.kind];
      if (view === undefined) throw new CommandError(`${known} not supported as output format`, exitStatus.unsupported);
      return view(answer as never, isHex);
    },
  };
}
