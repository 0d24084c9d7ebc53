// Runs each signature on random inputs in Node: npm install @tensorflow/tfjs && node client.mjs
import * as tf from "@tensorflow/tfjs";
import fs from "node:fs";
const read = (name) => fs.readFileSync(new URL(name, import.meta.url));
const {signatures} = JSON.parse(read("signatures.json"));
const {weightsManifest: [{paths, weights: weightSpecs}], ...graph} = JSON.parse(read("model.json"));
const weightData = new Uint8Array(Buffer.concat(paths.map(read))).buffer;
const model = await tf.loadGraphModel({load: async () => ({...graph, weightSpecs, weightData})});
const draw = {
  images: (shape) => tf.randomUniform(shape, 0, 32),
  latents: (shape) => tf.randomNormal(shape).mul(0.7),  // times the temperature
  noise: (shape) => tf.randomUniform(shape),
};
for (const [name, {run, inputs, outputs}] of Object.entries(signatures)) {
  const feeds = Object.entries(inputs).map(([key, {node, dtype, shape}]) =>
    [node, draw[key](shape.map((size) => size ?? 4)).cast(dtype)]);
  const [[output, {node, unit}]] = Object.entries(outputs);
  const result = await model[run](Object.fromEntries(feeds), node);
  console.log(`${name}: ${output} [${result.shape}], mean ${(await result.mean().data())[0].toFixed(4)} (${unit})`);
}
