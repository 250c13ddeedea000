// The commands of raft's stories. Every member's outputs wait until the story lets them happen, so a story can put any
// two things in any order; `settle` lets everything happen.
import assert from "node:assert/strict";
import type { ConfChange, ConfChangeStep } from "../../server/raft/conf-change.ts";
import { bootstrapSnapshot } from "../../server/raft/config.ts";
import type { Message } from "../../server/raft/message.ts";
import type { MemberId } from "../../server/raft/types.ts";
import { noBytes } from "../../server/raft/types.ts";
import { type StoryCommand, storyFlag, storyValue, storyValues } from "../support/datadriven.ts";
import { drawEntry, drawId, drawMessage, drawSave, drawStatus } from "./draw.ts";
import { Host } from "./host.ts";
import { entriesOf, entry } from "./rule.ts";

export class Story {
  readonly #hosts = new Map<MemberId, Host>();
  readonly #cut = new Set<string>();
  #wire: Message[] = [];

  run(command: StoryCommand): string {
    const handlers: Readonly<Record<string, (command: StoryCommand) => string>> = {
      members: (one) => this.#members(one),
      join: (one) => this.#join(one),
      log: (one) => this.#log(one),
      campaign: (one) => this.#outcome(one, this.#host(one).node.campaign()),
      propose: (one) => this.#outcome(one, this.#host(one).node.propose(new TextEncoder().encode(one.input))),
      change: (one) => this.#outcome(one, this.#host(one).node.proposeConfChange(parseChange(one))),
      transfer: (one) => this.#outcome(one, this.#host(one).node.transferLeader(BigInt(storyValue(one, "to")))),
      read: (one) => this.#outcome(one, this.#host(one).node.readIndex()),
      tick: (one) => this.#tick(one),
      ready: (one) => this.#ready(one),
      save: (one) => this.#save(one),
      apply: (one) => this.#apply(one),
      append: (one) => this.#append(one),
      deliver: (one) => this.#deliver(one, false),
      lose: (one) => this.#deliver(one, true),
      settle: (one) => this.#settle(one),
      cut: (one) => this.#isolate(one),
      heal: () => this.#done(() => this.#cut.clear()),
      crash: (one) => this.#crash(one),
      start: (one) => this.#done(() => this.#host(one).start()),
      compact: (one) => this.#done(() => this.#host(one).compact(Number(storyValue(one, "to")))),
      status: (one) =>
        this.#ids(one)
          .map((id) => drawStatus(this.#hosts.get(id)!.node.status()))
          .join("\n"),
    };
    const handler = handlers[command.name];
    assert(handler !== undefined, `${command.at}: no command ${command.name}`);
    return handler(command);
  }

  /** The members named by bare numbers; all that are up when there are none. */
  #ids(command: StoryCommand): MemberId[] {
    const named = command.args.filter(({ key, values }) => values.length === 0 && /^\d+$/.test(key));
    if (named.length > 0) return named.map(({ key }) => BigInt(key));
    return [...this.#hosts.values()].filter((host) => host.isUp).map(({ id }) => id);
  }

  #host(command: StoryCommand): Host {
    const [id] = this.#ids(command);
    const host = id === undefined ? undefined : this.#hosts.get(id);
    assert(host !== undefined, `${command.at}: no such member`);
    return host;
  }

  #done(action: () => void): string {
    action();
    return "ok";
  }

  #members(command: StoryCommand): string {
    const ids = (key: string): MemberId[] => (storyValues(command, key) ?? []).map((word) => BigInt(word));
    const bootstrap = bootstrapSnapshot(ids("voters"), ids("learners"));
    const raft = {
      electionTicks: Number(storyValue(command, "election", "10")),
      preVote: !storyFlag(command, "no-pre-vote"),
      inflightMessagesMax: Number(storyValue(command, "inflight", "256")),
    };
    for (const id of [...ids("voters"), ...ids("learners")]) this.#hosts.set(id, new Host({ id, bootstrap, raft }));
    return "ok";
  }

  #join(command: StoryCommand): string {
    for (const id of this.#idsOf(command)) this.#hosts.set(id, new Host({ id }));
    return "ok";
  }

  #idsOf(command: StoryCommand): MemberId[] {
    return command.args.map(({ key }) => BigInt(key));
  }

  /** Gives a member a log of the given terms, as if it had lived through them. */
  #log(command: StoryCommand): string {
    const host = this.#host(command);
    const terms = (storyValues(command, "terms") ?? []).map(Number);
    host.crash();
    host.disk.append(entriesOf(...terms));
    host.disk.hardState = { term: Number(storyValue(command, "term")), vote: undefined, commit: 1 };
    host.start();
    return "ok";
  }

  /** An append from a leader that the story plays: `append 2 from=3 term=4 after=1/1 terms=(2 4) commit=1`. */
  #append(command: StoryCommand): string {
    const host = this.#host(command);
    const [previousTerm, previousIndex] = storyValue(command, "after").split("/").map(Number) as [number, number];
    const terms = (storyValues(command, "terms") ?? []).map(Number);
    const message: Message = {
      type: "append",
      from: BigInt(storyValue(command, "from")),
      to: host.id,
      term: Number(storyValue(command, "term")),
      previous: { term: previousTerm, index: previousIndex },
      entries: terms.map((term, i) => entry(term, previousIndex + 1 + i)),
      commit: Number(storyValue(command, "commit", "1")),
    };
    host.node.step(message);
    return this.#collect(host).join("\n");
  }

  #outcome(_command: StoryCommand, outcome: object): string {
    return Object.entries(outcome)
      .map(([key, value]) => (key === "kind" ? String(value) : `${key} ${value}`))
      .join(", ");
  }

  #tick(command: StoryCommand): string {
    for (let i = Number(storyValue(command, "count", "1")); i > 0; i--)
      for (const id of this.#ids(command)) this.#hosts.get(id)?.node.tick();
    return "ok";
  }

  #ready(command: StoryCommand): string {
    const lines: string[] = [];
    for (const id of this.#ids(command)) lines.push(...this.#collect(this.#hosts.get(id)!));
    return lines.join("\n");
  }

  /** Takes what a member has ready, and draws it. */
  #collect(host: Host): string[] {
    const before = { saves: host.saves.length, apply: host.toApply.length, roles: host.roleStates.length };
    host.collect();
    const lines = [
      ...host.roleStates
        .slice(before.roles)
        .map(({ role, term, leader }) => `${role} t${term} leader ${leader ?? "-"}`),
      ...host.saves.slice(before.saves).map(drawSave),
      ...host.toApply.slice(before.apply).map((entry) => `commits ${drawEntry(entry)}`),
      ...host.readStates
        .splice(0)
        .map((state) => `read ${state.id} ${state.kind === "confirmed" ? `is current at ${state.index}` : "dropped"}`),
      ...host.refusals.splice(0).map(({ sequence, reason }) => `forwarded ${sequence} refused: ${reason}`),
    ];
    return [...lines.map((line) => `${host.id} ${line}`), ...this.#send(host)];
  }

  #send(host: Host): string[] {
    const sent = host.outgoing.splice(0);
    this.#wire.push(...sent);
    return sent.map(drawMessage);
  }

  #save(command: StoryCommand): string {
    const lines: string[] = [];
    for (const id of this.#ids(command)) {
      const host = this.#hosts.get(id)!;
      host.completeSaves(Number(storyValue(command, "count", String(host.saves.length))));
      lines.push(...this.#send(host), ...this.#collect(host));
    }
    return lines.join("\n");
  }

  #apply(command: StoryCommand): string {
    const lines: string[] = [];
    for (const id of this.#ids(command)) {
      const host = this.#hosts.get(id)!;
      host.applyNext();
      lines.push(...this.#collect(host));
    }
    return lines.join("\n");
  }

  /** Delivers, or loses, what is on the wire: all, or what fits `from`, `to` and `type`. Prints what follows from it. */
  #deliver(command: StoryCommand, isLost: boolean): string {
    const fits = (message: Message): boolean =>
      (["from", "to", "type"] as const).every((key) => {
        const wanted = storyValues(command, key);
        return wanted === undefined || wanted.includes(String(message[key]));
      });
    const chosen = this.#wire.filter(fits);
    const keep = storyFlag(command, "keep");
    if (!keep) this.#wire = this.#wire.filter((message) => !fits(message));
    for (const message of chosen) this.#arrive(message, isLost);
    return isLost ? `lost ${chosen.length}` : this.#ready({ ...command, args: [] });
  }

  #arrive(message: Message, isLost: boolean): void {
    const { from, to } = message;
    const receiver = this.#hosts.get(to);
    const arrives = !isLost && receiver?.isUp === true && !this.#cut.has(`${from}>${to}`);
    if (arrives) receiver.node.step(message);
    const sender = this.#hosts.get(from);
    if (message.type === "snapshot" && sender?.isUp === true)
      sender.node.reportSnapshot(to, arrives ? "finished" : "failed");
  }

  /** Lets everything happen: saves, applies, deliveries. Prints the messages unless `quiet`, and what is applied. */
  #settle(command: StoryCommand): string {
    const lines: string[] = [];
    for (let round = 0; round < 1000; round++) {
      for (const host of this.#hosts.values()) {
        if (!host.isUp) continue;
        host.settle();
        this.#wire.push(...host.outgoing.splice(0));
      }
      const messages = this.#wire.splice(0);
      if (messages.length === 0) break;
      for (const message of messages) {
        const lost = this.#cut.has(`${message.from}>${message.to}`) || this.#hosts.get(message.to)?.isUp !== true;
        lines.push(`${drawMessage(message)}${lost ? " (lost)" : ""}`);
        this.#arrive(message, false);
      }
    }
    const answers = [...this.#hosts.values()].flatMap((host) =>
      host.readStates
        .splice(0)
        .map(
          (state) =>
            `${host.id} read ${state.id} ${state.kind === "confirmed" ? `is current at ${state.index}` : "dropped"}`,
        ),
    );
    return [...(storyFlag(command, "quiet") ? [] : lines), ...answers].join("\n") || "ok";
  }

  #isolate(command: StoryCommand): string {
    for (const id of this.#ids(command))
      for (const other of this.#hosts.keys()) {
        this.#cut.add(`${id}>${other}`);
        this.#cut.add(`${other}>${id}`);
      }
    return "ok";
  }

  #crash(command: StoryCommand): string {
    const host = this.#host(command);
    host.crash(Number(storyValue(command, "saved", "0")), Number(storyValue(command, "entries", "-1")));
    const { term, vote, commit } = host.disk.hardState;
    const last = host.disk.lastIndex();
    return `disk: term ${term} vote ${vote ?? "-"} commit ${commit} last ${drawId({ term: Number(host.disk.term(last)), index: last })}`;
  }
}

function parseChange(command: StoryCommand): ConfChange {
  const steps = command.input
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [kind, id] = line.split(" ");
      return { kind: kind as ConfChangeStep["kind"], id: BigInt(id as string) };
    });
  return { transition: storyValue(command, "transition", "auto") as ConfChange["transition"], steps, context: noBytes };
}
