// SPDX-License-Identifier: Apache-2.0
// The panels "Between two images" and "Toward a class": images of latents on a straight line.

import { latest } from "./flow.js";
import { Picker, paint, picture } from "./images.js";

const NUM_IN_ROW = 9;

// Shows the image of the slider's position on a line of latents, its bits per dimension, and a row of images.
class Line {
  // name: the slider has this id, and the other elements ids that begin with it.
  // at: a function of the position on the line that returns a latent.
  constructor(flow, name, at) {
    Object.assign(this, { flow, at });
    [this.slider, this.value, this.canvas, this.bits, this.row] =
      ["", "-value", "-image", "-bits", "-row"].map((end) => document.getElementById(name + end));
    this.row.replaceChildren(...Array.from({ length: NUM_IN_ROW }, () =>
      picture(new Int32Array(flow.size), "", flow)));
    this.show = latest(() => this.showImage());
    this.slider.oninput = this.show;
  }

  positions() {
    const [low, high] = [Number(this.slider.min), Number(this.slider.max)];
    return Array.from({ length: NUM_IN_ROW }, (_, i) => low + ((high - low) * i) / (NUM_IN_ROW - 1));
  }

  async showRow() {
    const positions = this.positions();
    const images = await this.flow.decode(positions.map(this.at));
    images.forEach((image, i) => {
      paint(this.row.children[i], image, this.flow.shape, this.flow.maximum);
      this.row.children[i].setAttribute("aria-label", `Image at t = ${positions[i].toFixed(2)}`);
    });
  }

  async showImage() {
    const t = Number(this.slider.value);
    this.value.textContent = t.toFixed(2).replace("-", "−");
    const [image] = await this.flow.decode([this.at(t)]);
    paint(this.canvas, image, this.flow.shape, this.flow.maximum);
    this.canvas.setAttribute("aria-label", `Image at t = ${t.toFixed(2)}`);
    const bits = await this.flow.bits(image);
    this.bits.textContent = `t = ${t.toFixed(2)}: ${described(bits)}`.replace("-", "−");
    this.bits.dataset.bits = bits;
  }
}

// Returns bits per dimension as a text.
export function described(bits) {
  return Number.isFinite(bits) ? `${bits.toFixed(3)} bits/dim` : "no finite number in 32-bit floats";
}

// Sets both panels up for a pool of images. Returns a function that follows a change of the samples in the pool.
export async function linePanels(flow, pool) {
  const number = flow.images.length;
  const updates = [];
  const pickers = [];

  const add = (id, index, onChange) => {
    const picker = new Picker(document.getElementById(id), flow, pool, index, onChange);
    pickers.push(picker);
    return picker;
  };

  // Encodes the chosen images, then draws the line.
  const between = { start: null, end: null };
  const line = new Line(flow, "between", (t) => between.start.map((x, i) => (1 - t) * x + t * between.end[i]));
  const changeBetween = latest(async () => {
    between.start = await flow.encode(first.chosen.image);
    between.end = await flow.encode(second.chosen.image);
    await line.showRow();
    await line.show();
  });
  const first = add("first", Math.min(3, number - 1), changeBetween);
  const second = add("second", Math.min(8, number - 1), changeBetween);
  updates.push(changeBetween);

  const section = document.getElementById("toward-section");
  section.hidden = flow.directions.length === 0;
  if (!section.hidden) {
    let latent = null;
    let label = Math.min(9, flow.directions.length - 1);
    const ray = new Line(flow, "toward", (t) => latent.map((x, i) => x + t * flow.directions[label][i]));
    const changeToward = latest(async () => {
      latent = await flow.encode(original.chosen.image);
      await ray.showRow();
      await ray.show();
    });
    const original = add("original", Math.min(5, number - 1), changeToward);
    document.getElementById("classes").replaceChildren(...flow.about.data.classes.map((name, k) => {
      const choice = document.createElement("label");
      const input = Object.assign(document.createElement("input"), {
        type: "radio", name: "class", value: k, checked: k === label });
      input.addEventListener("change", () => {
        label = k;
        changeToward();
      });
      const text = document.createElement("span");
      text.textContent = name;
      choice.append(input, text);
      return choice;
    }));
    updates.push(changeToward);
  }
  await Promise.all(updates.map((update) => update()));

  return () => {
    for (const picker of pickers) picker.refresh();
    if (first.chosen.isSample || second.chosen.isSample) changeBetween();
    if (pickers[2]?.chosen.isSample) updates[1]();
  };
}
