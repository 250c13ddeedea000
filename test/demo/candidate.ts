// Stands for election, and leads when it is its turn.
import { Election } from "../../recipes/index.ts";
import { enter, leave, report } from "./actor.ts";
import { electionName } from "./messages.ts";

await enter(async (client, name, ttl) => {
  report({ kind: "waiting" });
  const leadership = await new Election(client, electionName, { session: { ttl } }).campaign(name);
  report({ kind: "leads", epoch: String(leadership.epoch) });
  return async (order) => {
    if (order.kind !== "leave") return;
    await leadership.resign();
    await leave(client);
  };
});
