// Alarms that are raised, for which members. They outlive restarts and are cleared by an operator only.
import type { ByteString } from "../../lib/byte-string.ts";
import type { Backend } from "../../storage/backend.ts";
import type { Alarm, AlarmType } from "../command.ts";
import { checkKeyRow, encodeKeyRow } from "../key-row.ts";

const typeBytes: { readonly [T in AlarmType]: string } = { "no-space": "\x01", corrupt: "\x02" };

export class AlarmTable {
  readonly #backend: Backend;
  readonly #alarms = new Map<ByteString, Alarm>();

  constructor(backend: Backend) {
    this.#backend = backend;
    this.reload();
  }

  /** Takes up what the table holds: at the start, and when a snapshot has replaced it. */
  reload(): void {
    this.#alarms.clear();
    for (const { key, value } of this.#backend.scan("alarms", "", undefined)) {
      checkKeyRow("alarms", key, value);
      const memberId = Buffer.from(key.slice(0, 8), "latin1").readBigUInt64BE();
      this.#alarms.set(key, { memberId, type: key.slice(8) === typeBytes["no-space"] ? "no-space" : "corrupt" });
    }
  }

  /** Alarms in the order of their members. */
  list(): readonly Alarm[] {
    return [...this.#alarms.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, alarm]) => alarm);
  }

  isRaised(type: AlarmType): boolean {
    for (const alarm of this.#alarms.values()) if (alarm.type === type) return true;
    return false;
  }

  raise(alarm: Alarm): void {
    const key = keyOf(alarm);
    this.#alarms.set(key, alarm);
    this.#backend.set("alarms", key, encodeKeyRow(key));
  }

  /** Returns whether there was such an alarm. */
  clear(alarm: Alarm): boolean {
    const key = keyOf(alarm);
    if (!this.#alarms.delete(key)) return false;
    this.#backend.remove("alarms", key);
    return true;
  }
}

function keyOf(alarm: Alarm): ByteString {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(alarm.memberId);
  return bytes.toString("latin1") + typeBytes[alarm.type];
}
