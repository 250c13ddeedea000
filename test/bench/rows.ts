// The rows of the comparison: what is done, over and over, and what must be there before.

import type { Shape } from "./lib/shape.ts";
import type { KeyChoice, UnaryWork, Work } from "./load/load-spec.ts";
import {
  digitsIn,
  keyPrefix,
  keyPrefixEnd,
  keyText,
  paths,
  putMessage,
  rangeMessage,
  valueBytes,
} from "./load/messages.ts";

export interface Row {
  readonly name: string;
  /** One line for readers of the table. */
  readonly description: string;
  readonly work: Work;
  /** The constant request, for h2load; undefined where requests differ or are not unary. */
  readonly constant: UnaryWork | undefined;
  /** The method whose answered calls must add up to the operations; undefined where operations are not calls. */
  readonly method: string | undefined;
  /** Keys that must be there before: 0 .. keys-1. */
  readonly keys: number;
  /** The least ratio to etcd's operations a second that is aimed at, with so many members on either side. */
  readonly ratioMin: (shape: Shape, members: number) => number;
}

const manyKeys = 100_000;
const rangeKeys = 1_000;
const fanOutWatchers = 1_000;
const eventWatchers = 10;
const putsPerRound = 1_000;

const isSmall = ({ connections, streams }: Shape): boolean => connections * streams === 1;
const isMiddling = ({ connections, streams }: Shape): boolean => connections * streams <= 10;
function writeRatio(shape: Shape, members: number): number {
  if (isSmall(shape)) return 1;
  if (members > 1) return isMiddling(shape) ? 1 : 1.3;
  return isMiddling(shape) ? 1.2 : 2;
}

function readRatio(shape: Shape, members: number): number {
  if (isMiddling(shape)) return 1;
  return members > 1 ? 1.5 : 2;
}

const streamRatio = (_shape: Shape, members: number): number => (members > 1 ? 1 : 1.5);

function unary(path: string, message: Buffer, keys: KeyChoice, responseBytesMin: number): UnaryWork {
  const digitsAt = keys.kind === "constant" ? 0 : digitsIn(message);
  return { kind: "unary", path, message: message.toString("base64"), keys, digitsAt, responseBytesMin };
}

/** An answer with `count` values, and some bytes around each. */
const rangeResponseBytesMin = (count: number): number => count * (valueBytes + 16);
const putWork = (keys: KeyChoice): UnaryWork => unary(paths.put, putMessage(keyText(0)), keys, 5);
const rangeWork = (keys: KeyChoice, serializable: boolean): UnaryWork =>
  unary(paths.range, rangeMessage({ key: keyText(0), serializable }), keys, rangeResponseBytesMin(1));
const rangeManyWork = unary(
  paths.range,
  rangeMessage({ key: keyPrefix, rangeEnd: keyPrefixEnd }),
  { kind: "constant" },
  rangeResponseBytesMin(rangeKeys),
);

/** Puts keys 0 .. count-1, each once. */
export const fillWork = (count: number): Work => putWork({ kind: "sequential", count });

function constantRow(
  name: string,
  description: string,
  work: UnaryWork,
  more: Pick<Row, "method" | "keys" | "ratioMin">,
): Row {
  return { name, description, work, constant: work, ...more };
}

const constant: KeyChoice = { kind: "constant" };
const random: KeyChoice = { kind: "random", count: manyKeys };

export const rows: readonly Row[] = [
  constantRow("put", "Put of one 22-byte key, 256-byte value", putWork(constant), {
    method: "Put",
    keys: 0,
    ratioMin: writeRatio,
  }),
  {
    name: "put-random",
    description: `the same over ${manyKeys} keys`,
    work: putWork(random),
    constant: undefined,
    method: "Put",
    keys: 0,
    ratioMin: writeRatio,
  },
  constantRow("range", "linearizable Range of one key", rangeWork(constant, false), {
    method: "Range",
    keys: 1,
    ratioMin: readRatio,
  }),
  {
    name: "range-random",
    description: `the same over ${manyKeys} keys`,
    work: rangeWork(random, false),
    constant: undefined,
    method: "Range",
    keys: manyKeys,
    ratioMin: readRatio,
  },
  constantRow("range-serializable", "serializable Range of one key", rangeWork(constant, true), {
    method: "Range",
    keys: 1,
    ratioMin: readRatio,
  }),
  constantRow("range-1000", "linearizable Range over 1,000 keys", rangeManyWork, {
    method: "Range",
    keys: rangeKeys,
    ratioMin: readRatio,
  }),
  {
    name: "txn",
    description: "put if the key's mod revision is the one seen last; a key for each stream",
    work: { kind: "txn" },
    constant: undefined,
    method: "Txn",
    keys: 0,
    ratioMin: writeRatio,
  },
  {
    name: "keep-alive",
    description: "lease keepalives, a lease and a stream each",
    work: { kind: "keep-alive" },
    constant: undefined,
    method: undefined,
    keys: 0,
    ratioMin: streamRatio,
  },
  {
    name: "watch-fan-out",
    description: `one put after the other to ${fanOutWatchers} watchers spread over the streams; counts events`,
    work: { kind: "watch-fan-out", watchers: fanOutWatchers },
    constant: undefined,
    method: undefined,
    keys: 0,
    ratioMin: streamRatio,
  },
  {
    name: "watch-events",
    description: `rounds of ${putsPerRound} puts to ${eventWatchers} watchers on one stream; counts events`,
    work: { kind: "watch-events", watchers: eventWatchers, putsPerRound },
    constant: undefined,
    method: undefined,
    keys: 0,
    ratioMin: streamRatio,
  },
];
