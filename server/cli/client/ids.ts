// Ids on the command line: hexadecimal, as everything prints them.
import { badArguments } from "./command-error.ts";

const hex = /^[+-]?[0-9a-fA-F]+$/;

/** A lease's id. `label` is what the complaint begins with. */
export function parseLeaseId(text: string, label: string): bigint {
  const fault = (why: string) =>
    badArguments(`${label} (strconv.ParseInt: parsing "${text}": ${why}), expecting ID in Hex`);
  if (!hex.test(text)) throw fault("invalid syntax");
  const value = fromHex(text);
  if (value >= 2n ** 63n || value < -(2n ** 63n)) throw fault("value out of range");
  return value;
}

/** A member's id. */
export function parseMemberId(text: string, label: string): bigint {
  const fault = (why: string) =>
    badArguments(`${label} (strconv.ParseUint: parsing "${text}": ${why}), expecting ID in Hex`);
  if (!/^[0-9a-fA-F]+$/.test(text)) throw fault("invalid syntax");
  const value = fromHex(text);
  if (value >= 2n ** 64n) throw fault("value out of range");
  return value;
}

function fromHex(text: string): bigint {
  const value = BigInt(`0x${text.replace(/^[+-]/, "")}`);
  return text.startsWith("-") ? -value : value;
}
