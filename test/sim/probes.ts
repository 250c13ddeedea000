// What a campaign must have seen at least once. A simulator that never comes to the places where bugs live proves
// nothing, so each such place is named here and counted, and a large campaign in which one stays at 0 fails.

/** Names of the probes, each with what it stands for. */
export const probes = {
  "leader changed": "A member other than the last leader came to lead.",
  "leader changed with a txn in flight": "A client's txn was waiting for its answer when leadership moved.",
  "two leaders at once": "A leader that was replaced did not know it yet while the next one led.",
  "a replaced leader woke up apart": "A leader slept while it was replaced, and woke up cut off from the others.",
  "forwarded proposal": "A proposal reached the leader through another member.",
  "proposal made again": "A proposal that leadership left behind was made to another leader.",
  "request timed out": "A client was told that there is no outcome within the time for requests.",
  "installed a snapshot": "A snapshot took the place of a member's state.",
  "snapshot installed while applying": "A snapshot took the place of a state that had committed entries to apply.",
  "snapshot while a flush is running": "A snapshot was to be installed while rows were on their way to disk.",
  "two snapshots in one life": "A member installed a second snapshot.",
  "applying waited for the store": "So much waited for the disk that nothing more was applied.",
  "crash between commit and apply": "A member crashed with durable committed entries that it had not applied.",
  "crash during snapshot installation": "A member crashed between taking a snapshot and having it in its log.",
  "snapshot installation finished at start": "A start found the state of a snapshot and the log from before it.",
  "snapshot damaged on its way": "A bit of a snapshot was flipped between two members.",
  "torn write recovered": "A start found a write at the end of the log that a crash had cut short.",
  "crash in the middle of a write": "A member crashed while its disk was at work.",
  "flush reached the disk unnoticed": "A batch of the store survived a crash that kept its confirmation away.",
  "damaged log refused": "A member found a flipped bit in its log and did not start.",
  "stopped by its disk": "A member stopped since its disk failed.",
  "disk was full": "A member found its disk full.",
  "log released": "A member gave up files of its log.",
  "process stood still": "A member noticed that its process had not run for a while.",
  "lease expired": "A lease ran out.",
  "lease expired across a leader change": "A lease was granted under one leader and expired under another.",
  "lease expired during a partition": "A lease ran out while members could not reach each other.",
  "lease renewed through a follower": "A member that does not lead answered a keepalive.",
  "compacted read": "A read was refused since its revision had been compacted.",
  "watch cancelled by compaction": "A watcher was ended with the compact revision.",
  "watch went on at another member": "A watch was taken up where it stood, at another member.",
  "watcher resumed over a snapshot": "A member installed a snapshot while somebody watched there.",
  "membership changed": "The configuration changed.",
  "membership changed while a snapshot travelled": "A change was applied while a snapshot was on its way to a member.",
  "leader removed": "The leader was removed from the cluster.",
  "learner promoted": "A learner became a voter.",
  "answered a member that it did not know": "A member that was behind answered one that was added meanwhile.",
  "removed member told": "A member was told by another that it had been removed.",
  "removed member stopped": "A member stopped since it had been removed.",
  "leadership transferred": "Leadership was handed over.",
  "quorum lost": "No majority of the voters was running.",
  "all members down": "No member was running.",
  "vote split": "Two members asked for votes in one term.",
  "serializable read of the past": "A serializable read was answered from an older state than the newest.",
} as const;

export type Probe = keyof typeof probes;

/** How often each probe was hit. */
export class ProbeCounts {
  readonly counts = new Map<string, number>();

  note(probe: Probe): void {
    this.counts.set(probe, (this.counts.get(probe) ?? 0) + 1);
  }

  /** Probes that no run has hit. */
  static missing(counts: ReadonlyMap<string, number>): readonly string[] {
    return Object.keys(probes).filter((probe) => (counts.get(probe) ?? 0) === 0);
  }
}
