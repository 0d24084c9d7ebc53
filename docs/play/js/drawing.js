// SPDX-License-Identifier: Apache-2.0
// The panel "Draw an image".

import { latest } from "./flow.js";
import { paint } from "./images.js";
import { described } from "./lines.js";
import { Random } from "./random.js";

const SCALE = 32; // Screen pixels per pixel of small images, for a visible cursor.
const NUM_UNDO = 50;

export class Drawing {
  constructor(flow, pool) {
    const [height, width, channels] = flow.shape;
    Object.assign(this, { flow, pool, height, width, channels, cursor: null, stroke: null, undone: [] });
    for (const id of ["drawing", "drawing-bits", "drawing-meaning", "ink", "ink-label", "ink-value", "brush",
                      "brush-value", "clear", "undo", "random-pixels", "resample", "copied", "cursor"]) {
      const name = id.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
      this[`${name}Element`] = document.getElementById(id);
    }
    this.canvas = this.drawingElement;
    this.canvas.setAttribute("aria-label", `Drawing area, ${height} rows and ${width} columns`);
    this.small = document.createElement("canvas");
    this.show = latest(() => this.showBits());
    this.setUpControls();
    this.setUpPointer();
    this.canvas.onkeydown = (event) => this.key(event);
    this.canvas.onblur = () => this.moveCursor(null);
    this.canvas.onfocus = () => this.canvas.matches(":focus-visible") && this.moveCursor([height >> 1, width >> 1]);
    this.image = Int32Array.from(pool[Math.min(2, pool.length - 1)].image);
    this.copiedElement.value = Math.min(2, pool.length - 1);
  }

  setUpControls() {
    const { flow } = this;
    const isColored = this.channels === 3;
    this.inkElement.type = isColored ? "color" : "range";
    this.inkLabelElement.textContent = isColored ? "Color" : "Gray level";
    this.inkElement.max = flow.maximum;
    this.inkElement.value = isColored ? "#ffffff" : flow.maximum;
    this.brushElement.max = Math.max(2, this.height / 8).toFixed(1);
    this.brushElement.value = Math.max(0.8, this.height / 20).toFixed(1);
    const showValues = () => {
      this.inkValueElement.textContent = isColored ? "" : `${this.inkElement.value} of ${flow.maximum}`;
      this.brushValueElement.textContent = `${Number(this.brushElement.value).toFixed(1)} px`;
    };
    this.inkElement.oninput = showValues;
    this.brushElement.oninput = showValues;
    showValues();
    this.copiedElement.replaceChildren(...this.pool.map(({ label }, i) => new Option(label, i)));
    this.copiedElement.oninput = () => this.replace(this.pool[this.copiedElement.value].image);
    this.clearElement.onclick = () => this.replace(new Int32Array(flow.size));
    this.undoElement.onclick = () => this.undo();
    this.undoElement.disabled = true;
    this.randomPixelsElement.onclick = () => {
      const random = new Random(Math.floor(Math.random() * 2 ** 32));
      this.replace(Int32Array.from(random.uniform(flow.size), (u) => Math.floor(u * (flow.maximum + 1))));
    };
    this.resampleElement.onclick = async () => {
      const latent = await flow.encode(this.image);
      const noise = new Random(Math.floor(Math.random() * 2 ** 32)).normal(latent.length);
      const [image] = await flow.decode([latent.map((x, i) => x + 0.3 * noise[i])]);
      this.replace(image.map((x) => Math.min(Math.max(x, 0), flow.maximum)));
    };
  }

  setUpPointer() {
    const { canvas } = this;
    const position = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientY - box.top) / box.height) * this.height, ((event.clientX - box.left) / box.width) * this.width];
    };
    canvas.onpointerdown = (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true, focusVisible: false });
      this.moveCursor(null);
      canvas.setPointerCapture(event.pointerId);
      this.beginStroke();
      this.last = position(event);
      this.dab(...this.last);
      this.finish();
    };
    canvas.onpointermove = (event) => {
      if (!this.stroke || !canvas.hasPointerCapture(event.pointerId)) return;
      const [row, column] = position(event);
      const steps = Math.max(1, Math.ceil(4 * Math.hypot(row - this.last[0], column - this.last[1])));
      for (let i = 1; i <= steps; i++) {
        this.dab(this.last[0] + ((row - this.last[0]) * i) / steps, this.last[1] + ((column - this.last[1]) * i) / steps);
      }
      this.last = [row, column];
      this.finish();
    };
    canvas.onpointerup = canvas.onpointercancel = () => {
      this.stroke = null;
    };
  }

  key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.ctrlKey && event.key === "z") {
      event.preventDefault();
      this.undo();
    } else if (event.key in moves && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const [row, column] = this.cursor ?? [this.height >> 1, this.width >> 1];
      const [down, right] = moves[event.key];
      this.moveCursor([Math.min(Math.max(row + down, 0), this.height - 1),
                       Math.min(Math.max(column + right, 0), this.width - 1)]);
    } else if ([" ", "Backspace", "Delete"].includes(event.key)) {
      event.preventDefault();
      this.cursor ??= [this.height >> 1, this.width >> 1];
      this.beginStroke(event.key === " " ? this.ink() : new Array(this.channels).fill(0));
      this.dab(this.cursor[0] + 0.5, this.cursor[1] + 0.5);
      this.stroke = null;
      this.finish();
      this.sayCursor();
    }
  }

  moveCursor(cursor) {
    this.cursor = cursor;
    this.draw();
    this.sayCursor();
  }

  sayCursor() {
    const { cursor, channels } = this;
    if (!cursor) {
      this.cursorElement.textContent = "";
      return;
    }
    const start = (cursor[0] * this.width + cursor[1]) * channels;
    const values = this.image.slice(start, start + channels);
    this.cursorElement.textContent =
      `Row ${cursor[0] + 1}, column ${cursor[1] + 1}: ${channels === 1 ? "gray level" : "values"} ${values.join(", ")}`;
  }

  // Returns the value of the brush in each channel.
  ink() {
    const { value } = this.inkElement;
    if (this.channels !== 3) return new Array(this.channels).fill(Number(value));
    return [1, 3, 5].map((i) => Math.round((parseInt(value.slice(i, i + 2), 16) * this.flow.maximum) / 255));
  }

  // A stroke mixes the ink with the image before it. The share of the ink is the greatest of all dabs of the stroke.
  beginStroke(ink = this.ink()) {
    this.remember();
    this.stroke = { ink, before: Int32Array.from(this.image), share: new Float32Array(this.height * this.width) };
  }

  dab(row, column) {
    const { ink, before, share } = this.stroke;
    const radius = Number(this.brushElement.value);
    for (let i = 0; i < share.length; i++) {
      const distance = Math.hypot(Math.floor(i / this.width) + 0.5 - row, (i % this.width) + 0.5 - column);
      share[i] = Math.max(share[i], Math.min(Math.max(radius + 0.5 - distance, 0), 1));
      for (let c = 0; c < this.channels; c++) {
        const k = i * this.channels + c;
        this.image[k] = Math.round((1 - share[i]) * before[k] + share[i] * ink[c]);
      }
    }
  }

  remember() {
    this.undone = [...this.undone.slice(1 - NUM_UNDO), Int32Array.from(this.image)];
    this.undoElement.disabled = false;
  }

  undo() {
    if (!this.undone.length) return undefined;
    this.image = this.undone.pop();
    this.undoElement.disabled = !this.undone.length;
    return this.finish();
  }

  replace(image) {
    this.remember();
    this.image = Int32Array.from(image);
    return this.finish();
  }

  finish() {
    this.draw();
    return this.show();
  }

  draw() {
    const { canvas, flow, small, cursor } = this;
    const scale = Math.max(1, Math.round((8 * SCALE) / this.height));
    paint(small, this.image, flow.shape, flow.maximum);
    canvas.width = this.width * scale;
    canvas.height = this.height * scale;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    if (cursor) {
      const [x, y] = [cursor[1] * scale, cursor[0] * scale];
      for (const [color, width] of [["#ffffff", 6], ["#c01c28", 3]]) {
        Object.assign(context, { strokeStyle: color, lineWidth: (width * scale) / SCALE + 1 });
        context.strokeRect(x, y, scale, scale);
      }
    }
  }

  async showBits() {
    const bits = await this.flow.bits(this.image);
    const { mean, percentiles } = this.flow.about.test_bits_per_dim;
    this.drawingBitsElement.textContent = described(bits);
    this.drawingBitsElement.dataset.bits = bits;
    const fewer = percentiles.filter((value) => value < bits).length;
    const share = Math.min(fewer, 100);
    const rank = !Number.isFinite(bits) ? "The density is too low, or the flow is not exact here."
      : share >= 100 ? "Every test image has fewer bits."
        : share <= 0 ? "Every test image has more bits." : `About ${share}% of the test images have fewer bits.`;
    this.drawingMeaningElement.textContent =
      `${rank} The ${this.flow.about.data.num_test.toLocaleString("en")} test images have ${mean.toFixed(3)} on average.`;
  }
}
