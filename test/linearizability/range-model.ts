// What a range answers, given the versions it looks at: sorted, cut and stripped as asked for.
import type { KeyValue, RangeRequest, RangeResult } from "./operation.ts";

type Sort = NonNullable<RangeRequest["sort"]>;

/** @param found Versions in the range, in key order. */
export function readRange(
  request: RangeRequest,
  found: readonly KeyValue[],
): Pick<RangeResult, "keyValues" | "count" | "hasMore"> {
  const count = found.length;
  if (request.isCountOnly === true) return { keyValues: [], count, hasMore: false };
  const sorted = request.sort === undefined ? found : sortBy(request.sort, found);
  const limit = request.limit ?? 0;
  const hasMore = limit > 0 && sorted.length > limit;
  const cut = hasMore ? sorted.slice(0, limit) : sorted;
  const keyValues = request.isKeysOnly === true ? cut.map((keyValue) => ({ ...keyValue, value: "" })) : cut;
  return { keyValues, count, hasMore };
}

function sortBy({ target, isDescending }: Sort, found: readonly KeyValue[]): readonly KeyValue[] {
  const sign = isDescending ? -1 : 1;
  // Sorting is stable: equal ones stay in key order, descending too.
  return [...found].sort((a, b) => {
    const [left, right] = [partOf(a, target), partOf(b, target)];
    return left < right ? -sign : left > right ? sign : 0;
  });
}

function partOf(keyValue: KeyValue, target: Sort["target"]): string | number {
  switch (target) {
    case "key":
      return keyValue.key;
    case "value":
      return keyValue.value;
    case "version":
      return keyValue.version;
    case "create":
      return keyValue.createRevision;
    case "mod":
      return keyValue.modRevision;
  }
}
