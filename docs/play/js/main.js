// SPDX-License-Identifier: Apache-2.0
// Loads the chosen model and sets the panels up.

import { Drawing } from "./drawing.js";
import { Flow, file } from "./flow.js";
import { linePanels } from "./lines.js";
import { NUM_SAMPLES, samplesPanel } from "./samples.js";

const MODELS = "models";
const element = (id) => document.getElementById(id);
let flow = null;

function say(text, isProblem = false) {
  element("status").textContent = text;
  element("status").classList.toggle("problem", isProblem);
}

async function show(name) {
  document.body.dataset.ready = "";
  say("Loading the model …");
  flow?.dispose();
  flow = await Flow.load(`${MODELS}/${name}`);
  const { about, checked, shape } = flow;
  const { num_train: numTrain, num_test: numTest } = about.data;
  element("about").textContent =
    `${about.title}: ${about.num_parameters.toLocaleString("en")} trained numbers, ${numTrain.toLocaleString("en")} training ` +
    `images of ${shape[0]}×${shape[1]} pixels, ${about.num_levels} ${shape[2] === 3 ? "levels per color" : "gray levels"}, ` +
    `${about.test_bits_per_dim.mean.toFixed(3)} bits/dim on ${numTest.toLocaleString("en")} test images.`;
  const largest = Math.max(checked.difference, 1e-6).toFixed(6);
  element("check").textContent =
    `Now: the bits/dim of ${checked.number} test images differ by at most ${largest}, and ${checked.differing} of ` +
    `${checked.values} values of samples differ (TensorFlow.js ${checked.version}, ${checked.backend}).` +
    (about.change_by_rounding === null ? "" : " To save space, the kernels of convolutions are rounded to float16, which " +
      `changes bits/dim of test images by at most ${about.change_by_rounding.toFixed(6)}, and some values of samples by 1.`);
  document.querySelector("main").hidden = false;

  const pool = flow.images.map((image, i) => {
    const label = about.images.labels[i];
    const of = about.data.classes.length ? ` (${about.data.classes[label]})` : "";
    return { image, label: `test image ${i + 1}${of}`, isSample: false };
  });
  for (let i = 0; i < NUM_SAMPLES; i++) {
    pool.push({ image: new Int32Array(flow.size), label: `sample ${i + 1}`, isSample: true });
  }
  let follow = () => {};
  await samplesPanel(flow, (images) => {
    images.forEach((image, i) => {
      pool[flow.images.length + i].image = image;
    });
    follow();
  });
  follow = await linePanels(flow, pool);
  await new Drawing(flow, pool).finish();
  say("Ready. The numbers of this page equal Python's.");
  document.body.dataset.ready = name;
}

function showOrSay(name) {
  return show(name).catch((error) => say(`The model ${name} cannot be shown: ${error.message}`, true));
}

// The classic scripts of TensorFlow.js are deferred like this module and come first.
try {
  const { models } = await file(`${MODELS}/index.json`, "json");
  const wanted = new URLSearchParams(location.search).get("model");
  const select = element("model");
  for (const name of models) {
    const { title } = await file(`${MODELS}/${name}/page.json`, "json");
    select.append(new Option(title, name, false, name === wanted));
  }
  element("choice").hidden = models.length < 2;
  select.onchange = () => showOrSay(select.value);
  await showOrSay(select.value);
} catch (error) {
  say(`The page cannot be loaded: ${error.message}`, true);
}
