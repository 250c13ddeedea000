// Histories that are legal because of how they come about: clients ask one store that does one thing at a time, some
// answers get lost, and so do some requests, or they are carried out long after their client gave up.
import type { Random } from "../../server/lib/random.ts";
import type { Operation, Request, Result, RevisionChanges } from "./operation.ts";
import { pick, RequestDrawer, type RequestMix } from "./random-requests.ts";
import { StoreModel } from "./store-model.ts";

export interface HistoryMix extends RequestMix {
  readonly clients: number;
  readonly operations: number;
  /** Chance that an operation's outcome stays unknown. */
  readonly lossChance: number;
}

export interface RandomHistory {
  readonly operations: readonly Operation[];
  readonly changes: ReadonlyMap<number, RevisionChanges>;
}

interface Running {
  readonly id: number;
  readonly client: string;
  readonly request: Request;
  readonly invokedAt: number;
  result: Result | undefined;
  isLost: boolean;
}

export function drawHistory(random: Random, mix: HistoryMix): RandomHistory {
  const store = new StoreModel();
  const drawer = new RequestDrawer(random, mix);
  const changes = new Map<number, RevisionChanges>();
  const leases: bigint[] = [];
  const done: Operation[] = [];
  const running: Running[] = [];
  /** Asked by clients that do not wait any more. */
  let limbo: Running[] = [];
  let time = 0;
  let values = 0;
  let started = 0;
  const surroundings = {
    get revision() {
      return store.revision;
    },
    leases,
    nextValue: () => `v${++values}`,
    nextLease: () => BigInt(leases.length + 1),
  };
  const carryOut = (item: Running): void => {
    const answer = store.apply(item.request);
    item.result = answer.result;
    if (answer.changes !== undefined) changes.set(answer.changes.revision, answer.changes);
  };
  const finish = (item: Running): void => {
    const { id, client, request, invokedAt, result } = item;
    const outcome: Operation["outcome"] =
      item.isLost || result === undefined ? { kind: "unknown" } : { kind: "returned", time, result };
    done.push({ id, client, request, invokedAt, outcome });
  };
  while (started < mix.operations || running.length > 0) {
    // Not always: what happens at one moment is concurrent.
    time += random.below(3);
    if (limbo.length > 0 && random.below(20) === 0) {
      const late = pick(random, limbo);
      limbo = limbo.filter((item) => item !== late);
      carryOut(late);
    }
    if (running.length < mix.clients && started < mix.operations && random.below(2) === 0) {
      const request = drawer.draw(surroundings);
      if (request.kind === "lease-grant" && !leases.includes(request.id)) leases.push(request.id);
      running.push({
        id: started++,
        client: `c${random.below(mix.clients)}`,
        request,
        invokedAt: time,
        result: undefined,
        isLost: random.next() < mix.lossChance,
      });
      continue;
    }
    if (running.length === 0) continue;
    const item = pick(random, running);
    if (item.result === undefined && !(item.isLost && random.below(2) === 0)) {
      carryOut(item);
      continue;
    }
    running.splice(running.indexOf(item), 1);
    finish(item);
    if (item.result === undefined) limbo.push(item);
  }
  return { operations: done, changes };
}
