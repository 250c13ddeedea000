// Random numbers from a seed: the same seed gives the same run. The door for randomness in server/, and the source
// of every test's choices. Not for secrets.

export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** A whole number in [0, boundExclusive). `boundExclusive` must be at least 1. */
  below(boundExclusive: number): number;
  /** A new stream that does not disturb this one when it is drawn from. `label` keeps siblings apart. */
  fork(label: string): Random;
}

/** A source (xoshiro128**, seeded through splitmix32) whose whole sequence follows from `seed`. */
export function createRandom(seed: number): Random {
  let mix = seed >>> 0;
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let d = splitmix();
  const rotate = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0;

  const next32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const t = (b << 9) >>> 0;
    c = (c ^ a) >>> 0;
    d = (d ^ b) >>> 0;
    b = (b ^ c) >>> 0;
    a = (a ^ d) >>> 0;
    c = (c ^ t) >>> 0;
    d = rotate(d, 11);
    return result;
  };

  return {
    next: () => next32() / 0x1_0000_0000,
    below: (boundExclusive) => Math.floor((next32() / 0x1_0000_0000) * boundExclusive),
    fork(label) {
      let hash = 0x811c9dc5;
      for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193);
      return createRandom((hash ^ seed) >>> 0);
    },
  };
}
