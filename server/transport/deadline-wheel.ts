// Deadlines of calls, by the thousand and nearly all cancelled before they come: adding and removing one is a few
// pointer writes, and one timer serves them all. A deadline fires up to one slot late, never early.
import type { Clock, Timer } from "../lib/clock.ts";

export interface DeadlineOwner {
  onDeadline(): void;
}

/** One waiting deadline; also the head of a slot's ring. */
export class Deadline {
  owner: DeadlineOwner | undefined = undefined;
  previous: Deadline = this;
  next: Deadline = this;
  /** On the wheel's clock. */
  atMs = 0;
}

const slotMs = 16;
/** All slots are looked at this often at least, so that empty ones go and no timer is longer than timers may be. */
const slotsPerLook = 64;

export class DeadlineWheel {
  readonly #clock: Clock;
  /** Ring heads by slot number; a slot's number is its time divided by the slot length. */
  readonly #slots = new Map<number, Deadline>();
  #timer: Timer | undefined;
  #timerSlot = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `owner.onDeadline` once `delayMs` has passed, unless the result is removed before. */
  add(delayMs: number, owner: DeadlineOwner): Deadline {
    const atMs = this.#clock.nowMs() + delayMs;
    const slot = Math.ceil(atMs / slotMs);
    let head = this.#slots.get(slot);
    if (head === undefined) {
      head = new Deadline();
      this.#slots.set(slot, head);
      if (slot < this.#timerSlot) this.#arm(slot);
    }
    const deadline = new Deadline();
    deadline.owner = owner;
    deadline.atMs = atMs;
    deadline.previous = head.previous;
    deadline.next = head;
    head.previous.next = deadline;
    head.previous = deadline;
    return deadline;
  }

  /** Removing one that has fired or was removed is fine. */
  remove(deadline: Deadline): void {
    if (deadline.owner === undefined) return;
    deadline.owner = undefined;
    deadline.previous.next = deadline.next;
    deadline.next.previous = deadline.previous;
    // An emptied slot stays until the next look at all slots: clients reuse the same few.
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#slots.clear();
  }

  #arm(slot: number): void {
    const nowMs = this.#clock.nowMs();
    this.#timer?.cancel();
    this.#timerSlot = Math.min(slot, Math.ceil(nowMs / slotMs) + slotsPerLook);
    this.#timer = this.#clock.setTimer(Math.max(0, this.#timerSlot * slotMs - nowMs), () => this.#fire());
  }

  #fire(): void {
    const nowSlot = Math.floor(this.#clock.nowMs() / slotMs);
    this.#timerSlot = Number.POSITIVE_INFINITY;
    let nextSlot = Number.POSITIVE_INFINITY;
    const due: Deadline[] = [];
    for (const [slot, head] of this.#slots) {
      if (head.next === head) this.#slots.delete(slot);
      else if (slot <= nowSlot) {
        this.#slots.delete(slot);
        due.push(head);
      } else nextSlot = Math.min(nextSlot, slot);
    }
    if (nextSlot !== Number.POSITIVE_INFINITY) this.#arm(nextSlot);
    for (const head of due) {
      while (head.next !== head) {
        const deadline = head.next;
        const owner = deadline.owner;
        this.remove(deadline);
        owner?.onDeadline();
      }
    }
  }
}
