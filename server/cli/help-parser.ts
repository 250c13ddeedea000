// The yargs that help texts are made with. Command lines themselves are read elsewhere (see DESIGN.md).
import yargs, { type Argv } from "yargs";

const columns = 110;

/** A parser that knows nothing yet and does nothing but help. */
export const createHelpParser = (usage: string): Argv =>
  yargs([]).scriptName("quorate").usage(usage).locale("en").wrap(columns).help(false).version(false).exitProcess(false);
