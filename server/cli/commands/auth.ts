// `auth enable|disable|status`.
import { methods } from "../../../sdk/index.ts";
import { badArguments } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";

function expectNothing(context: CommandContext, name: string): void {
  if (context.args.length > 0) throw badArguments(`auth ${name} command does not accept any arguments`);
}

export const enable = {
  async run(context: CommandContext): Promise<void> {
    expectNothing(context, "enable");
    const client = await context.client();
    await client.raw.call(methods.auth.enable, {}, context.callOptions);
    await context.out.write("Authentication Enabled\n");
  },
};

export const disable = {
  async run(context: CommandContext): Promise<void> {
    expectNothing(context, "disable");
    const client = await context.client();
    await client.raw.call(methods.auth.disable, {}, context.callOptions);
    await context.out.write("Authentication Disabled\n");
  },
};

export const status = {
  async run(context: CommandContext): Promise<void> {
    expectNothing(context, "status");
    const client = await context.client();
    const response = await client.raw.call(methods.auth.status, {}, context.callOptions);
    await context.print({ kind: "auth-status", response });
  },
};
