// The story runner itself: what it reads, what it refuses, what it rewrites.
import assert from "node:assert/strict";
import { test } from "node:test";
import { replayStory, type StoryCommand, storyFlag, storyValue, storyValues } from "./datadriven.ts";

const story = `# A comment stays.
add to=5
1
2
----
8

list of=(a, b) loud
----
A
B

gap
----
----
one

two
----
----

silent
----
`;

function run(command: StoryCommand): string {
  switch (command.name) {
    case "add":
      return String(
        command.input.split("\n").reduce((sum, line) => sum + Number(line), Number(storyValue(command, "to"))),
      );
    case "list": {
      const words = storyValues(command, "of") ?? [];
      return words.map((word) => (storyFlag(command, "loud") ? word.toUpperCase() : word)).join("\n");
    }
    case "gap":
      return "one\n\ntwo\n";
    default:
      return "";
  }
}

test("a story whose outputs are right passes and is rewritten to itself", () => {
  assert.equal(replayStory(story, "story", run, false), story);
  assert.equal(replayStory(story, "story", run, true), story);
});

test("a wrong output fails with its place, and rewriting puts it right", () => {
  const wrong = story.replace("8", "9").replace("one", "eins");
  assert.throws(() => replayStory(wrong, "story", run, false), /story:2: add to=5/);
  assert.equal(replayStory(wrong, "story", run, true), story);
});

test("a command without a separator, or without an argument it needs, is refused", () => {
  assert.throws(() => replayStory("add to=5\n1\n", "story", run, false), /story:1: no ---- follows/);
  assert.throws(() => replayStory("add\n1\n----\n1\n", "story", run, false), /story:1/);
});
