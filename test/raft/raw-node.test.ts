// A node by itself: what its host must do and may rely on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawMessage } from "./draw.ts";
import { Group } from "./group.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("a lone voter leads at once, and its entries commit when they are saved", () => {
  const group = new Group({ voters: [1n] });
  const host = group.host(1n);
  assert.equal(host.node.hasReady(), false);
  assert.deepEqual(host.node.campaign(), { kind: "accepted" });
  assert.equal(host.node.status().role, "leader");
  assert.deepEqual(host.node.propose(bytes("a")), { kind: "accepted", index: 3, term: 2 });
  const first = host.node.ready();
  assert.deepEqual(first.roleState, { role: "leader", term: 2, leader: 1n });
  assert.deepEqual(
    first.save?.entries.map(({ kind, index, term }) => ({ kind, index, term })),
    [
      { kind: "no-op", index: 2, term: 2 },
      { kind: "normal", index: 3, term: 2 },
    ],
  );
  assert.deepEqual(first.committed, []);
  assert.equal(host.node.hasReady(), false);
  host.disk.save(first.save);
  host.node.onSaved(first.save.id);
  const second = host.node.ready();
  assert.equal(second.commit, 3);
  assert.deepEqual(
    second.committed.map(({ index }) => index),
    [2, 3],
  );
  assert.equal(second.save, undefined);
  host.node.onApplied(3);
  assert.equal(host.node.hasReady(), false);
  assert.equal(host.node.status().uncommittedBytes, 0);
});

test("a log that cannot be read for the moment stops applying and sending, not the node, and nobody spins", () => {
  const group = new Group({ voters: [1n, 2n, 3n] });
  group.elect(1n);
  const host = group.host(1n);
  const read = host.disk.entries.bind(host.disk);
  let asked = 0;
  host.disk.entries = (...range) => {
    asked++;
    return range[0] >= 3 ? "unavailable" : read(...range);
  };
  group.isolate(3n);
  group.propose(1n, "a");
  group.heal();
  assert.equal(host.node.status().commit, 3);
  assert.equal(host.applied.index, 2);
  group.tick(3);
  assert(asked < 20, `asked ${asked} times`);
  assert.equal(group.host(3n).node.status().lastIndex, 2);
  host.disk.entries = read;
  group.tick(3);
  for (const id of [1n, 2n, 3n]) assert.deepEqual(group.applied(id), ["a"]);
});

test("the same calls give the same outputs", () => {
  const play = (): string[] => {
    const group = new Group({ voters: [1n, 2n, 3n] });
    group.tick(25);
    group.propose(group.leaders[0] as bigint, "a");
    return group.trace.map(drawMessage);
  };
  assert.deepEqual(play(), play());
});

test("three members elect, replicate and apply", () => {
  const group = new Group({ voters: [1n, 2n, 3n] });
  group.elect(1n);
  group.propose(1n, "a");
  group.propose(2n, "b");
  for (const id of [1n, 2n, 3n]) assert.deepEqual(group.applied(id), ["a", "b"]);
});
