// <gon-zoom>: an image that is a function of coordinates, drawn at any zoom beside bicubic interpolation and the truth.

const FINE = 144; // side of the pictures when nothing moves
const WORK = 6e6; // multiplications for the picture drawn at once while something moves

class GonZoom extends LiveElement {
  static style = `
    .panels { display: grid; gap: 0.8rem; grid-template-columns: repeat(var(--count), 1fr); }
    .panels canvas { cursor: grab; touch-action: var(--touch); image-rendering: auto; }
    .panels output { color: inherit; }
    @container (max-width: 34rem) { .panels { grid-template-columns: 1fr 1fr; } }
  `;

  static body = `
    <div class="bar images"><span>Image</span></div>
    <div class="panels" tabindex="0" role="group" aria-label="Pictures: arrow keys move, plus and minus zoom"></div>
    <div class="bar" style="margin: 0.8rem 0 0"><label style="flex: 1">zoom <input type="range" class="zoom" min="0" max="4"
      step="0.01" value="1" aria-label="Zoom"></label><output class="times"></output></div>
    <p>Drag the pictures to move, pinch or use the slider to zoom. <span class="said"></span></p>`;

  begin() {
    const { size, model, images, scenes } = this.data;
    this.siren = new Siren(model);
    this.images = images.map(levels);
    this.latents = this.images.map((x) => this.siren.encode(x));
    this.centre = [0.5, 0.5];
    const titles = { given: `${size} × ${size} pixels`, bicubic: "Bicubic", gon: "The GON" };
    if (scenes) titles.truth = "Truth";
    this.panels = Object.keys(titles);
    this.find(".panels").style.setProperty("--count", this.panels.length);
    for (const [name, title] of Object.entries(titles)) {
      const scored = scenes && (name === "gon" || name === "bicubic") ? "PSNR here" : "";
      this.find(".panels").insertAdjacentHTML("beforeend", `<div><h4>${title}</h4>
        <canvas class="${name} square" role="img" aria-label="${title}"></canvas><p>${scored} <output></output></p></div>`);
    }
    thumbs(this.find(".images"), this.images, size, "image", (i) => this.choose(i));
    this.controls();
    this.choose(0);
    this.draw();
  }

  choose(i) {
    this.chosen = i;
    this.siren.latent = this.latents[i];
    this.redraw();
  }

  controls() {
    this.slider = this.find(".zoom");
    this.slider.addEventListener("input", () => this.redraw());
    const panels = this.find(".panels"), pointers = new Map();
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return Math.hypot(a[0] - b[0], a[1] - b[1]);
    };
    for (const canvas of panels.querySelectorAll("canvas")) {
      follow(canvas, (x, y, event) => {
        const last = pointers.get(event.pointerId), before = pointers.size === 2 ? spread() : 0;
        pointers.set(event.pointerId, [x, y]);
        if (pointers.size === 2 && before) this.scale(Math.log2(spread() / before));
        else if (last) this.move((last[0] - x) / this.times, (last[1] - y) / this.times);
      }, (event) => pointers.delete(event.pointerId));
    }
    panels.addEventListener("wheel", (event) => { // a pinch on a touchpad; the plain wheel scrolls the page
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.scale(-event.deltaY / 100);
    }, { passive: false });
    panels.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (by) this.move((0.1 * by[0]) / this.times, (0.1 * by[1]) / this.times);
      else if (event.key === "+" || event.key === "=") this.scale(0.25);
      else if (event.key === "-") this.scale(-0.25);
      else return;
      event.preventDefault();
    });
  }

  get times() {
    return 2 ** Number(this.slider.value);
  }

  scale(by) {
    this.slider.value = Number(this.slider.value) + by;
    this.redraw();
  }

  move(x, y) {
    this.centre = [this.centre[0] + x, this.centre[1] + y];
    this.redraw();
  }

  draw() {
    const half = 0.5 / this.times; // of the window, in image sides
    this.centre = this.centre.map((c) => Math.min(1 - half, Math.max(half, c)));
    this.find(".times").textContent = `× ${this.times.toFixed(1)}`;
    this.find(".panels").style.setProperty("--touch", this.times > 1.01 ? "none" : "pan-y");
    clearTimeout(this.later);
    const fast = new Rendering(this, this.siren.sideFor(WORK, 8, 48));
    fast.work(Infinity);
    this.show(fast);
    this.refine(new Rendering(this, FINE));
  }

  show(rendering) {
    this.shown = rendering;
    for (const name of this.panels) paint(this.find(`.${name}`), rendering.pictures[name], rendering.side);
    if (!this.data.scenes) return;
    const [bicubic, gon] = ["bicubic", "gon"].map((name) => {
      const score = psnr(rendering.pictures[name], rendering.pictures.truth);
      this.find(`.${name} + p output`).textContent = `${score.toFixed(1)} dB`;
      return score;
    });
    this.find(".said").textContent = gon > bicubic ? "Here the GON is nearer to the truth than bicubic interpolation."
      : "Here the GON is further from the truth: what its latent has lost, no zoom brings back.";
  }
}

/** The window that an element shows, row by row, in all its panels. */
class Rendering {
  constructor(element, side) {
    const { size, scenes } = element.data, image = element.images[element.chosen], { siren, centre, times } = element;
    this.side = side;
    this.row = 0;
    this.channels = siren.channels;
    this.pictures = Object.fromEntries(element.panels.map((name) => [name, new Float32Array(this.channels * side * side)]));
    const place = (i, middle) => middle + ((i + 0.5) / side - 0.5) / times; // in image sides
    const coordinate = (place) => ((size * place - 0.5) / (size - 1)) * 2 - 1; // as trained: -1 and 1 are pixels' centres
    const level = scenes ? scene(scenes[element.chosen], side * times) : undefined;
    const area = size * size, all = side * side;
    this.pixel = (row, column) => {
      const x = place(column, centre[0]), y = place(row, centre[1]), at = row * side + column;
      const values = siren.at(coordinate(y), coordinate(x)), near = (u) => Math.min(size - 1, Math.floor(u * size));
      for (let c = 0; c < this.channels; c++) {
        const pixels = image.subarray(c * area, (c + 1) * area), i = c * all + at;
        this.pictures.gon[i] = clamp(values[c]);
        this.pictures.bicubic[i] = clamp(bicubic(pixels, size, x, y));
        this.pictures.given[i] = pixels[near(y) * size + near(x)];
        if (level) this.pictures.truth[i] = level(x, y);
      }
    };
  }

  /** Go on for so many milliseconds; whether it is finished. */
  work(patience) {
    const began = performance.now();
    for (; this.row < this.side && performance.now() - began < patience; this.row++) {
      for (let column = 0; column < this.side; column++) this.pixel(this.row, column);
    }
    return this.row === this.side;
  }
}

const clamp = (value) => Math.min(1, Math.max(0, value));

/** Bicubic interpolation at a place in image sides, as PyTorch does it (a = -0.75, the border repeated). */
function bicubic(pixels, size, x, y) {
  const [columns, across] = taps(x * size - 0.5, size), [rows, down] = taps(y * size - 0.5, size);
  let sum = 0;
  for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) sum += down[i] * across[j] * pixels[rows[i] * size + columns[j]];
  return sum;
}

/** The four pixels around a place, and their weights. */
function taps(place, size) {
  const first = Math.floor(place) - 1, a = -0.75;
  const weight = (d) => (d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((d - 5) * d + 8) * d * a - 4 * a);
  const four = [first, first + 1, first + 2, first + 3];
  return [four.map((i) => Math.min(size - 1, Math.max(0, i))), four.map((i) => weight(Math.abs(place - i)))];
}

/** Peak signal-to-noise ratio in decibels. */
function psnr(picture, truth) {
  let sum = 0;
  for (let i = 0; i < truth.length; i++) sum += (picture[i] - truth[i]) ** 2;
  return -10 * Math.log10(Math.max(sum / truth.length, 1e-10));
}

/** A scene of `shapes` as a function of the place, for pixels of which `resolution` fit in an image's side. */
function scene({ corners, x: left, y: top, radius, rotation, grey }, resolution) {
  const [sides, ratio] = corners, turn = (rotation * Math.PI) / 180, sector = Math.PI / sides;
  const ex = radius * (ratio * Math.cos(sector) - 1), ey = radius * ratio * Math.sin(sector);
  const ellipse = (x, y) => { // to first order, f / |grad f| is the distance to the ellipse f = 0
    const f = Math.max(1e-6, Math.hypot(x / radius, y / (ratio * radius)));
    return (f * (f - 1)) / Math.max(1e-6, Math.hypot(x / radius ** 2, y / (ratio * radius) ** 2));
  };
  const polygon = (x, y) => { // all sectors fold onto the one between an outer corner and the next inner one
    const turned = Math.atan2(y, x), angle = Math.abs(turned - 2 * sector * Math.round(turned / (2 * sector)));
    const px = Math.hypot(x, y) * Math.cos(angle) - radius, py = Math.hypot(x, y) * Math.sin(angle);
    const along = clamp((px * ex + py * ey) / (ex * ex + ey * ey));
    return Math.sign(ey * px - ex * py) * Math.hypot(px - along * ex, py - along * ey);
  };
  const distance = sides ? polygon : ellipse;
  return (u, v) => {
    const dx = u - left, dy = v - top;
    const x = Math.cos(turn) * dx + Math.sin(turn) * dy, y = Math.cos(turn) * dy - Math.sin(turn) * dx;
    return grey * clamp(0.5 - distance(x, y) * resolution);
  };
}

define("gon-zoom", GonZoom);
