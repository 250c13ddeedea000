// `user add|delete|get|list|passwd|grant-role|revoke-role`.
import { methods } from "../../../sdk/index.ts";
import { badArguments } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { LineReader } from "../client/line-reader.ts";
import { askPassword } from "../client/prompt.ts";

/** The only argument. */
function onlyName(context: CommandContext, command: string): string {
  const [name] = context.args;
  if (name !== undefined && context.args.length === 1) return name;
  throw badArguments(`user ${command} command requires user name as its argument`);
}

function userAndRole(context: CommandContext, command: string): readonly [string, string] {
  const [user, role] = context.args;
  if (user !== undefined && role !== undefined && context.args.length === 2) return [user, role];
  throw badArguments(`user ${command} command requires user name and role name as its argument`);
}

export const add = {
  async run(context: CommandContext): Promise<void> {
    const given = onlyName(context, "add");
    const { flags } = context;
    const noPassword = flags.boolean("no-password");
    const at = given.indexOf(":");
    let name = given;
    let password = "";
    if (!noPassword) {
      if (flags.isSet("new-user-password")) password = flags.text("new-user-password");
      else if (at >= 0) [name, password] = [given.slice(0, at), given.slice(at + 1)];
      else password = await newPassword(context, given);
    }
    if (name === "") throw badArguments("empty user name is not allowed");
    const client = await context.client();
    const request = { name, password, options: { noPassword }, hashedPassword: "" };
    const response = await client.raw.call(methods.auth.userAdd, request, context.callOptions);
    await context.print({ kind: "done", response, text: `User ${name} created\n`, method: methods.auth.userAdd });
  },
};

export const passwd = {
  async run(context: CommandContext): Promise<void> {
    const name = onlyName(context, "passwd");
    const password = await newPassword(context, name);
    const client = await context.client();
    const request = { name, password, hashedPassword: "" };
    const response = await client.raw.call(methods.auth.userChangePassword, request, context.callOptions);
    const method = methods.auth.userChangePassword;
    await context.print({ kind: "done", response, text: "Password updated\n", method });
  },
};

/** Asks twice on a terminal; with --interactive=false takes one line of standard input. */
async function newPassword(context: CommandContext, name: string): Promise<string> {
  if (!context.flags.boolean("interactive")) {
    const lines = new LineReader(context.io.input);
    return (await lines.next()) ?? lines.brokenOff;
  }
  const password = await askPassword(`Password of ${name}: `, context.io);
  if (password === "") throw badArguments("empty password");
  if (context.io.input.isTTY !== true) return password;
  const again = await askPassword(`Type password of ${name} again for confirmation: `, context.io);
  if (again !== password) throw badArguments("given passwords are different");
  return password;
}

export const remove = {
  async run(context: CommandContext): Promise<void> {
    const name = onlyName(context, "delete");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.userDelete, { name }, context.callOptions);
    await context.print({ kind: "done", response, text: `User ${name} deleted\n`, method: methods.auth.userDelete });
  },
};

export const get = {
  async run(context: CommandContext): Promise<void> {
    const name = onlyName(context, "get");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.userGet, { name }, context.callOptions);
    if (!context.flags.boolean("detail")) {
      await context.print({ kind: "user-get", response, user: name });
      return;
    }
    await context.out.write(`User: ${name}\n`);
    for (const role of response.roles) {
      await context.out.write("\n");
      const found = await client.raw.call(methods.auth.roleGet, { role }, context.callOptions);
      await context.print({ kind: "role-get", response: found, role });
    }
  },
};

export const list = {
  async run(context: CommandContext): Promise<void> {
    if (context.args.length > 0) throw badArguments("user list command requires no arguments");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.userList, {}, context.callOptions);
    await context.print({ kind: "user-list", response });
  },
};

export const grantRole = {
  async run(context: CommandContext): Promise<void> {
    const [user, role] = userAndRole(context, "grant");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.userGrantRole, { user, role }, context.callOptions);
    const text = `Role ${role} is granted to user ${user}\n`;
    await context.print({ kind: "done", response, text, method: methods.auth.userGrantRole });
  },
};

export const revokeRole = {
  async run(context: CommandContext): Promise<void> {
    const [name, role] = userAndRole(context, "revoke-role");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.userRevokeRole, { name, role }, context.callOptions);
    const text = `Role ${role} is revoked from user ${name}\n`;
    await context.print({ kind: "done", response, text, method: methods.auth.userRevokeRole });
  },
};
