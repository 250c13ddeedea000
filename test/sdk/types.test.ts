// What the compiler must infer, and what it must refuse. The checks are made when this file is compiled; the run only
// confirms that it was.
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import {
  bytes,
  type Client,
  type Collection,
  compare,
  type DeleteResult,
  type Duration,
  json,
  type KeyValue,
  type ListResult,
  op,
  type PutResult,
  type TxnResult,
  type Watch,
  type WatchBatch,
} from "../../sdk/index.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_equal: Equal<A, B>): void => undefined;

const user = json(z.object({ name: z.string(), age: z.number().default(1) }));
type User = { name: string; age: number };

/** Never called: its body is what is tested. */
export async function inferred(client: Client): Promise<void> {
  const text = await client.kv.get("k");
  same<typeof text, KeyValue<string> | undefined>(true);
  const raw = await client.kv.get("k", { codec: bytes });
  same<typeof raw, KeyValue<Uint8Array> | undefined>(true);
  const typed = await client.kv.get("k", { codec: user });
  same<typeof typed, KeyValue<User> | undefined>(true);
  const unknown = await client.kv.get("k", { codec: json() });
  same<typeof unknown, KeyValue<unknown> | undefined>(true);
  const put = await client.kv.put("k", { name: "Ada" }, { codec: user });
  same<typeof put, PutResult<User>>(true);
  for await (const item of client.kv.scan({ prefix: "k" }, { codec: user })) same<typeof item, KeyValue<User>>(true);

  const result = await client
    .txn()
    .if(compare("a").value("==", { name: "Ada" }, { codec: user }))
    .then(op.put("a", "1"), op.get("b", { codec: user }), op.count({ prefix: "c" }))
    .then(op.delete("d", { codec: bytes, previous: true }))
    .else(op.list({ prefix: "e" }))
    .commit();
  if (result.succeeded) {
    same<
      typeof result.responses,
      readonly [PutResult<string>, KeyValue<User> | undefined, number, DeleteResult<Uint8Array>]
    >(true);
  } else {
    same<typeof result.responses, readonly [ListResult<string>]>(true);
  }
  const nested = await client
    .txn()
    .then(client.txn().then(op.get("a")).asOp())
    .commit();
  if (nested.succeeded) {
    const [inner] = nested.responses;
    if (inner.succeeded) same<typeof inner.responses, readonly [KeyValue<string> | undefined]>(true);
    else same<typeof inner.responses, readonly []>(true);
  }
  same<typeof nested extends TxnResult<infer Then, infer _Else> ? Then["length"] : never, 1>(true);

  const watch = client.watch({ prefix: "k" }, { codec: user });
  same<typeof watch, Watch<User>>(true);
  for await (const batch of watch) {
    same<typeof batch, WatchBatch<User>>(true);
    for (const event of batch.events) {
      if (event.type === "put") same<typeof event.kv, KeyValue<User>>(true);
      else if (event.type === "invalid") same<typeof event.kv, KeyValue<Uint8Array>>(true);
      else event.type satisfies "delete";
    }
  }
  const view = client.collection({ prefix: "k" }, { codec: user });
  same<typeof view, Collection<User>>(true);
  view.on("change", ({ differences }) => same<(typeof differences)[number]["after"], KeyValue<User> | undefined>(true));
  client.on("status", (status) => {
    status satisfies "connecting" | "connected" | "suspended" | "lost" | "closed";
  });
  const updated = await client.kv.update("k", (current) => ({ name: current?.value.name ?? "new" }), { codec: user });
  same<typeof updated.value, { name: string; age?: number | undefined } | undefined>(true);

  // @ts-expect-error a value that is not text needs a codec
  await client.kv.put("k", 7);
  // @ts-expect-error the codec decides what can be written
  await client.kv.put("k", { nam: "Ada" }, { codec: user });
  // @ts-expect-error revisions are bigints
  await client.kv.get("k", { revision: 5 });
  // @ts-expect-error a duration is milliseconds or has a unit
  const wrong: Duration = "15";
  // @ts-expect-error a txn is not a promise
  await client.txn();
  // @ts-expect-error a collection is of a range
  client.collection("k");
  return void wrong;
}

test("the types of transactions, codecs and watches are inferred", () => {
  assert.equal(typeof inferred, "function");
});
