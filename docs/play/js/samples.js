// SPDX-License-Identifier: Apache-2.0
// The panel "Samples".

import { latest } from "./flow.js";
import { paint, picture } from "./images.js";

export const NUM_SAMPLES = 24;

// Sets the panel up. `onChange` gets the images after they were drawn.
export async function samplesPanel(flow, onChange) {
  const [temperature, temperatureValue, seed, newSeed, grid] =
    ["temperature", "temperature-value", "seed", "new-seed", "samples"].map((id) => document.getElementById(id));
  temperature.value = flow.about.temperature;
  grid.replaceChildren();
  const blank = new Int32Array(flow.size);
  const canvases = Array.from({ length: NUM_SAMPLES }, (_, i) => picture(blank, `Sample ${i + 1}`, flow));
  grid.append(...canvases);

  const draw = latest(async () => {
    const number = Math.min(Math.max(Math.trunc(Number(seed.value)) || 0, 0), 2 ** 32 - 1);
    const scale = Number(temperature.value);
    temperatureValue.textContent = scale.toFixed(2);
    const latents = flow.latents(NUM_SAMPLES, number).map((row) => row.map((x) => scale * x));
    const images = await flow.decode(latents);
    images.forEach((image, i) => paint(canvases[i], image, flow.shape, flow.maximum));
    grid.dataset.drawn = `${scale.toFixed(2)} ${number}`;
    onChange(images);
  });
  temperature.oninput = draw;
  seed.oninput = draw;
  newSeed.onclick = () => {
    seed.value = Math.floor(Math.random() * 100000);
    return draw();
  };
  await draw();
}
