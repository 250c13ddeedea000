// The seed of random tests: from QUORATE_SEED, so that a failure can be run again, otherwise a fixed one.

/** The number in QUORATE_SEED, or `fallback`. */
export function seedFromEnvironment(fallback = 1): number {
  const text = process.env["QUORATE_SEED"];
  if (text === undefined || text === "") return fallback;
  const seed = Number(text);
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`QUORATE_SEED is not a whole number: ${text}`);
  return seed;
}
