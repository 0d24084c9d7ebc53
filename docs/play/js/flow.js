// SPDX-License-Identifier: Apache-2.0
// A trained flow: loads the files that trainers/page.py writes, and runs the functions that tfp_glow.export_tfjs wrote.

import { Random } from "./random.js";

const TOLERANCE = 1e-3; // bits per dimension
const BACKENDS = ["wasm", "cpu"];
const NUM_DRAWS = 8;

// Gets a file and returns it in the given form, "json" or "arrayBuffer".
export async function file(url, form) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} cannot be read: ${response.status} ${response.statusText}`);
  return response[form]();
}

export class Flow {
  // Loads the model of a folder. Uses the first backend whose numbers are those of Python.
  //
  // Attributes of the result: `about`, the content of page.json; `shape`, [height, width, channels]; `size`, the number of
  // values of an image; `images`, test images; `directions`, one per class; `checked`, the result of the check.
  static async load(folder) {
    const flow = new Flow();
    const [about, exported, images, samples] = await Promise.all([
      file(`${folder}/page.json`, "json"),
      file(`${folder}/tfjs/signatures.json`, "json"),
      file(`${folder}/images.bin`, "arrayBuffer"),
      file(`${folder}/samples.bin`, "arrayBuffer"),
    ]);
    flow.about = about;
    flow.shape = about.image_shape;
    flow.size = product(flow.shape);
    flow.maximum = about.num_levels - 1; // the greatest gray level of the data
    flow.signatures = exported.signatures;
    flow.encodeName = Object.keys(flow.signatures).find((name) => name.startsWith("encode_"));
    const integers = about.num_bits > 8 ? Uint16Array : Uint8Array;
    flow.images = rows(Int32Array.from(new integers(images)), flow.size);
    flow.directions = about.data.classes.length
      ? rows(new Float32Array(await file(`${folder}/directions.bin`, "arrayBuffer")), product(about.latent_shape))
      : [];
    const expected = Int32Array.from(new integers(samples));
    const chosen = new URLSearchParams(location.search).get("backend");
    tf.wasm.setWasmPaths(new URL("../vendor/", import.meta.url).href);
    const problems = [];
    for (const backend of BACKENDS.filter((name) => !chosen || name === chosen)) {
      try {
        if (!(await tf.setBackend(backend))) throw new Error("it does not start");
        flow.model?.dispose();
        flow.model = await tf.loadGraphModel(new URL(`${folder}/tfjs/model.json`, location.href).href);
        flow.checked = { backend, version: tf.version_core, ...(await flow.check(expected)) };
        return flow;
      } catch (error) {
        problems.push(`${backend}: ${error.message}`);
      }
    }
    throw new Error(problems.join("; ") || `there is no backend ${chosen}`);
  }

  dispose() {
    this.model.dispose();
  }

  // Computes again what Python computed. Raises an error if the numbers differ.
  async check(expected) {
    const { seed, number, temperature, bits_per_dim: bits } = this.about.check;
    const images = Int32Array.from(this.images.slice(0, number).flatMap((image) => [...image]));
    const found = await this.bitsOf(images, new Random(seed).uniform(images.length));
    const difference = Math.max(...bits.map((value, i) => Math.abs(value - found[i])));
    if (!(difference <= TOLERANCE)) throw new Error(`bits/dim differ from Python's by ${difference}`);
    const latents = new Random(seed).normal(number * product(this.about.latent_shape)).map((x) => temperature * x);
    const samples = Int32Array.from((await this.decode(latents)).flatMap((image) => [...image]));
    const differing = expected.filter((value, i) => value !== samples[i]).length;
    // Rounding down may fall on the other side of a bin's edge: rarely, and more often if the weights are rounded.
    const allowed = this.about.change_by_rounding === null ? 0 : 1;
    if (expected.filter((value, i) => Math.abs(value - samples[i]) > allowed).length > 0.01 * expected.length) throw new Error(`${differing} values of samples differ from Python's`);
    return { number, difference, differing, values: expected.length };
  }

  // Draws latents: `number` rows of standard normal values.
  latents(number, seed) {
    return rows(new Random(seed).normal(number * product(this.about.latent_shape)), product(this.about.latent_shape));
  }

  // Computes the latents of one image, an Int32Array.
  async encode(image) {
    return this.run(this.encodeName, { images: image });
  }

  // Computes the images of latents, rows of one Float32Array or an array of rows. Returns an array of Int32Array.
  // A value that is no finite number becomes -1.
  async decode(latents) {
    const floats = await this.run("decode_floats", { latents: flat(latents) });
    const top = 2 ** this.about.num_bits - 1;
    const levels = Int32Array.from(floats, (x) => (Number.isFinite(x) ? Math.min(Math.max(Math.floor(x), 0), top) : -1));
    return rows(levels, this.size);
  }

  // Computes bits per dimension of images plus given noise, one number per image.
  async bitsOf(images, noise) {
    return this.run("bits_per_dim_with_noise", { images, noise });
  }

  // Computes the mean bits per dimension of one image over several draws of noise, with a seed that is always the same.
  async bits(image) {
    if (image.includes(-1)) return NaN;
    const copies = Int32Array.from({ length: NUM_DRAWS * this.size }, (_, i) => image[i % this.size]);
    const values = await this.bitsOf(copies, new Random(1).uniform(copies.length));
    return values.reduce((sum, value) => sum + value, 0) / NUM_DRAWS;
  }

  // Runs a function of the model. The arguments are typed arrays by the names of the inputs.
  async run(name, inputs) {
    const { run, inputs: specs, outputs } = this.signatures[name];
    const feeds = {};
    for (const [key, { node, dtype, shape }] of Object.entries(specs)) {
      const [, ...rest] = shape;
      feeds[node] = tf.tensor(inputs[key], [inputs[key].length / product(rest), ...rest], dtype);
    }
    const [{ node }] = Object.values(outputs);
    let result;
    try {
      result = await this.model[run](feeds, node);
      return await result.data();
    } finally {
      tf.dispose([Object.values(feeds), result]);
    }
  }
}

// Returns a function that runs `task`. Calls during a run are one more run after it: a slider makes many.
export function latest(task) {
  let running = null;
  let again = false;
  return () => {
    if (running) {
      again = true;
      return running;
    }
    running = (async () => {
      try {
        do {
          again = false;
          await task();
        } while (again);
      } finally {
        running = null;
      }
    })();
    return running;
  };
}

export function product(sizes) {
  return sizes.reduce((result, size) => result * size, 1);
}

function rows(values, size) {
  return Array.from({ length: values.length / size }, (_, i) => values.slice(i * size, (i + 1) * size));
}

function flat(latents) {
  return latents instanceof Float32Array ? latents : Float32Array.from(latents.flatMap((row) => [...row]));
}
