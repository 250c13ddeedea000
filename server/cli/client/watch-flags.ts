// Flags of `watch`, on the command line and in its interactive mode.
import { boolean, type ClientFlag, integer } from "./command-description.ts";

export const watchFlags: readonly ClientFlag[] = [
  boolean("prefix", "Every key that begins with <key>"),
  integer("rev", "Begin with the events of this revision; 0 for what comes next"),
  boolean("prev-kv", "Show what was there before each event"),
  boolean("progress-notify", "Tell from time to time how far the watch has come"),
  boolean("interactive", "Read watches from standard input", "false", "i"),
];
