// Latencies in buckets whose width grows with the value, as HdrHistogram has them: 128 buckets for each doubling, so
// that a percentile is right within one in 128 however long the tail is. Adding costs two additions and no memory.

/** Buckets per doubling. Values below twice this are counted exactly. */
const subBuckets = 128;
const subBucketBits = 7;
const valueMax = 0x7fff_ffff;
const bucketCount = (31 - subBucketBits) * subBuckets + subBuckets;

/** A histogram on its way between processes: bucket and count, alternating, empty buckets left out. */
export type HistogramData = readonly number[];

export class Histogram {
  readonly #counts = new Float64Array(bucketCount);
  #count = 0;
  #max = 0;

  /** Counts one value, in whole microseconds; what does not fit counts as the largest that does (35 minutes). */
  add(microseconds: number): void {
    const value = microseconds > valueMax ? valueMax : microseconds < 0 ? 0 : microseconds | 0;
    this.#counts[bucketOf(value)]! += 1;
    this.#count += 1;
    if (value > this.#max) this.#max = value;
  }

  get count(): number {
    return this.#count;
  }

  /** The largest value, within one in 128 when it came from another process. */
  get max(): number {
    return this.#max;
  }

  /**
   * The value that `quantile` (0 to 1) of all values do not exceed: the upper end of its bucket, and never more than
   * the largest value. NaN when nothing was counted.
   */
  quantile(quantile: number): number {
    if (this.#count === 0) return Number.NaN;
    let remaining = Math.max(1, Math.ceil(quantile * this.#count));
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      remaining -= this.#counts[bucket]!;
      if (remaining <= 0) return Math.min(upperEndOf(bucket), this.#max);
    }
    return this.#max;
  }

  toData(): HistogramData {
    const data: number[] = [];
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      const count = this.#counts[bucket]!;
      if (count > 0) data.push(bucket, count);
    }
    return data;
  }

  /** Adds what another histogram counted. */
  merge(data: HistogramData): void {
    for (let i = 0; i + 1 < data.length; i += 2) {
      const bucket = data[i]!;
      const count = data[i + 1]!;
      this.#counts[bucket]! += count;
      this.#count += count;
      this.#max = Math.max(this.#max, upperEndOf(bucket));
    }
  }
}

function bucketOf(value: number): number {
  if (value < subBuckets * 2) return value;
  const exponent = 31 - Math.clz32(value) - subBucketBits;
  return exponent * subBuckets + (value >>> exponent);
}

/** The largest value that is counted in a bucket. */
function upperEndOf(bucket: number): number {
  if (bucket < subBuckets * 2) return bucket;
  const exponent = Math.floor(bucket / subBuckets) - 1;
  const lower = (bucket - exponent * subBuckets) * 2 ** exponent;
  return lower + 2 ** exponent - 1;
}
