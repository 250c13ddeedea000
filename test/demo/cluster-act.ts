// The act of the cluster: three members, one of which leads and is killed in the middle of everything.
import { type Client, ClientError, connect } from "../../sdk/index.ts";
import type { Scene } from "./acts.ts";
import { Cast } from "./cast.ts";
import { Member } from "./member.ts";
import { longTtl } from "./messages.ts";
import { type Stage, seconds } from "./stage.ts";

const prefix = "demo/journal/";
const entryOf = (number: number): string => `${prefix}${String(number).padStart(6, "0")}`;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Writes numbered entries one after the other, and remembers which of them it was told are safe. */
class Journal {
  readonly acknowledged: number[] = [];
  /** When the newest of them was. */
  lastMs = 0;
  readonly #client: Client;
  #isWriting = true;
  readonly #done: Promise<void>;

  constructor(client: Client) {
    this.#client = client;
    this.#done = this.#write();
  }

  async #write(): Promise<void> {
    for (let number = 1; this.#isWriting; number++) {
      try {
        await this.#client.kv.put(entryOf(number), "written");
        this.acknowledged.push(number);
        this.lastMs = performance.now();
      } catch {
        // Nobody said yes: this one may be there or not, and it is not counted. The next one has a number of its own.
        await pause(10);
      }
      await pause(2);
    }
  }

  /** Waits until so many more are acknowledged. */
  async grows(by: number): Promise<void> {
    const count = this.acknowledged.length + by;
    while (this.acknowledged.length < count) await pause(5);
  }

  async end(): Promise<void> {
    this.#isWriting = false;
    await this.#done;
  }
}

/** Members elect a leader, lose it, and go on with all that was promised. */
export async function cluster({ stage }: Scene): Promise<void> {
  stage.act("Three members, and the one that leads is killed");
  const members = await Member.startCluster(["north", "east", "west"]);
  try {
    const endpoints = members.map(({ endpoint }) => endpoint);
    await using client = await connect({ endpoints, balance: "rotate" });
    await using cast = new Cast(endpoints.join());
    await play(stage, members, client, cast);
  } finally {
    await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
  }
}

async function play(stage: Stage, members: readonly Member[], client: Client, cast: Cast): Promise<void> {
  for (const { name, endpoint, pid } of members) stage.line(name, `serves at ${endpoint} (process ${pid})`);
  const leader = await leaderOf(members, client);
  stage.line(leader.name, "was elected by the others, and leads");
  const worker = cast.start("worker", "worker-3", longTtl);
  const { token } = await worker.hears("acquired");
  stage.line(worker.name, `takes a lock in the cluster, with token ${token}`);
  const journal = new Journal(client);
  await journal.grows(50);
  stage.line("client", "writes a journal, one entry after the other, through every member in turn");

  await leader.kill();
  const killedMs = performance.now();
  const before = journal.acknowledged.length;
  stage.line(leader.name, `is gone (SIGKILL), after ${before} entries`);
  const next = await leaderOf(members, client, leader);
  await journal.grows(1);
  const withoutMs = journal.lastMs - killedMs;
  stage.line(next.name, "leads now");
  stage.claim(
    `${seconds(withoutMs)} after the death another leads and entries are acknowledged, with nobody's help`,
    next !== leader && journal.acknowledged.length > before,
  );
  await journal.grows(50);
  worker.tell({ kind: "write", text: "worker-3: still here" });
  await worker.hears("wrote");
  stage.claim("the lock outlived the leader: its holder writes under the same token", true);

  await leader.restart();
  stage.line(leader.name, `is started again (process ${leader.pid}), and catches up`);
  await journal.grows(20);
  await journal.end();
  for (const member of members) await claimWhole(stage, member, journal);
  stage.claim("the worker leaves as it should", await worker.leaves());
}

/** Waits for somebody to lead, somebody else where there was a leader before. */
async function leaderOf(members: readonly Member[], client: Client, before?: Member): Promise<Member> {
  for (;;) {
    try {
      const { leaderId } = await client.maintenance.status();
      const { members: listed } = await client.cluster.list();
      const name = listed.find(({ id }) => id === leaderId)?.name;
      const leader = members.find((member) => member.name === name);
      if (leader !== undefined && leader !== before) return leader;
    } catch (error) {
      // Between two leaders nobody can say.
      if (!(error instanceof ClientError)) throw error;
    }
    await pause(50);
  }
}

async function claimWhole(stage: Stage, { name, endpoint }: Member, journal: Journal): Promise<void> {
  await using client = await connect({ endpoints: endpoint });
  const found = new Set((await client.kv.keys({ prefix })).map(({ key }) => key));
  const lost = journal.acknowledged.filter((number) => !found.has(entryOf(number)));
  stage.claim(`${name} has all ${journal.acknowledged.length} entries that were acknowledged`, lost.length === 0);
}
