// `role add|delete|get|list|grant-permission|revoke-permission`.
import { methods } from "../../../sdk/index.ts";
import { badArguments } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { toRange, type WireRange } from "../client/key-range.ts";
import { fromBytes } from "../client/raw-text.ts";

function onlyRole(context: CommandContext, command: string): string {
  const [role] = context.args;
  if (role !== undefined && context.args.length === 1) return role;
  throw badArguments(`role ${command} command requires role name as its argument`);
}

export const add = {
  async run(context: CommandContext): Promise<void> {
    const name = onlyRole(context, "add");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.roleAdd, { name }, context.callOptions);
    await context.print({ kind: "done", response, text: `Role ${name} created\n`, method: methods.auth.roleAdd });
  },
};

export const remove = {
  async run(context: CommandContext): Promise<void> {
    const role = onlyRole(context, "delete");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.roleDelete, { role }, context.callOptions);
    await context.print({ kind: "done", response, text: `Role ${role} deleted\n`, method: methods.auth.roleDelete });
  },
};

export const get = {
  async run(context: CommandContext): Promise<void> {
    const role = onlyRole(context, "get");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.roleGet, { role }, context.callOptions);
    await context.print({ kind: "role-get", response, role });
  },
};

export const list = {
  async run(context: CommandContext): Promise<void> {
    if (context.args.length > 0) throw badArguments("role list command requires no arguments");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.roleList, {}, context.callOptions);
    await context.print({ kind: "role-list", response });
  },
};

const permissionTypes: { readonly [word: string]: 0 | 1 | 2 } = { READ: 0, WRITE: 1, READWRITE: 2 };

export const grantPermission = {
  async run(context: CommandContext): Promise<void> {
    const [name, type, ...keys] = context.args;
    if (name === undefined || type === undefined || keys.length === 0) {
      throw badArguments("role grant command requires role name, permission type, and key [endkey] as its argument");
    }
    const permType = permissionTypes[type.toUpperCase()];
    if (permType === undefined) throw badArguments(`invalid permission type: ${type}`);
    const perm = { permType, ...rangeOf(context, keys) };
    const client = await context.client();
    const response = await client.raw.call(methods.auth.roleGrantPermission, { name, perm }, context.callOptions);
    const method = methods.auth.roleGrantPermission;
    await context.print({ kind: "done", response, text: `Role ${name} updated\n`, method });
  },
};

export const revokePermission = {
  async run(context: CommandContext): Promise<void> {
    const [role, ...keys] = context.args;
    if (role === undefined || keys.length === 0) {
      throw badArguments("role revoke-permission command requires role name and key [endkey] as its argument");
    }
    const range = rangeOf(context, keys);
    const client = await context.client();
    const request = { role, ...range };
    const response = await client.raw.call(methods.auth.roleRevokePermission, request, context.callOptions);
    const text = `Permission of ${rangeText(keys[0]!, range)} is revoked from role ${role}\n`;
    await context.print({ kind: "done", response, text, method: methods.auth.roleRevokePermission });
  },
};

function rangeOf(context: CommandContext, keys: readonly string[]): WireRange {
  const isPrefix = context.flags.boolean("prefix");
  const isFromKey = context.flags.boolean("from-key");
  if (isPrefix && isFromKey) throw badArguments("--from-key and --prefix flags are mutually exclusive");
  const [first = "", end, ...more] = keys;
  if (end !== undefined && isPrefix) throw badArguments("unexpected endkey argument with --prefix flag");
  if (end !== undefined && isFromKey) throw badArguments("unexpected endkey argument with --from-key flag");
  if (more.length > 0) throw badArguments(`a key and an endkey are expected, found ${keys.length} arguments`);
  return toRange(first, end, { isPrefix, isFromKey });
}

function rangeText(first: string, { rangeEnd }: WireRange): string {
  if (rangeEnd.length === 0) return `key ${first}`;
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return `range [${first}, <open ended>`;
  return `range [${first}, ${fromBytes(Buffer.from(rangeEnd))})`;
}
