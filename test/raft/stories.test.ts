// Plays the stories. REWRITE=1 rewrites what they print; read the difference before committing it.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runStory } from "../support/datadriven.ts";
import { repositoryRoot } from "../support/paths.ts";
import { Story } from "./story.ts";

const folder = join(repositoryRoot, "test", "raft", "stories");
const files = readdirSync(folder).filter((file) => file.endsWith(".txt"));
assert(files.length > 0, folder);

for (const file of files)
  test(`story: ${file.replace(".txt", "").replaceAll("-", " ")}`, () => {
    const story = new Story();
    runStory(join(folder, file), (command) => story.run(command));
  });
