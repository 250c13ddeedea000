// Answers of the KV and Watch services in wire form, written in one go: key-values come from the store as the bytes
// they are sent as. Fields go in from the last to the first (lib/wire-writer.ts).
import { WireWriter } from "../../lib/wire-writer.ts";
import type { DeleteRangeResult, OperationResult, PutResult, TxnResult } from "../../state/outcome.ts";
import type { RangeResult } from "../../state/range-read.ts";
import { EncodedMessage } from "../../transport/encoded-message.ts";
import type { EventsMessage, WatchMessage } from "../../watch/watch-stream.ts";
import { type Answer, EventsAnswer, PutTxnAnswer, RangeAnswer } from "./answers.ts";
import type { Header } from "./header.ts";

const headerHintBytes = 64;

function writeRangeFields(writer: WireWriter, result: RangeResult): void {
  writeRangeTail(writer, result);
  writeKeyValues(writer, result.keyValues);
}

function writeKeyValues(writer: WireWriter, keyValues: readonly Uint8Array[]): void {
  for (let i = keyValues.length - 1; i >= 0; i--) writer.bytesField(2, keyValues[i] as Uint8Array);
}

function writeRangeTail(writer: WireWriter, { count, hasMore }: RangeResult): void {
  writer.uintField(4, count);
  writer.boolField(3, hasMore);
}

function sizeHintOf(keyValues: readonly Uint8Array[]): number {
  let bytes = headerHintBytes;
  for (const keyValue of keyValues) bytes += keyValue.length + 6;
  return bytes;
}

/** The key-values of answers that are given again and again, as they are sent. */
const sharedKeyValues = new WeakMap<readonly Uint8Array[], Uint8Array>();

function encodeShared(keyValues: readonly Uint8Array[]): Uint8Array {
  let encoded = sharedKeyValues.get(keyValues);
  if (encoded === undefined) {
    const writer = new WireWriter(sizeHintOf(keyValues));
    writeKeyValues(writer, keyValues);
    encoded = writer.finish();
    sharedKeyValues.set(keyValues, encoded);
  }
  return encoded;
}

export function toRangeAnswer(header: Header, result: RangeResult): Answer {
  if (!result.isShared) return new RangeAnswer(header, result);
  const front = new WireWriter(headerHintBytes);
  header.write(front, result.revision);
  const tail = new WireWriter(16);
  writeRangeTail(tail, result);
  return new EncodedMessage([front.finish(), encodeShared(result.keyValues), tail.finish()]);
}

/** One chunk of a stream; the last one carries header, more and count. */
export function encodeRangeStreamResponse(
  header: Header,
  keyValues: readonly Uint8Array[],
  end: RangeResult | undefined,
): Uint8Array {
  const writer = new WireWriter(sizeHintOf(keyValues) + 8);
  if (end !== undefined) {
    writer.uintField(4, end.count);
    writer.boolField(3, end.hasMore);
  }
  writeKeyValues(writer, keyValues);
  if (end !== undefined) header.write(writer, end.revision);
  writer.header(1, writer.length);
  return writer.finish();
}

function writePutFields(writer: WireWriter, result: PutResult): void {
  if (result.previous !== undefined) writer.bytesField(2, result.previous);
}

function writeDeleteRangeFields(writer: WireWriter, result: DeleteRangeResult): void {
  for (let i = result.previous.length - 1; i >= 0; i--) writer.bytesField(3, result.previous[i] as Uint8Array);
  writer.uintField(2, result.deleted);
}

export function encodeDeleteRangeResponse(header: Header, result: DeleteRangeResult): Uint8Array {
  const writer = new WireWriter(sizeHintOf(result.previous));
  writeDeleteRangeFields(writer, result);
  header.write(writer, result.revision);
  return writer.finish();
}

export function toTxnAnswer(header: Header, result: TxnResult): Answer {
  if (result.results.every(isPlainPut)) return new PutTxnAnswer(header, result);
  const writer = new WireWriter(1024);
  writeTxnFields(writer, result);
  header.write(writer, result.revision);
  return new EncodedMessage([writer.finish()]);
}

function isPlainPut(result: OperationResult): boolean {
  return result.kind === "put" && result.previous === undefined;
}

function writeTxnFields(writer: WireWriter, result: TxnResult): void {
  for (let i = result.results.length - 1; i >= 0; i--) {
    const before = writer.length;
    writeOperationResult(writer, result.results[i] as OperationResult);
    writer.header(3, writer.length - before);
  }
  writer.boolField(2, result.succeeded);
}

const responseOpFields = { range: 1, put: 2, "delete-range": 3, txn: 4 } as const;

/** Operations inside a txn carry a header too, but only with the revision, and a nested txn's is empty: as etcd has it. */
function writeOperationResult(writer: WireWriter, result: OperationResult): void {
  const before = writer.length;
  if (result.kind === "range") writeRangeFields(writer, result);
  else if (result.kind === "put") writePutFields(writer, result);
  else if (result.kind === "delete-range") writeDeleteRangeFields(writer, result);
  else writeTxnFields(writer, result);
  const headerStart = writer.length;
  if (result.kind !== "txn") writer.uintField(3, result.revision);
  writer.header(1, writer.length - headerStart);
  writer.header(responseOpFields[result.kind], writer.length - before);
}

/** A message of a watch stream; with `fragmentBytes` it may come out as several. */
export function toWatchAnswers(header: Header, message: WatchMessage, fragmentBytes: number): Answer[] {
  if (message.kind === "events") return toEventsAnswers(header, message, fragmentBytes);
  const writer = new WireWriter(headerHintBytes);
  if (message.kind === "canceled") {
    if (message.reason !== "") writer.bytesField(6, Buffer.from(message.reason));
    writer.uintField(5, message.compactRevision);
    writer.boolField(4, true);
    writer.boolField(3, message.isCreation);
  } else if (message.kind === "created") writer.boolField(3, true);
  writer.int64Field(2, message.watchId);
  header.write(writer, message.revision);
  return [new EncodedMessage([writer.finish()])];
}

function toEventsAnswers(header: Header, message: EventsMessage, fragmentBytes: number): Answer[] {
  const { events } = message;
  if (!message.allowsFragments || message.bytes < fragmentBytes) {
    return [new EventsAnswer(header, message, 0, events.length, false)];
  }
  const answers: Answer[] = [];
  for (let from = 0; from < events.length; ) {
    let to = from + 1;
    let bytes = headerHintBytes + (events[from] as Uint8Array).length;
    while (to < events.length && bytes + (events[to] as Uint8Array).length < fragmentBytes) {
      bytes += (events[to] as Uint8Array).length;
      to++;
    }
    answers.push(new EventsAnswer(header, message, from, to, to < events.length));
    from = to;
  }
  return answers;
}
