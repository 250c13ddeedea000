// Removes what a write without an answer may still create. A request that got lost on the way can be carried out late,
// after its caller has given up and tidied up; the key then belongs to a living session and nobody would ever delete it.
import { compare, op, type Watch } from "../sdk/index.ts";
import type { Session } from "./session.ts";
import { mayPass, pauseMs, sleep } from "./waiting.ts";

/** Watches one key for the rest of its session's life and deletes it whenever this session turns out to have made it. */
export class StraySweeper {
  readonly #session: Session;
  readonly #key: string;
  readonly #watch: Watch<Uint8Array>;
  readonly #done: Promise<void>;

  constructor(session: Session, key: string) {
    this.#session = session;
    this.#key = key;
    const anything = { name: "bytes", encode: (value: Uint8Array) => value, decode: (value: Uint8Array) => value };
    this.#watch = session.client.watch(key, { snapshot: true, signal: session.signal, ref: false, codec: anything });
    this.#done = this.#run();
  }

  /** Resolves when nothing that it has begun is under way any more. */
  async stop(): Promise<void> {
    await this.#watch.close();
    await this.#done;
  }

  async #run(): Promise<void> {
    try {
      for await (const { events } of this.#watch) {
        for (const event of events) {
          if (event.type === "put" && event.kv.leaseId === this.#session.id)
            await this.#remove(event.kv.createRevision);
        }
      }
    } catch {
      // The session is lost, which removes the key; or the client is closed, which ends the session.
    }
  }

  async #remove(createRevision: bigint): Promise<void> {
    const { client, signal } = this.#session;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        await client
          .txn()
          .if(compare(this.#key).createRevision("==", createRevision))
          .then(op.delete(this.#key))
          .commit({ signal });
        return;
      } catch (error) {
        // Deleting what has one create revision twice deletes it once: safe to repeat.
        if (!mayPass(error)) throw error;
        await sleep(pauseMs(attempt), signal, false);
      }
    }
  }
}
