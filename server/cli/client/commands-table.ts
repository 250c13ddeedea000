// Every client command: data only. The file that does it is loaded when it is called. To add one, write its file in
// commands/ and a row here; parsing, help and completion follow from the row.

import type { Command, CommandModule } from "./command.ts";
import { boolean, integer, list, text } from "./command-description.ts";
import { getFlags } from "./get-request.ts";
import { delFlags, putFlags } from "./put-request.ts";
import { watchFlags } from "./watch-flags.ts";

/** A command that shares its file with others. */
const from =
  <Name extends string>(
    load: () => Promise<{ readonly [name in Name]: CommandModule }>,
    name: Name,
  ): (() => Promise<CommandModule>) =>
  async () =>
    (await load())[name];

const lease = () => import("../commands/lease.ts");
const endpoint = () => import("../commands/endpoint.ts");
const member = () => import("../commands/member.ts");
const maintenance = () => import("../commands/maintenance.ts");
const auth = () => import("../commands/auth.ts");
const user = () => import("../commands/user.ts");
const role = () => import("../commands/role.ts");

const cluster = boolean("cluster", "Ask every member of the cluster");
const peerUrls = list("peer-urls", "Where the member listens for others, with commas between");
const passwordFlags = [boolean("interactive", "Ask on the terminal; else read a line of standard input", "true")];
const rangeFlags = [
  boolean("prefix", "Every key that begins with <key>"),
  boolean("from-key", "Every key from <key> on, in byte order"),
];

export const commands: readonly Command[] = [
  {
    name: "get",
    usage: "<key> [range_end]",
    summary: "Reads a key or a range of keys",
    flags: getFlags,
    load: () => import("../commands/get.ts"),
  },
  {
    name: "put",
    usage: "<key> [value]",
    summary: "Writes a key",
    flags: putFlags,
    details:
      "Without <value> it is read from standard input, byte for byte. A key or value that begins with a dash comes " +
      "after --: quorate put -- -key -value",
    load: () => import("../commands/put.ts"),
  },
  {
    name: "del",
    usage: "<key> [range_end]",
    summary: "Deletes a key or a range of keys",
    flags: delFlags,
    load: () => import("../commands/del.ts"),
  },
  {
    name: "txn",
    usage: "",
    summary: "Does several things in one transaction, read from standard input",
    flags: [boolean("interactive", "Say what is expected", "false", "i")],
    details: `Three parts, each ended by an empty line: comparisons, what to do if all hold, what to do otherwise.

  mod("key") > "0"
  value("key") = "text"

  put key "text"
  get key --prefix

  del key

Comparisons are of ver, create, mod, value or lease with =, !=, < or >.`,
    load: () => import("../commands/txn.ts"),
  },
  {
    name: "watch",
    usage: "[key] [range_end] [-- command args...]",
    summary: "Shows what happens to a key or a range",
    flags: watchFlags,
    details:
      "The command runs once for each event, which is in ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY " +
      "and ETCD_WATCH_VALUE. Without [key] it comes from ETCDCTL_WATCH_KEY, and the end of a range from " +
      "ETCDCTL_WATCH_RANGE_END. Lines of -i: watch [flags] <key> [range_end] [-- command], or progress.",
    load: () => import("../commands/watch.ts"),
  },
  {
    name: "lease grant",
    usage: "<ttl>",
    summary: "Makes a lease that lives for <ttl> seconds",
    flags: [],
    load: from(lease, "grant"),
  },
  {
    name: "lease revoke",
    usage: "<id>",
    summary: "Ends a lease and deletes its keys",
    flags: [],
    load: from(lease, "revoke"),
  },
  {
    name: "lease timetolive",
    usage: "<id>",
    summary: "Shows how long a lease still lives",
    flags: [boolean("keys", "Show its keys, too")],
    load: from(lease, "timeToLive"),
  },
  { name: "lease list", usage: "", summary: "Lists the leases", flags: [], load: from(lease, "list") },
  {
    name: "lease keep-alive",
    usage: "<id>",
    summary: "Keeps a lease alive until it is interrupted",
    flags: [boolean("once", "Renew it once")],
    load: from(lease, "keepAlive"),
  },
  {
    name: "compaction",
    usage: "<revision>",
    summary: "Forgets the history before a revision",
    flags: [boolean("physical", "Wait until it is gone from disk")],
    load: () => import("../commands/compaction.ts"),
  },
  {
    name: "lock",
    usage: "<name> [-- command args...]",
    summary: "Holds a lock until it is interrupted, or while a command runs",
    flags: [integer("ttl", "Seconds after which the lock is free when this program is not heard of", "10")],
    details: "The command finds the lock's key in ETCD_LOCK_KEY and its fencing token in ETCD_LOCK_REV.",
    load: () => import("../commands/lock.ts"),
  },
  {
    name: "elect",
    usage: "<name> [proposal]",
    summary: "Stands in an election with a proposal and leads until it is interrupted",
    flags: [boolean("listen", "Show who leads instead, and every change", "false", "l")],
    load: () => import("../commands/elect.ts"),
  },
  {
    name: "endpoint status",
    usage: "",
    summary: "Shows how each endpoint is doing",
    flags: [cluster],
    load: from(endpoint, "status"),
  },
  {
    name: "endpoint health",
    usage: "",
    summary: "Checks whether each endpoint can serve",
    flags: [cluster],
    load: from(endpoint, "health"),
  },
  {
    name: "endpoint hashkv",
    usage: "",
    summary: "Shows a hash over the keys of each endpoint",
    flags: [cluster, integer("rev", "Only keys up to this revision; 0 for all")],
    load: from(endpoint, "hashKv"),
  },
  {
    name: "member list",
    usage: "",
    summary: "Lists the members",
    flags: [text("consistency", "Linearizable (l) or as the asked member knows them (s)", "l")],
    load: from(member, "list"),
  },
  {
    name: "member add",
    usage: "<name>",
    summary: "Adds a member",
    flags: [peerUrls, boolean("learner", "Without a vote, until it is promoted")],
    load: from(member, "add"),
  },
  { name: "member remove", usage: "<id>", summary: "Removes a member", flags: [], load: from(member, "remove") },
  {
    name: "member update",
    usage: "<id>",
    summary: "Changes where a member listens for others",
    flags: [peerUrls],
    load: from(member, "update"),
  },
  {
    name: "member promote",
    usage: "<id>",
    summary: "Gives a learner a vote",
    flags: [],
    load: from(member, "promote"),
  },
  {
    name: "move-leader",
    usage: "<id>",
    summary: "Makes another member the leader",
    flags: [],
    load: from(maintenance, "moveLeader"),
  },
  { name: "alarm list", usage: "", summary: "Lists the alarms", flags: [], load: from(maintenance, "alarmList") },
  { name: "alarm disarm", usage: "", summary: "Ends all alarms", flags: [], load: from(maintenance, "alarmDisarm") },
  {
    name: "defrag",
    usage: "",
    summary: "Gives free space of each endpoint back to its disk",
    flags: [cluster],
    load: from(maintenance, "defrag"),
  },
  {
    name: "snapshot save",
    usage: "<file>",
    summary: "Saves the whole store of a member in a file",
    flags: [],
    load: () => import("../commands/snapshot.ts"),
  },
  { name: "auth enable", usage: "", summary: "Asks everybody who they are", flags: [], load: from(auth, "enable") },
  { name: "auth disable", usage: "", summary: "Asks nobody who they are", flags: [], load: from(auth, "disable") },
  { name: "auth status", usage: "", summary: "Shows whether it is asked", flags: [], load: from(auth, "status") },
  {
    name: "user add",
    usage: "<name or name:password>",
    summary: "Adds a user",
    flags: [
      ...passwordFlags,
      text("new-user-password", "Password of the new user"),
      boolean("no-password", "A user known by certificate only"),
    ],
    load: from(user, "add"),
  },
  { name: "user delete", usage: "<name>", summary: "Deletes a user", flags: [], load: from(user, "remove") },
  {
    name: "user get",
    usage: "<name>",
    summary: "Shows the roles of a user",
    flags: [boolean("detail", "Show the permissions of the roles, too")],
    load: from(user, "get"),
  },
  { name: "user list", usage: "", summary: "Lists the users", flags: [], load: from(user, "list") },
  {
    name: "user passwd",
    usage: "<name>",
    summary: "Changes a password",
    flags: passwordFlags,
    load: from(user, "passwd"),
  },
  {
    name: "user grant-role",
    usage: "<name> <role>",
    summary: "Gives a user a role",
    flags: [],
    load: from(user, "grantRole"),
  },
  {
    name: "user revoke-role",
    usage: "<name> <role>",
    summary: "Takes a role from a user",
    flags: [],
    load: from(user, "revokeRole"),
  },
  { name: "role add", usage: "<role>", summary: "Adds a role", flags: [], load: from(role, "add") },
  { name: "role delete", usage: "<role>", summary: "Deletes a role", flags: [], load: from(role, "remove") },
  { name: "role get", usage: "<role>", summary: "Shows what a role may do", flags: [], load: from(role, "get") },
  { name: "role list", usage: "", summary: "Lists the roles", flags: [], load: from(role, "list") },
  {
    name: "role grant-permission",
    usage: "<role> <read|write|readwrite> <key> [endkey]",
    summary: "Lets a role do something with keys",
    flags: rangeFlags,
    load: from(role, "grantPermission"),
  },
  {
    name: "role revoke-permission",
    usage: "<role> <key> [endkey]",
    summary: "Takes a permission from a role",
    flags: rangeFlags,
    load: from(role, "revokePermission"),
  },
  {
    name: "completion",
    usage: "<bash|zsh>",
    summary: "Prints a script that completes commands and flags in a shell",
    flags: [],
    load: () => import("../commands/completion.ts"),
  },
  {
    name: "version",
    usage: "",
    summary: "Shows the version of this program and of its API",
    flags: [],
    load: () => import("../commands/version.ts"),
  },
];
