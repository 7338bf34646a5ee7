// <gon-draw>: draw a digit, and see how a GON makes a latent of it and a picture of the latent.

class GonDraw extends LiveElement {
  static style = `
    .stages { display: grid; gap: 0.8rem; grid-template-columns: 1fr 1fr 1.5fr 1fr; }
    .draw { touch-action: none; cursor: crosshair; background: black; }
    .residual { background: var(--surface); }
    .pen { position: relative; }
    .pen::after { content: ""; position: absolute; inset: 14.3%; border: 1px dashed #ffffff45; pointer-events: none; }
    .latent { display: flex; flex-direction: column; }
    .bars { flex: 1; min-height: 7rem; border: 1px solid var(--line); border-radius: 3px; background: var(--surface);
            touch-action: none; cursor: ns-resize; }
    .bars .up { fill: var(--plus); } .bars .down { fill: var(--minus); }
    .bars .chosen { stroke: currentColor; stroke-width: 1; vector-effect: non-scaling-stroke; }
    .bars line { stroke: var(--muted); stroke-width: 1; vector-effect: non-scaling-stroke; }
    .step { margin: 0.9rem 0 0.4rem; }
    .second { grid-column: 1; align-self: center; }
    [hidden] { display: none !important; }
    @container (max-width: 34rem) {
      .stages { grid-template-columns: 1fr 1fr; }
      .second { grid-column: 1 / -1; }
      .second + div { display: none; } /* its residual looks much like the first model's */
    }
  `;

  static body = `
    <div class="bar starts"><span>Start from</span></div>
    <div class="bar tests"><span>or a test image</span></div>
    <div class="stages">
      <div><h4>Draw: <b>x</b></h4><div class="pen"><canvas class="draw square" tabindex="0" role="application"
        aria-label="The image: draw with the pointer; arrow keys shift it, Delete clears it"></canvas></div>
        <p>White on black, in the dashed square. <button class="clear">Clear</button></p></div>
    </div>
    <div class="bar step"><span><b>z</b><sub>0</sub> = <b>0</b></span>
      <input type="range" class="t" min="0" max="1" step="0.01" value="1"
        aria-label="From the origin to the latent: how much of the step is taken">
      <span>one step: <b>z</b></span></div>
    <p class="said"></p>
    <div class="bar" style="margin: 0.6rem 0 0"><label class="switch"><input type="checkbox" class="beside">
      <span>Beside it, the same network trained with the gradient through <b>z</b> cut off (detached)</span></label></div>
  `;

  begin() {
    const { size, channels, pen, models, starts, tests } = this.data;
    this.size = size;
    this.channels = channels;
    this.pen = pen;
    this.starts = starts.concat(tests).map(levels);
    this.written = starts.length; // the first of them; the others are of the test set
    this.views = models.map((model, i) => new ModelView(this, model, i));
    this.find(".switch").hidden = models.length < 2;
    this.controls();
    this.choose(3);
    this.draw();
  }

  controls() {
    const [written, tests] = [this.starts.slice(0, this.written), this.starts.slice(this.written)];
    thumbs(this.find(".starts"), written, this.size, "Starting digit", (i) => this.choose(i));
    thumbs(this.find(".tests"), tests, this.size, "Test image", (i) => this.choose(this.written + i));
    this.find(".tests").hidden = !tests.length;
    this.find(".clear").addEventListener("click", () => this.change(() => 0));
    this.t = this.find(".t");
    this.t.addEventListener("input", () => this.redraw());
    this.find(".beside").addEventListener("change", () => this.redraw());
    const canvas = this.find(".draw");
    follow(canvas, (x, y) => this.stroke(x * this.size, y * this.size), () => (this.last = undefined));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === "Delete" || event.key === "Backspace") this.change(() => 0);
    else if (!step) return;
    else this.change((_, column, row, x) => {
      const [from, line] = [column + step[0], row + step[1]], inside = Math.min(from, line) >= 0;
      return inside && Math.max(from, line) < this.size ? x[line * this.size + from] : 0;
    });
    event.preventDefault();
  }

  choose(i) {
    this.x = Float32Array.from(this.starts[i]);
    this.encode();
  }

  /** Replace every pixel by a function of (level, column, row, the whole image). */
  change(levelOf) {
    this.x = this.x.map((level, i, x) => levelOf(level, i % this.size, Math.floor(i / this.size), x));
    this.encode();
  }

  /** Move the pen to a point of the image: a round stroke with soft edges from where it was. */
  stroke(x, y) {
    const [fromX, fromY] = this.last ?? [x, y], dx = x - fromX, dy = y - fromY, length = dx * dx + dy * dy;
    this.change((level, column, row) => {
      const px = column + 0.5 - fromX, py = row + 0.5 - fromY;
      const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      return Math.max(level, Math.min(1, Math.max(0, this.pen + 0.5 - Math.hypot(px - t * dx, py - t * dy))));
    });
    this.last = [x, y];
  }

  /** Have the image encoded before it is drawn next: once, however many points of a stroke arrive until then. */
  encode() {
    this.changed = true;
    this.redraw();
  }

  draw() {
    const t = Number(this.t.value), beside = this.find(".beside").checked;
    if (this.changed) {
      const x = new Float32Array(this.channels * this.x.length);
      for (let c = 0; c < this.channels; c++) x.set(this.x, c * this.x.length);
      this.views.forEach((view) => view.encode(x));
      this.changed = false;
    }
    paint(this.find(".draw"), this.x, this.size);
    this.views.forEach((view, i) => view.draw(t, i === 0 || beside));
    const taken = `${Math.round(100 * t)}% of the step taken: the picture is F(${t.toFixed(2)} z).`;
    this.find(".said").textContent = t === 0 ? "At the origin every image has the same picture, F(0)."
      : t < 1 ? taken : "The whole step: the latent is minus the gradient of the loss at the origin, "
        + "which for a trained GON is one matrix and one offset.";
  }
}

/** One model in the element: the residual, the latent as bars that can be dragged, the picture. */
class ModelView {
  constructor(host, about, number) {
    this.host = host;
    this.gon = new ConvGon(about);
    this.limit = 1.1 * Math.max(...host.starts.flatMap((x) => Array.from(this.encoded(x), Math.abs)));
    this.cells = this.build(about.name, number);
    this.controls();
  }

  build(name, number) {
    const label = `<div class="second"><h4>${name}</h4><p>The same image, encoded and decoded by this model.</p></div>`;
    const holder = document.createElement("template");
    holder.innerHTML = `${number ? label : ""}
      <div><h4>Residual <b>x</b> − F(<b>0</b>)</h4><canvas class="residual square" role="img"
        aria-label="What the image differs by from the picture of the origin"></canvas>
        <p>Orange: <b>x</b> is brighter; blue: darker.</p></div>
      <div class="latent"><h4>Latent <b>z</b> = M<b>x</b> + <b>b</b></h4>
        <svg class="bars" preserveAspectRatio="none" viewBox="0 -1 ${this.gon.latents} 2" tabindex="0" role="slider"
          aria-label="The latent: left and right choose a number, up and down change it"
          aria-valuemin="${-this.limit}" aria-valuemax="${this.limit}"></svg>
        <p>Drag a bar. <output class="value"></output> <button class="reset">Reset</button></p></div>
      <div><h4>Picture F(<b>z</b>)</h4><canvas class="picture square" role="img"
        aria-label="What the latent decodes to"></canvas>
        <p>Squared error <output class="error"></output></p></div>`;
    const cells = [...holder.content.children];
    this.host.find(".stages").append(holder.content);
    this.find = (selector) => cells.map((cell) => cell.querySelector(selector)).find(Boolean);
    this.bars = this.find(".bars");
    const bar = (i) => `<rect x="${i + 0.15}" width="0.7"></rect>`;
    this.bars.innerHTML = Array.from({ length: this.gon.latents }, (_, i) => bar(i)).join("")
      + `<line x1="0" x2="${this.gon.latents}" y1="0" y2="0"></line>`;
    return cells;
  }

  controls() {
    this.chosen = 0;
    this.find(".reset").addEventListener("click", () => {
      this.encode(this.x);
      this.host.redraw();
    });
    follow(this.bars, (x, y) => {
      this.held ??= Math.floor(Math.min(0.999, Math.max(0, x)) * this.gon.latents);
      this.set(this.held, Math.min(1, Math.max(-1, 1 - 2 * y)) * this.limit);
    }, () => (this.held = undefined));
    this.bars.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key], up = { ArrowUp: 0.05, ArrowDown: -0.05 }[event.key];
      if (by) this.chosen = (this.chosen + by + this.gon.latents) % this.gon.latents;
      else if (up) this.set(this.chosen, this.z[this.chosen] + up * this.limit);
      else return;
      event.preventDefault();
      this.host.redraw();
    });
  }

  /** Move one latent by hand; the step counts as taken. */
  set(i, value) {
    this.chosen = i;
    this.z[i] = value;
    this.host.t.value = 1;
    this.host.redraw();
  }

  encoded(x) {
    const whole = new Float32Array(this.host.channels * x.length);
    for (let c = 0; c < this.host.channels; c++) whole.set(x, c * x.length);
    return this.gon.encode(whole);
  }

  encode(x) {
    this.x = x;
    this.z = this.gon.encode(x);
  }

  draw(t, shown) {
    this.cells.forEach((cell) => (cell.hidden = !shown));
    if (!shown) return;
    const { size, channels } = this.host, area = size * size, z = this.z.map((value) => t * value);
    const residual = new Float32Array(area), picture = this.gon.decode(z);
    this.x.forEach((value, i) => (residual[i % area] += (value - this.gon.origin[i]) / channels));
    paintSigned(this.find(".residual"), residual, size);
    paint(this.find(".picture"), picture, size);
    this.find(".error").textContent = picture.reduce((sum, p, i) => sum + (p - this.x[i]) ** 2, 0).toFixed(1);
    this.drawBars(z);
    this.picture = picture;
  }

  drawBars(z) {
    z.forEach((value, i) => {
      const rect = this.bars.children[i], height = Math.min(1, Math.abs(value) / this.limit);
      rect.setAttribute("y", value > 0 ? -height : 0);
      rect.setAttribute("height", height);
      rect.setAttribute("class", `${value > 0 ? "up" : "down"}${i === this.chosen ? " chosen" : ""}`);
    });
    const said = `Number ${this.chosen + 1} of ${z.length}: ${z[this.chosen].toPrecision(2).replace("-", "−")}`;
    this.find(".value").textContent = said;
    this.bars.setAttribute("aria-valuetext", said);
    this.bars.setAttribute("aria-valuenow", z[this.chosen]);
  }
}

define("gon-draw", GonDraw);
