// What the actors share: each is a process of its own, told what to do over its channel to the director. One that has
// lost its director ends.
import { type Client, connect, type Duration } from "../../sdk/index.ts";
import type { Order, Report } from "./messages.ts";

export const report = (message: Report): void => {
  process.send?.(message);
};

/** Connects to the endpoints, with the name and TTL that the director gave. `onOrder` gets the orders, one after the other. */
export async function enter(
  play: (client: Client, name: string, ttl: Duration) => Promise<(order: Order) => Promise<void> | void>,
): Promise<void> {
  const [endpoints, name, ttl] = process.argv.slice(2);
  if (endpoints === undefined || name === undefined || ttl === undefined) {
    throw new Error("expected endpoints, with commas, a name, and the TTL of leases");
  }
  process.on("disconnect", () => process.exit(1));
  const client = await connect({ endpoints: endpoints.split(",") });
  // Orders may come while the play is still being set up.
  const early: Order[] = [];
  let onOrder = (order: Order): Promise<void> | void => {
    early.push(order);
  };
  let work: Promise<void> = Promise.resolve();
  process.on("message", (order: Order) => {
    work = work.then(() => onOrder(order));
  });
  onOrder = await play(client, name, ttl as Duration);
  for (const order of early.splice(0)) work = work.then(() => onOrder(order));
}

/** Says goodbye and ends. */
export async function leave(client: Client): Promise<never> {
  await client.close();
  await new Promise<void>((resolve) => {
    if (process.send === undefined) resolve();
    else process.send({ kind: "left" } satisfies Report, undefined, undefined, () => resolve());
  });
  process.exit(0);
}
