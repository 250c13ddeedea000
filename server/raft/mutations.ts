// The bugs that can be planted in consensus, each named after the rule it breaks. See lib/mutation.ts.
import { declareMutations } from "../lib/mutation.ts";

/** The planted bugs of this room, name to what goes wrong. */
export const raftMutations = {
  "raft/vote-before-save": "A granted vote leaves before term and vote are durable.",
  "raft/accept-before-save": "A follower acknowledges entries before they are durable.",
  "raft/leader-counts-itself-early": "A leader counts itself for entries that it has not saved.",
  "raft/vote-request-before-save": "A candidate asks for votes on the strength of a log that is not durable.",
  "raft/own-vote-before-save": "A candidate counts its own vote before that is durable.",
  "raft/apply-before-save": "A member applies committed entries that are not durable here.",
  "raft/commit-saved-ahead": "A saved commit index speaks for entries of its own save, which a crash may cut off.",
  "raft/promise-leaves-with-snapshot":
    "What is promised about entries behind a snapshot leaves when only that is saved.",
  "raft/promise-overtakes-save": "What is promised leaves while saves that it rests on are under way.",
  "raft/stale-save-acknowledged": "A late acknowledgement of overwritten entries vouches for those that replaced them.",
  "raft/votes-twice-in-term": "A member grants its vote to every candidate of a term.",
  "raft/vote-ignores-log": "A member votes for candidates that lack entries it has.",
  "raft/learner-refuses-vote": "A member that does not know that it was promoted refuses to vote.",
  "raft/votes-under-live-leader": "A member that hears its leader follows whoever asks for votes.",
  "raft/pre-vote-raises-term": "Asking for pre-votes raises the term of the one who asks.",
  "raft/old-term-committed-by-counting": "A leader commits entries of earlier terms by counting copies.",
  "raft/unknown-term-matches-zero": "A term that is not known counts as 0 and matches 0.",
  "raft/late-append-truncates": "A late or doubled append cuts off what came after it.",
  "raft/commit-beyond-match": "A follower takes the commit index over entries that its leader has not confirmed.",
  "raft/accept-beyond-match": "A follower acknowledges entries at its end that its leader does not have.",
  "raft/heartbeat-commit-unbounded": "A heartbeat carries the commit index to members that may hold other entries.",
  "raft/conflict-hint-ignored": "A leader steps back one entry per rejection.",
  "raft/inflight-limit-ignored": "A leader sends a member more unacknowledged appends than the window allows.",
  "raft/uncommitted-unbounded": "A leader without a quorum takes proposals without limit.",
  "raft/leader-without-quorum-stays": "A leader that hears nothing from a quorum goes on leading.",
  "raft/read-before-term-commit": "A new leader answers reads before it has committed an entry of its term.",
  "raft/read-without-quorum": "A leader answers reads without asking a quorum.",
  "raft/read-joins-running-round": "Answers to a round that began before a read confirm it.",
  "raft/read-id-reused": "Reads share one id, so that an answer to an old one confirms a new one.",
  "raft/reads-survive-term": "Reads that waited when leadership was lost are answered by the next leadership.",
  "raft/forwarded-twice": "A doubled message puts a forwarded proposal into the log again.",
  "raft/conf-change-before-applied":
    "A new leader proposes a membership change before it has applied what it inherited.",
  "raft/two-conf-changes-in-flight": "A membership change is proposed while another one is not applied.",
  "raft/campaign-under-old-configuration": "A member campaigns while a committed membership change is not applied.",
  "raft/conf-change-applied-before-known":
    "A membership change is applied and told to others before this member would know of it after a crash.",
  "raft/vote-answer-hides-commit": "An answer to a request for votes does not tell what is committed.",
  "raft/removed-member-heard": "Requests of removed members are served.",
  "raft/removed-leader-stays": "A leader that was removed goes on leading.",
  "raft/transfer-to-removed": "A transfer of leadership goes on when its target is removed.",
  "raft/transfer-never-aborted": "A transfer of leadership to a dead member is never given up.",
  "raft/propose-during-transfer": "Proposals are taken while leadership is being handed over.",
  "raft/old-snapshot-restored": "A snapshot older than the commit index replaces the log.",
  "raft/snapshot-over-snapshot": "A second snapshot is restored while the first is being installed.",
} as const;

/** Asks whether a planted bug of this room is armed. */
export const mutated = declareMutations(raftMutations);
