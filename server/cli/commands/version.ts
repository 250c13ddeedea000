// `version`: of this program, and of the API that it speaks.
import { apiVersionDefault } from "../../config.ts";
import type { CommandContext } from "../client/context.ts";
import { packageVersion } from "../version.ts";

export async function run(context: CommandContext): Promise<void> {
  const [major, minor] = apiVersionDefault.split(".");
  await context.out.write(`quorate version: ${packageVersion()}\nAPI version: ${major}.${minor}\n`);
}
