// Watches a cluster from outside and throws as soon as a promise of raft is broken. It sees what every host sees, plus all
// disks at once; it knows nothing of the code under test.
import assert from "node:assert/strict";
import { isJoint, isVoter, membersOf } from "../../server/raft/conf-change.ts";
import type { Message } from "../../server/raft/message.ts";
import { majorityVote } from "../../server/raft/quorum.ts";
import type { Ready } from "../../server/raft/ready.ts";
import {
  type ConfState,
  type Entry,
  type HardState,
  type MemberId,
  noBytes,
  type SnapshotMeta,
} from "../../server/raft/types.ts";
import type { AppliedState, Host, HostObserver } from "./host.ts";

const textOf = (entry: Entry): string => new TextDecoder().decode(entry.data);
export const draw = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part));

export class Oracle implements HostObserver {
  readonly #hosts: () => Iterable<Host>;
  /** Who led a term: a member in one life of its process. */
  readonly #leaders = new Map<number, string>();
  /** What was applied anywhere, by index - 1. Applied anywhere means committed, for ever and everywhere. */
  readonly #committed: Entry[] = [];
  /** The memberships there were, with the index that brought them; newest last. */
  readonly #confStates: { readonly index: number; readonly confState: ConfState }[] = [];
  readonly #hardStates = new Map<string, HardState>();
  readonly #commits = new Map<string, number>();
  readonly #appliedTexts = new Set<string>();
  readonly #refusedTexts = new Set<string>();

  constructor(bootstrap: SnapshotMeta, hosts: () => Iterable<Host>) {
    const { index, term, confState } = bootstrap;
    this.#confStates.push({ index, confState });
    this.#committed.push({ index, term, kind: "no-op", data: noBytes });
    this.#hosts = hosts;
  }

  /** The highest index known to be committed. */
  get committedIndex(): number {
    return this.#committed.length;
  }

  /** All memberships there ever were, the first one first. */
  get confStates(): readonly ConfState[] {
    return this.#confStates.map(({ confState }) => confState);
  }

  get confState(): ConfState {
    return (this.#confStates.at(-1) as { confState: ConfState }).confState;
  }

  /** A proposal was refused for good. */
  refused(text: string): void {
    assert(!this.#appliedTexts.has(text), `${text} was applied and then refused`);
    this.#refusedTexts.add(text);
  }

  wasApplied(text: string): boolean {
    return this.#appliedTexts.has(text);
  }

  onReady(host: Host, ready: Ready): void {
    const life = `${host.id}/${host.life}`;
    // A member without others leads before its term is durable, and after a crash the same term once more: nobody has heard
    // of the first time.
    if (ready.roleState?.role === "leader" && membersOf(host.applied.confState).length > 1) {
      const { term } = ready.roleState;
      const other = this.#leaders.get(term);
      assert(other === undefined || other === life, `election safety: term ${term} is led by ${other} and ${life}`);
      this.#leaders.set(term, life);
      const { hardState } = host.disk;
      assert(
        hardState.term > term || (hardState.term === term && hardState.vote === host.id),
        `${life} leads term ${term} on its own vote, which is not durable: ${draw(hardState)}`,
      );
    }
    assert(ready.commit >= (this.#commits.get(life) ?? 0), `the commit index of ${life} fell to ${ready.commit}`);
    this.#commits.set(life, ready.commit);
    if (ready.save === undefined) return;
    const { hardState } = ready.save;
    const before = this.#hardStates.get(life) ?? host.disk.hardState;
    assert(
      hardState.term > before.term ||
        (hardState.term === before.term && (before.vote === undefined || before.vote === hardState.vote)),
      `hard state of ${life} went from ${draw(before)} to ${draw(hardState)}`,
    );
    this.#hardStates.set(life, hardState);
  }

  /** Promises leave only when their ground is durable. */
  onSend(host: Host, message: Message): void {
    const { hardState } = host.disk;
    switch (message.type) {
      case "vote-response":
        if (!message.granted) return;
        assert(hardState.term >= message.term, `${host.id} granted a vote in term ${message.term} before saving it`);
        if (hardState.term === message.term) assert.equal(hardState.vote, message.to, `the saved vote of ${host.id}`);
        return;
      case "vote-request":
        assert(hardState.term >= message.term, `${host.id} asked for votes in term ${message.term} before saving it`);
        // A leader of this or a later term may have shortened the log by now; then the request has no effect any more.
        if (hardState.term === message.term && !this.#leaders.has(message.term))
          assert(host.disk.lastIndex() >= message.last.index, `${host.id} asked for votes with a log it had not saved`);
        return;
      case "append-accepted":
        assert(hardState.term >= message.term, `${host.id} accepted in term ${message.term} before saving the term`);
        if (hardState.term === message.term)
          assert(host.disk.lastIndex() >= message.index, `${host.id} accepted ${message.index} before saving it`);
        return;
      default:
    }
  }

  onApply(host: Host, entry: Entry, after: AppliedState): void {
    const known = this.#committed[entry.index - 1];
    if (known !== undefined) {
      assert(
        known.term === entry.term && known.kind === entry.kind && textOf(known) === textOf(entry),
        `state machine safety: member ${host.id} applied ${entry.term}/${entry.index} where others have term ${known.term}`,
      );
      this.#checkConfState(host, after);
      return;
    }
    assert.equal(entry.index, this.#committed.length + 1, `member ${host.id} is the first to apply, with a hole`);
    this.#checkDurable(host, entry);
    this.#committed.push(entry);
    if (entry.kind === "conf-change") this.#confStates.push({ index: entry.index, confState: after.confState });
    if (entry.kind !== "normal") return;
    const text = textOf(entry);
    assert(!this.#appliedTexts.has(text), `${text} was proposed once and applied twice`);
    assert(!this.#refusedTexts.has(text), `${text} was refused and applied`);
    this.#appliedTexts.add(text);
  }

  /** A read that was asked for when `floor` was committed is answered with `index`. */
  onRead(host: Host, floor: number, index: number): void {
    assert(
      index >= floor,
      `stale read at member ${host.id}: ${index}, but ${floor} was committed before it was asked for`,
    );
  }

  /** An entry that is applied somewhere is durable on a quorum, whatever happens next. */
  #checkDurable(host: Host, entry: Entry): void {
    const holders = new Set<MemberId>();
    for (const { id, disk } of this.#hosts())
      if (disk.firstIndex() > entry.index || disk.term(entry.index) === entry.term) holders.add(id);
    // The leader that counted may not have applied the newest changes; it cannot be more than two behind.
    const recent = this.#confStates.slice(-3);
    const durable = recent.some(({ confState }) =>
      [confState.voters, confState.votersOutgoing].every(
        (half) => majorityVote(half, (id) => holders.has(id)) === "won",
      ),
    );
    const numbers = `only ${[...holders]} hold it, of ${draw(recent)}`;
    assert(
      durable,
      `member ${host.id} applied ${entry.term}/${entry.index}, which is not durable on a quorum: ${numbers}`,
    );
  }

  #checkConfState(host: Host, after: AppliedState): void {
    const known = this.#confStates.findLast(({ index }) => index <= after.index);
    assert.deepEqual(after.confState, known?.confState, `memberships differ at ${after.index} on member ${host.id}`);
  }

  /** Whether a member belongs to the newest configuration. */
  isMember(id: MemberId): boolean {
    const { confState } = this;
    return isVoter(confState, id) || confState.learners.includes(id);
  }

  get joint(): boolean {
    return isJoint(this.confState);
  }
}
