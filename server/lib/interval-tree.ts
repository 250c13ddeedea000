// Intervals of byte strings, each with a value, and the question which of them contain a key. A treap ordered by
// start, in which every node knows the furthest end below it, so that a search passes over whole subtrees.
// Insert, delete and search take logarithmic time on average, plus the answers found.
import type { ByteString } from "./byte-string.ts";

interface Node<V> {
  readonly from: ByteString;
  /** First key not contained; undefined for no end. */
  readonly to: ByteString | undefined;
  readonly value: V;
  readonly priority: number;
  left: Node<V> | undefined;
  right: Node<V> | undefined;
  /** Furthest end in this subtree; undefined for none, which is beyond all. */
  maxTo: ByteString | undefined;
}

type Subtree<V> = Node<V> | undefined;

export class IntervalTree<V> {
  #root: Subtree<V>;
  #size = 0;
  #seed = 0x9e3779b9;

  get size(): number {
    return this.#size;
  }

  /** Adds [from, to). One interval may be there once only. */
  insert(from: ByteString, to: ByteString | undefined, value: V): void {
    const node: Node<V> = { from, to, value, priority: this.#priority(), left: undefined, right: undefined, maxTo: to };
    const [left, right] = split(this.#root, from, to);
    this.#root = merge(merge(left, node), right);
    this.#size++;
  }

  /** Removes [from, to), which is there. */
  delete(from: ByteString, to: ByteString | undefined): void {
    this.#root = remove(this.#root, from, to);
    this.#size--;
  }

  get(from: ByteString, to: ByteString | undefined): V | undefined {
    let node = this.#root;
    while (node !== undefined) {
      const order = compare(from, to, node.from, node.to);
      if (order === 0) return node.value;
      node = order < 0 ? node.left : node.right;
    }
    return undefined;
  }

  /** Calls `visit` with the value of every interval that contains `key`. */
  visitContaining(key: ByteString, visit: (value: V) => void): void {
    visitNode(this.#root, key, visit);
  }

  // The shape of the tree needs chance, not secrecy; a fixed sequence keeps runs repeatable.
  #priority(): number {
    this.#seed = (Math.imul(this.#seed, 1664525) + 1013904223) >>> 0;
    return this.#seed;
  }
}

/** An end of undefined is behind every other. */
function isEndAfter(end: ByteString | undefined, key: ByteString): boolean {
  return end === undefined || end > key;
}

function furthest(a: ByteString | undefined, b: ByteString | undefined): ByteString | undefined {
  if (a === undefined || b === undefined) return undefined;
  return a > b ? a : b;
}

function compare(
  fromA: ByteString,
  toA: ByteString | undefined,
  fromB: ByteString,
  toB: ByteString | undefined,
): number {
  if (fromA !== fromB) return fromA < fromB ? -1 : 1;
  if (toA === toB) return 0;
  if (toA === undefined) return 1;
  if (toB === undefined) return -1;
  return toA < toB ? -1 : 1;
}

function update<V>(node: Node<V>): Node<V> {
  let maxTo = node.to;
  if (node.left !== undefined) maxTo = furthest(maxTo, node.left.maxTo);
  if (node.right !== undefined) maxTo = furthest(maxTo, node.right.maxTo);
  node.maxTo = maxTo;
  return node;
}

/** Parts a subtree into what lies before an interval and what does not. */
function split<V>(node: Subtree<V>, from: ByteString, to: ByteString | undefined): [Subtree<V>, Subtree<V>] {
  if (node === undefined) return [undefined, undefined];
  if (compare(node.from, node.to, from, to) < 0) {
    const [left, right] = split(node.right, from, to);
    node.right = left;
    return [update(node), right];
  }
  const [left, right] = split(node.left, from, to);
  node.left = right;
  return [left, update(node)];
}

function merge<V>(left: Subtree<V>, right: Subtree<V>): Subtree<V> {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = merge(left.right, right);
    return update(left);
  }
  right.left = merge(left, right.left);
  return update(right);
}

function remove<V>(node: Subtree<V>, from: ByteString, to: ByteString | undefined): Subtree<V> {
  if (node === undefined) return undefined;
  const order = compare(from, to, node.from, node.to);
  if (order === 0) return merge(node.left, node.right);
  if (order < 0) node.left = remove(node.left, from, to);
  else node.right = remove(node.right, from, to);
  return update(node);
}

function visitNode<V>(node: Subtree<V>, key: ByteString, visit: (value: V) => void): void {
  if (node === undefined || !isEndAfter(node.maxTo, key)) return;
  visitNode(node.left, key, visit);
  // Everything to the right starts at or behind this node.
  if (node.from > key) return;
  if (isEndAfter(node.to, key)) visit(node.value);
  visitNode(node.right, key, visit);
}
