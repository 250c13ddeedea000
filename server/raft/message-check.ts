// Whether a message makes sense in itself. Peers are ours, but the port they come through is a port: what could break an
// invariant here must be stopped at the door.
import type { AppendMessage, Message } from "./message.ts";
import type { EntryId } from "./types.ts";

/** False for numbers that are no terms or indexes, and for entries that do not follow each other. */
export function isWellFormed(message: Message): boolean {
  if (!isCounter(message.term)) return false;
  switch (message.type) {
    case "append":
      return isCounter(message.commit) && isEntryId(message.previous) && followEachOther(message);
    case "append-accepted":
      return isCounter(message.index) && isCounter(message.commit);
    case "append-rejected":
      return isCounter(message.index) && isEntryId(message.hint) && message.hint.index <= message.index;
    case "heartbeat":
    case "heartbeat-response":
      return isCounter(message.commit) && isCounter(message.round);
    case "snapshot":
      return isEntryId(message.snapshot) && message.snapshot.index > 0 && message.snapshot.term <= message.term;
    case "vote-request":
    case "pre-vote-request":
      return isEntryId(message.last) && message.last.term <= message.term;
    case "propose":
      return isCounter(message.session) && isCounter(message.sequence) && message.proposals.length > 0;
    case "propose-refused":
      return isCounter(message.session) && isCounter(message.sequence) && isCounter(message.count);
    case "read-request":
      return isCounter(message.session) && isCounter(message.id);
    case "read-response":
      return isCounter(message.session) && isCounter(message.id) && isCounter(message.index);
    case "vote-response":
    case "pre-vote-response":
      return isEntryId(message.committed);
    case "timeout-now":
    case "newer-term":
      return true;
    default:
      message satisfies never;
      return false;
  }
}

function isCounter(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isEntryId(id: EntryId): boolean {
  return isCounter(id.index) && isCounter(id.term);
}

function followEachOther({ term: messageTerm, previous, entries }: AppendMessage): boolean {
  let { index, term } = previous;
  for (const entry of entries) {
    if (entry.index !== ++index || entry.term < term || !Number.isSafeInteger(entry.term)) return false;
    term = entry.term;
  }
  return term <= messageTerm && Number.isSafeInteger(index);
}
