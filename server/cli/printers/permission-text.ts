// The keys that a role may read and write, as `role get` lists them.
import { prefixEnd, type wire } from "../../../sdk/index.ts";

type Permission = wire.AuthRoleGetResponse["perm"][number];

const [read, write, readWrite] = [0, 1, 2];

/** The form of `role get` and `user get --detail`. */
export function permissionText(role: string, permissions: readonly Permission[]): Uint8Array {
  const of = (kinds: readonly number[]): Buffer[] =>
    permissions.filter(({ permType }) => kinds.includes(permType)).map(rangeText);
  return Buffer.concat([
    Buffer.from(`Role ${role}\nKV Read:\n`),
    ...of([read!, readWrite!]),
    Buffer.from("KV Write:\n"),
    ...of([write!, readWrite!]),
  ]);
}

function rangeText({ key, rangeEnd }: Permission): Buffer {
  const parts: (string | Uint8Array)[] = ["\t"];
  if (rangeEnd.length === 0) parts.push(key);
  else if (rangeEnd.length === 1 && rangeEnd[0] === 0) parts.push("[", key, ", <open ended>");
  else {
    parts.push("[", key, ", ", rangeEnd, ")");
    if (Buffer.compare(prefixEnd(key), rangeEnd) === 0) parts.push(" (prefix ", key, ")");
  }
  parts.push("\n");
  return Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
}
