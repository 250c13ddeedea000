// A rule that raft must keep, with a scene that shows it. Scenes are plain functions, so that they run twice: as tests,
// and once more for each planted bug, which at least one of them or of the simulated seeds must find.
import assert from "node:assert/strict";
import type { ConfChange, ConfChangeStep } from "../../server/raft/conf-change.ts";
import { encodeConfChange } from "../../server/raft/conf-change-codec.ts";
import { bootstrapSnapshot, type RaftOptions } from "../../server/raft/config.ts";
import type { Message, MessageType } from "../../server/raft/message.ts";
import { type Entry, type EntryId, type MemberId, noBytes } from "../../server/raft/types.ts";
import { Host } from "./host.ts";

export type Rule = { readonly title: string; readonly run: () => void };

export function rule(title: string, run: () => void): Rule {
  return { title, run };
}

export const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

export const entry = (term: number, index: number, text = `${term}/${index}`): Entry => ({
  term,
  index,
  kind: "normal",
  data: encode(text),
});

/** Entries of the given terms, from index 2 on: index 1 is where every cluster starts. */
export const entriesOf = (...terms: readonly number[]): Entry[] => terms.map((term, i) => entry(term, i + 2));

export const change = (...steps: readonly ConfChangeStep[]): ConfChange => ({
  transition: "auto",
  steps,
  context: noBytes,
});

export const addVoter = (id: MemberId): ConfChangeStep => ({ kind: "add-voter", id });
export const addLearner = (id: MemberId): ConfChangeStep => ({ kind: "add-learner", id });
export const remove = (id: MemberId): ConfChangeStep => ({ kind: "remove", id });

/** A membership change as an entry of a log. */
export const changeEntry = (term: number, index: number, what: ConfChange): Entry => ({
  term,
  index,
  kind: "conf-change",
  data: encodeConfChange(what),
});

export type LoneOptions = {
  readonly voters?: readonly MemberId[];
  readonly learners?: readonly MemberId[];
  /** What is in the log behind index 1, and durable. */
  readonly log?: readonly Entry[];
  readonly term?: number;
  readonly raft?: Partial<RaftOptions>;
};

/** Member 1 of 1, 2 and 3 by itself; the test plays the others. */
export function alone(options: LoneOptions = {}): Host {
  const { voters = [1n, 2n, 3n], learners = [], log = [], raft } = options;
  const host = new Host({ id: 1n, bootstrap: bootstrapSnapshot(voters, learners), ...(raft && { raft }) });
  const term = Math.max(options.term ?? 1, log.at(-1)?.term ?? 1);
  if (log.length > 0 || term > 1) {
    host.disk.append(log);
    host.disk.hardState = { term, vote: undefined, commit: 1 };
    host.crash();
    host.start();
  }
  return host;
}

type Body<Type extends MessageType> = Omit<Extract<Message, { type: Type }>, "type" | "from" | "to" | "term">;

/** A message to member 1. */
export function message<Type extends MessageType>(type: Type, from: MemberId, term: number, body: Body<Type>): Message {
  return { type, from, to: 1n, term, ...body } as unknown as Message;
}

export const append = (
  from: MemberId,
  term: number,
  previous: EntryId,
  entries: readonly Entry[],
  commit = 0,
): Message => message("append", from, term, { previous, entries, commit });

export const id = (term: number, index: number): EntryId => ({ index, term });

/** Takes the messages of a type out of what a host wants to send. */
export function take<Type extends MessageType>(host: Host, type: Type): Extract<Message, { type: Type }>[] {
  const taken = host.outgoing.filter((sent) => sent.type === type) as Extract<Message, { type: Type }>[];
  host.outgoing = host.outgoing.filter((sent) => sent.type !== type);
  return taken;
}

/** Makes member 1 the leader of the next term, by the votes of members 2 and 3 as needed. */
export function lead(host: Host): number {
  host.node.campaign();
  host.settle();
  for (const { to, term } of take(host, "pre-vote-request"))
    host.node.step(message("pre-vote-response", to, term, { granted: true, committed: id(0, 0) }));
  host.settle();
  for (const { to, term } of take(host, "vote-request"))
    host.node.step(message("vote-response", to, term, { granted: true, committed: id(0, 0) }));
  const { role, term } = host.node.status();
  assert.equal(role, "leader");
  host.collect();
  return term;
}

/** The log on a host's disk, as terms. */
export const termsOf = (host: Host): number[] => {
  const terms: number[] = [];
  for (let index = host.disk.firstIndex(); index <= host.disk.lastIndex(); index++)
    terms.push(host.disk.term(index) as number);
  return terms;
};
