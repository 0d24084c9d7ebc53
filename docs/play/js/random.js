// SPDX-License-Identifier: Apache-2.0
// Seeded random numbers. trainers/reporting/page_noise.py computes the same numbers in Python.
//
// The generator is xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021). Its four
// words of state are four outputs of splitmix32, a counter in steps of the golden ratio with a mixing function
// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014, in 32 bits).

const rotated = (x, k) => ((x << k) | (x >>> (32 - k))) >>> 0;

function mixed(z) {
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

export class Random {
  // seed: a whole number in [0, 2**32).
  constructor(seed) {
    this.state = Uint32Array.from({ length: 4 }, (_, k) => mixed((seed + Math.imul(k + 1, 0x9e3779b9)) >>> 0));
  }

  // Returns a whole number in [0, 2**32).
  next() {
    const s = this.state;
    const result = Math.imul(rotated(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 11);
    return result;
  }

  // Returns `size` numbers in [0, 1), multiples of 2**-24, which float32 represents.
  uniform(size) {
    return Float32Array.from({ length: size }, () => (this.next() >>> 8) * 2 ** -24);
  }

  // Returns `size` draws from the standard normal distribution. Box and Muller (1958): from u in (0, 1] and v in [0, 1),
  // sqrt(-2 log u) cos(2 pi v) and sqrt(-2 log u) sin(2 pi v).
  normal(size) {
    const draws = new Float32Array(size);
    for (let i = 0; i < size; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(((this.next() >>> 8) + 1) * 2 ** -24));
      const angle = 2 * Math.PI * (this.next() >>> 8) * 2 ** -24;
      draws[i] = radius * Math.cos(angle);
      if (i + 1 < size) draws[i + 1] = radius * Math.sin(angle);
    }
    return draws;
  }
}
