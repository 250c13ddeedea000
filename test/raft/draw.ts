// Raft's values as short lines, for stories. An entry is drawn as term/index, as in the paper's figures.
import { decodeConfChange } from "../../server/raft/conf-change-codec.ts";
import type { Message } from "../../server/raft/message.ts";
import type { Save } from "../../server/raft/ready.ts";
import type { Status } from "../../server/raft/status.ts";
import type { ConfState, Entry, EntryId } from "../../server/raft/types.ts";

export function drawId({ term, index }: EntryId): string {
  return `${term}/${index}`;
}

export function drawConfState({ voters, votersOutgoing, learners, learnersNext, autoLeave }: ConfState): string {
  const parts = [`(${voters.join(" ")})`];
  if (votersOutgoing.length > 0) parts.push(`&& (${votersOutgoing.join(" ")})`);
  if (learners.length > 0) parts.push(`learners (${learners.join(" ")})`);
  if (learnersNext.length > 0) parts.push(`next (${learnersNext.join(" ")})`);
  if (autoLeave) parts.push("auto-leave");
  return parts.join(" ");
}

export function drawEntry(entry: Entry): string {
  switch (entry.kind) {
    case "no-op":
      return `${drawId(entry)} no-op`;
    case "normal":
      return `${drawId(entry)} "${new TextDecoder().decode(entry.data)}"`;
    case "conf-change": {
      const change = decodeConfChange(entry.data);
      const steps = change?.steps.map(({ kind, id }) => `${kind} ${id}`).join(", ") ?? "?";
      return `${drawId(entry)} ${steps === "" ? "leave joint" : steps}`;
    }
    default:
      return entry.kind satisfies never;
  }
}

const drawEntries = (entries: readonly Entry[]): string => `[${entries.map(drawEntry).join(", ")}]`;

export function drawMessage(message: Message): string {
  return `${message.from}>${message.to} ${message.type} t${message.term}${drawBody(message)}`;
}

function drawBody(message: Message): string {
  switch (message.type) {
    case "append":
      return ` after ${drawId(message.previous)} ${drawEntries(message.entries)} commit ${message.commit}`;
    case "append-accepted":
      return ` up to ${message.index}, keeps commit ${message.commit}`;
    case "append-rejected":
      return ` after ${message.index}, hint ${drawId(message.hint)}`;
    case "heartbeat":
      return ` commit ${message.commit} round ${message.round}`;
    case "heartbeat-response":
      return ` round ${message.round}, keeps commit ${message.commit}`;
    case "snapshot":
      return ` ${drawId(message.snapshot)} ${drawConfState(message.snapshot.confState)}`;
    case "vote-request":
      return ` last ${drawId(message.last)}${message.transfer ? " by transfer" : ""}`;
    case "pre-vote-request":
      return ` last ${drawId(message.last)}`;
    case "vote-response":
    case "pre-vote-response":
      return ` ${message.granted ? "granted" : "refused"}, committed ${drawId(message.committed)}`;
    case "timeout-now":
    case "newer-term":
      return "";
    case "propose":
      return ` number ${message.sequence}: ${message.proposals.map(({ data }) => new TextDecoder().decode(data)).join(", ")}`;
    case "propose-refused":
      return ` number ${message.sequence}, ${message.count} of them: ${message.reason}`;
    case "read-request":
      return ` read ${message.id}`;
    case "read-response":
      return ` read ${message.id} at ${message.index}`;
    default:
      message satisfies never;
      return "";
  }
}

export function drawSave({ id, hardState, snapshot, entries, messagesAfter }: Save): string {
  const { term, vote, commit } = hardState;
  const parts = [`save ${id}: term ${term} vote ${vote ?? "-"} commit ${commit}`];
  if (snapshot !== undefined) parts.push(`snapshot ${drawId(snapshot)}`);
  if (entries.length > 0) parts.push(drawEntries(entries));
  return [parts.join(" "), ...messagesAfter.map((message) => `  then ${drawMessage(message)}`)].join("\n");
}

export function drawStatus(status: Status): string {
  const { id, role, term, leader, lastTerm, lastIndex, durable, commit, applied, confState } = status;
  const cursors = `last ${lastTerm}/${lastIndex} durable ${durable} commit ${commit} applied ${applied}`;
  const lines = [`${id} ${role} t${term} leader ${leader ?? "-"} ${cursors} ${drawConfState(confState)}`];
  for (const progress of status.progress) {
    const { state, match, next, inflightMessages, pendingSnapshot } = progress;
    const extra =
      (inflightMessages > 0 ? ` in flight ${inflightMessages}` : "") +
      (pendingSnapshot > 0 ? ` snapshot ${pendingSnapshot}` : "");
    if (progress.id !== id) lines.push(`  ${progress.id}: ${state} match ${match} next ${next}${extra}`);
  }
  return lines.join("\n");
}
