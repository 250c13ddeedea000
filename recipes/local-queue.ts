// Takes turns inside one process. A session has one key per name, so two acquisitions of one name under one session
// would be one and the same contender; here they wait for each other first, in the order in which they came.
import type { Session } from "./session.ts";
import { StraySweeper } from "./stray-sweeper.ts";

/** One key's queue. */
interface Line {
  readonly waiting: (() => void)[];
  isTaken: boolean;
  /** A write of this key got no answer: it may still be carried out, at any time until the session ends. */
  isTainted: boolean;
  sweeper: StraySweeper | undefined;
}

const lines = new WeakMap<Session, Map<string, Line>>();

function lineOf(session: Session, key: string): Line {
  let ofSession = lines.get(session);
  if (ofSession === undefined) {
    ofSession = new Map();
    lines.set(session, ofSession);
  }
  let line = ofSession.get(key);
  if (line === undefined) {
    line = { waiting: [], isTaken: false, isTainted: false, sweeper: undefined };
    ofSession.set(key, line);
  }
  return line;
}

/** The right to use a key of a session, until `leave`. */
export class Turn {
  readonly #session: Session;
  readonly #key: string;
  readonly #line: Line;
  #isOver = false;

  /** @internal Use {@link takeTurn}. */
  constructor(session: Session, key: string, line: Line) {
    this.#session = session;
    this.#key = key;
    this.#line = line;
  }

  /** True once a write of the key got no answer. What is found under it may then be our own. */
  get isTainted(): boolean {
    return this.#line.isTainted;
  }

  /** Remembers that a write of the key got no answer. */
  taint(): void {
    this.#line.isTainted = true;
  }

  /** Hands the key to the next in line. The caller has made sure that the key does not exist, or the session is lost. */
  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const line = this.#line;
    const next = line.waiting.shift();
    if (next !== undefined) {
      next();
      return;
    }
    line.isTaken = false;
    if (this.#session.lost !== undefined) return;
    if (line.isTainted) line.sweeper = new StraySweeper(this.#session, this.#key);
    else lines.get(this.#session)?.delete(this.#key);
  }
}

/** Takes the key if nobody in this process uses it or waits for it; `undefined` otherwise. */
export async function takeTurnNow(session: Session, key: string): Promise<Turn | undefined> {
  return lineOf(session, key).isTaken ? undefined : takeTurn(session, key, undefined);
}

/**
 * Waits until nobody in this process uses the key of this session, in the order of the calls. Rejects with the reason of
 * `signal` when that aborts first.
 */
export async function takeTurn(session: Session, key: string, signal: AbortSignal | undefined): Promise<Turn> {
  const line = lineOf(session, key);
  const turn = new Turn(session, key, line);
  if (!line.isTaken) {
    line.isTaken = true;
    const { sweeper } = line;
    line.sweeper = undefined;
    // It must not take what this turn is about to create for a stray.
    await sweeper?.stop();
    return turn;
  }
  await new Promise<void>((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onTurn = (): void => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    };
    const onAbort = (): void => {
      line.waiting.splice(line.waiting.indexOf(onTurn), 1);
      reject(signal?.reason);
    };
    line.waiting.push(onTurn);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
  return turn;
}
