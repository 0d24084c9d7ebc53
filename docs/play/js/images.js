// SPDX-License-Identifier: Apache-2.0
// Images on canvases, and lists of images to choose from.

// Draws an image, gray levels in [0, maximum] of `shape`, [height, width, channels], on a canvas.
export function paint(canvas, image, shape, maximum) {
  const [height, width, channels] = shape;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) {
      // The model of 17 gray levels has 32 bins; levels above those of the data are white.
      const value = image[i * channels + (channels === 3 ? c : 0)];
      picture.data[4 * i + c] = Math.round((255 * Math.min(Math.max(value, 0), maximum)) / maximum);
    }
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

// Returns a new canvas with an image, which a screen reader calls `label`.
export function picture(image, label, { shape, maximum }) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  paint(canvas, image, shape, maximum);
  return canvas;
}

// Fills a fieldset with radio buttons, one per entry `{ image, label }` of `pool`.
export class Picker {
  constructor(fieldset, flow, pool, index, onChange) {
    this.flow = flow;
    this.pool = pool;
    this.index = index;
    const strip = fieldset.querySelector(".strip");
    this.canvases = pool.map((entry, i) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), {
        type: "radio", name: fieldset.id, value: i, checked: i === index });
      input.setAttribute("aria-label", entry.label);
      input.addEventListener("change", () => {
        this.index = i;
        onChange();
      });
      const canvas = picture(entry.image, entry.label, flow);
      canvas.setAttribute("aria-hidden", "true");
      label.classList.toggle("first-sample", entry.isSample && !pool[i - 1]?.isSample);
      label.title = entry.label;
      label.append(input, canvas);
      return [label, canvas];
    }).map(([label, canvas], i) => {
      if (i === 0) strip.replaceChildren();
      strip.append(label);
      return canvas;
    });
  }

  get chosen() {
    return this.pool[this.index];
  }

  // Draws the samples again after they changed.
  refresh() {
    this.pool.forEach(({ image, isSample }, i) => {
      if (isSample) paint(this.canvases[i], image, this.flow.shape, this.flow.maximum);
    });
  }
}
