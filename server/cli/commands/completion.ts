// `completion`: see client/completion.ts.
import { badArguments } from "../client/command-error.ts";
import { completions, scripts } from "../client/completion.ts";
import type { CommandContext } from "../client/context.ts";

export async function run(context: CommandContext): Promise<void> {
  const [what, ...words] = context.args;
  if (what === "words") {
    await context.out.write(
      completions(words, context.commands)
        .map((word) => `${word}\n`)
        .join(""),
    );
    return;
  }
  const script = what === undefined ? undefined : scripts[what];
  if (script === undefined) throw badArguments(`completion needs a shell: ${Object.keys(scripts).join(" or ")}`);
  await context.out.write(script);
}
