// How many entries a second go through raft alone: memory for a disk, function calls for a network. Run it with
// `node dist/test/raft/bench.js [entries]`.
import { performance } from "node:perf_hooks";
import { createRandom } from "../../server/lib/random.ts";
import { MemoryLog } from "../../server/raft/memory-log.ts";
import { RawNode } from "../../server/raft/raw-node.ts";
import type { Save } from "../../server/raft/ready.ts";
import { type Entry, emptyConfState, emptyHardState, type MemberId } from "../../server/raft/types.ts";

const entryCount = Number(process.argv[2] ?? 1_000_000);
const data = new Uint8Array(256);

type Member = {
  readonly id: MemberId;
  readonly node: RawNode;
  readonly log: MemoryLog;
  readonly inbox: Save[];
  applied: number;
};

function createMember(id: MemberId, voters: readonly MemberId[]): Member {
  const log = new MemoryLog();
  const node = new RawNode({
    id,
    log,
    random: createRandom(Number(id)),
    hardState: emptyHardState,
    confState: { ...emptyConfState, voters },
    appliedIndex: 0,
    uncommittedBytesMax: Number.MAX_SAFE_INTEGER,
  });
  return { id, node, log, inbox: [], applied: 0 };
}

/** One turn of each member: deal with its Ready, deliver its messages. Returns whether anything moved. */
function turn(members: readonly Member[]): boolean {
  let moved = false;
  for (const member of members) {
    const { node, log } = member;
    if (!node.hasReady()) continue;
    moved = true;
    const { messages, save, committed } = node.ready();
    const leaving = [...messages];
    if (save !== undefined) {
      log.save(save);
      node.onSaved(save.id);
      leaving.push(...save.messagesAfter);
    }
    const last: Entry | undefined = committed.at(-1);
    if (last !== undefined) {
      member.applied = last.index;
      node.onApplied(last.index);
      // Keep memory flat: what everybody has is dropped now and then.
      if (last.index - log.firstIndex() > 50_000) {
        log.offerSnapshot({ index: last.index, term: last.term, confState: emptyConfState });
        log.compactTo(last.index - 10_000);
      }
    }
    for (const message of leaving) members.find(({ id }) => id === message.to)?.node.step(message);
  }
  return moved;
}

function run(name: string, memberCount: number, batch: number): void {
  const voters = Array.from({ length: memberCount }, (_, i) => BigInt(i + 1));
  const members = voters.map((id) => createMember(id, voters));
  const [leader] = members;
  if (leader === undefined) return;
  leader.node.campaign();
  while (turn(members));
  const from = leader.applied;
  const startMs = performance.now();
  for (let proposed = 0; proposed < entryCount; ) {
    for (let i = 0; i < batch && proposed < entryCount; i++, proposed++)
      if (leader.node.propose(data).kind !== "accepted") throw new Error("a proposal was refused");
    turn(members);
  }
  while (turn(members));
  const seconds = (performance.now() - startMs) / 1000;
  for (const { id, applied } of members)
    if (applied !== from + entryCount) throw new Error(`member ${id} applied ${applied - from} of ${entryCount}`);
  console.log(`${name.padEnd(28)} batch ${String(batch).padStart(5)}: ${Math.round(entryCount / seconds)} entries/s`);
}

for (const batch of [1, 10, 100, 1000, 5000]) run("one voter", 1, batch);
for (const batch of [1, 10, 100, 1000, 5000]) run("three voters, in memory", 3, batch);
