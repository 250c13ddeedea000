// Everything that members must agree on when they have applied the same log, written out: keys at every revision that
// can be read, leases and what hangs on them, members, alarms, membership, and the positions. How it is laid out in
// tables is left out where members may rightly differ.
import { createHash } from "node:crypto";
import type { StateMachine } from "../../server/state/state-machine.ts";
import type { Backend } from "../../server/storage/backend.ts";
import { tableNames } from "../../server/storage/tables.ts";

/** Lines that describe the state of a machine. */
export function describeState(machine: StateMachine): readonly string[] {
  const { mvcc, leases, members, alarms } = machine;
  const lines = [`applied ${machine.appliedIndex} of term ${machine.appliedTerm}`];
  lines.push(`revision ${mvcc.currentRevision} compacted ${mvcc.compactRevision}`);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  for (const version of mvcc.versionsIn({ kind: "interval", from: "\0", to: undefined }))
    lines.push(`key ${hex(mvcc.keyValueOf(version))}`);
  for (const { revision, events } of mvcc.readEvents(
    Math.max(1, mvcc.compactRevision),
    Number.MAX_SAFE_INTEGER,
    Number.MAX_SAFE_INTEGER,
  )) {
    // Of the compact revision itself only what is still current stays, once it is swept.
    if (revision <= mvcc.compactRevision) continue;
    for (const event of events) {
      const before = mvcc.previousKeyValueOf(event, revision);
      lines.push(`event ${event.kind} ${hex(event.keyValue)} before ${before === undefined ? "none" : hex(before)}`);
    }
  }
  for (const { id, ttlSeconds, remainingTtlSeconds } of [...leases.list()].sort((a, b) => (a.id < b.id ? -1 : 1)))
    lines.push(`lease ${id} ${ttlSeconds} ${remainingTtlSeconds} ${leases.keysOf(id).join()}`);
  for (const member of members.list())
    lines.push(`member ${member.id} ${member.name} ${member.isLearner} ${member.peerUrls.join()}`);
  lines.push(`removed ${[...members.removedIds()].sort().join()}`);
  for (const { memberId, type } of alarms.list()) lines.push(`alarm ${memberId} ${type}`);
  lines.push(`configuration ${hex(machine.configuration ?? new Uint8Array(0))}`);
  return lines;
}

/** Numbers of rows in each table; equal on all members once everything that was compacted is swept. */
export function countRows(backend: Backend): string {
  return tableNames
    .filter((name) => name !== "meta" && !name.startsWith("prefix"))
    .map((name) => `${name} ${[...backend.scan(name, "", undefined)].length}`)
    .join(", ");
}

export function hashLines(lines: readonly string[]): string {
  return createHash("sha1").update(lines.join("\n")).digest("hex");
}
