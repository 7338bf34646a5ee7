// <gon-ring>: equation 4 on a prior that is a circle. Drag the noisy point; one step leads to the posterior mean, for it and
// for the noisy copies of other points of the circle that stand around it.

const REACH = 4; // the picture shows [-4, 4] x [-4, 4]
const ANGLES = 360; // of the sums over the circle, which for such smooth functions are exact to rounding

class GonRing extends LiveElement {
  static style = `
    .both { display: grid; gap: 1rem 1.4rem; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); align-items: center; }
    .field { position: relative; aspect-ratio: 1; touch-action: pan-y; cursor: grab; }
    .reach { fill: transparent; touch-action: none; } /* a finger is wider than the point */
    .field > * { position: absolute; inset: 0; height: 100%; }
    .field canvas { image-rendering: auto; opacity: 0.55; }
    .circle { fill: none; stroke: var(--muted); stroke-width: 0.02; }
    .arc path { fill: none; stroke: var(--green); stroke-width: 0.2; }
    .arrow { stroke: var(--minus); stroke-width: 0.07; }
    .others path { stroke: var(--minus); stroke-width: 0.035; opacity: 0.55; fill: none; }
    .others circle { fill: var(--plus); opacity: 0.55; }
    .head, .mean { fill: var(--minus); }
    .point { touch-action: none; fill: var(--plus); stroke: var(--pst-color-background, Canvas); stroke-width: 0.04; }
    .axes { stroke: var(--line); stroke-width: 0.015; }
    :host { --green: #12a378; }
    ul { list-style: none; margin: 0 0 0.8rem; padding: 0; } li { margin: 0.3rem 0; padding-left: 1.2rem; text-indent: -1.2rem; }
    li::before { content: ""; display: inline-block; width: 0.7rem; height: 0.7rem; margin-right: 0.5rem;
      border-radius: 50%; background: var(--key); }
    .said { min-height: 5.6em; }
    @container (max-width: 34rem) { .both { grid-template-columns: 1fr; } }
  `;

  static body = `
    <div class="both">
      <div class="field"><canvas role="img" aria-label="The density of the noisy points: a ring"></canvas>
        <svg viewBox="${-REACH} ${-REACH} ${2 * REACH} ${2 * REACH}">
          <path class="axes" d="M${-REACH} 0H${REACH}M0 ${-REACH}V${REACH}"></path>
          <circle class="circle"></circle><g class="others"></g><g class="arc"></g>
          <line class="arrow"></line><path class="head"></path><circle class="mean" r="0.1"></circle>
          <circle class="reach" r="0.6"></circle><circle class="point" r="0.17" tabindex="0" role="slider"
            aria-label="The noisy point: arrow keys move it" aria-valuemin="${-REACH}" aria-valuemax="${REACH}"></circle></svg></div>
      <div>
        <ul>
          <li style="--key: var(--plus)"><b>z</b><sub>0</sub>, the noisy point: drag it</li>
          <li style="--key: var(--green)">p(<b>z</b> | <b>z</b><sub>0</sub>), where the clean point may be</li>
          <li style="--key: var(--minus)">its mean, one step away: σ²∇log p(<b>z</b><sub>0</sub>)</li>
          <li style="--key: color-mix(in srgb, var(--plus) 55%, transparent)">noisy copies of other points, each with its step</li>
          <li style="--key: var(--muted)">p(<b>z</b><sub>0</sub>), the density whose gradient the step follows</li>
        </ul>
        <label class="bar">noise σ <input type="range" class="sigma" min="0.2" max="1.6" step="0.01"
          aria-label="Standard deviation of the noise"> <output class="level"></output></label>
        <button><b>z</b><sub>0</sub> at the origin</button>
        <p class="said" role="status"></p>
      </div>
    </div>`;

  begin() {
    this.z0 = [2.4, 1.6];
    this.slider = this.find(".sigma");
    this.slider.value = this.data.sigma;
    this.slider.addEventListener("input", () => this.redraw());
    this.find(".circle").setAttribute("r", this.data.radius);
    this.find("button").addEventListener("click", () => this.place(0, 0));
    follow(this.find(".field"), (x, y) => this.place(REACH * (2 * x - 1), REACH * (1 - 2 * y)));
    this.find(".point").addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (!by) return;
      this.place(this.z0[0] + by[0], this.z0[1] + by[1]);
      event.preventDefault();
    });
    this.find(".arc").innerHTML = "<path></path>".repeat(90);
    this.draw();
  }

  place(x, y) {
    this.z0 = [x, y].map((value) => Math.min(REACH, Math.max(-REACH, value)));
    this.redraw();
  }

  /** The weights p(z | z0) of evenly spaced points of the circle, their sum 1; and log p(z0) up to a constant. */
  posterior([x, y], sigma) {
    const { radius } = this.data, weights = new Float64Array(ANGLES);
    const exponent = (angle) =>
      -((x - radius * Math.cos(angle)) ** 2 + (y - radius * Math.sin(angle)) ** 2) / (2 * sigma ** 2);
    const most = exponent(Math.atan2(y, x));
    let total = 0;
    for (let i = 0; i < ANGLES; i++) total += weights[i] = Math.exp(exponent((2 * Math.PI * i) / ANGLES) - most);
    return { weights: weights.map((w) => w / total), logDensity: most + Math.log(total) - 2 * Math.log(sigma) };
  }

  /** The mean of the points of the circle under weights. */
  centre(weights) {
    const mean = [0, 0];
    weights.forEach((w, i) => {
      mean[0] += w * this.data.radius * Math.cos((2 * Math.PI * i) / ANGLES);
      mean[1] += w * this.data.radius * Math.sin((2 * Math.PI * i) / ANGLES);
    });
    return mean;
  }

  draw() {
    const sigma = Number(this.slider.value), { radius } = this.data, { weights } = this.posterior(this.z0, sigma);
    this.mean = this.centre(weights);
    this.find(".level").textContent = sigma.toFixed(2);
    if (sigma !== this.painted) {
      this.paintDensity(sigma);
      this.drawOthers(sigma);
    }
    this.drawArc(weights);
    this.drawArrow();
    const away = Math.hypot(...this.mean.map((m, i) => m - this.z0[i])), length = Math.hypot(...this.mean);
    this.find(".said").textContent = Math.hypot(...this.z0) < 0.03
      ? "At the origin the noisy point says nothing about the direction: every point of the circle is as likely, "
        + "and their mean is the origin itself. A GON starts here, and it is the image that gives the direction."
      : `The step is ${away.toFixed(2)} long and ends ${(radius - length).toFixed(2)} inside the circle: `
        + "the mean of an arc lies within it, the more so the longer the arc.";
  }

  drawArc(weights) {
    const arcs = [...this.find(".arc").children], each = ANGLES / arcs.length, most = Math.max(...weights);
    const at = (angle) => `${this.data.radius * Math.cos(angle)} ${-this.data.radius * Math.sin(angle)}`;
    arcs.forEach((arc, i) => {
      const from = (2 * Math.PI * (i - 0.55)) / arcs.length, to = (2 * Math.PI * (i + 0.55)) / arcs.length;
      arc.setAttribute("d", `M${at(from)}A${this.data.radius} ${this.data.radius} 0 0 0 ${at(to)}`);
      arc.setAttribute("opacity", (weights[i * each] / most).toFixed(3));
    });
  }

  /** The noisy copies of other points of the circle, and the step from each. */
  drawOthers(sigma) {
    const { radius, others } = this.data;
    this.find(".others").innerHTML = others.map(([angle, right, up]) => {
      const x = radius * Math.cos(angle) + sigma * right, y = radius * Math.sin(angle) + sigma * up;
      const [mx, my] = this.centre(this.posterior([x, y], sigma).weights);
      const turn = Math.atan2(y - my, mx - x), tip = (by) => // of the head, which opens to both sides
        `${mx - 0.15 * Math.cos(turn + by)} ${-my - 0.15 * Math.sin(turn + by)}`;
      return `<path d="M${x} ${-y}L${mx} ${-my}M${tip(0.45)}L${mx} ${-my}L${tip(-0.45)}"></path>`
        + `<circle cx="${x}" cy="${-y}" r="0.05"></circle>`;
    }).join("");
  }

  drawArrow() {
    const [x, y] = [this.z0[0], -this.z0[1]], [mx, my] = [this.mean[0], -this.mean[1]];
    const set = (name, values) => Object.entries(values).forEach(([key, value]) => this.find(name).setAttribute(key, value));
    const length = Math.hypot(mx - x, my - y), [ux, uy] = [(mx - x) / length, (my - y) / length];
    set(".point", { cx: x, cy: y, "aria-valuenow": this.z0[0].toFixed(2),
      "aria-valuetext": `z0 = (${this.z0.map((v) => v.toFixed(2))}), mean (${this.mean.map((v) => v.toFixed(2))})` });
    set(".reach", { cx: x, cy: y });
    set(".mean", { cx: mx, cy: my });
    const long = length > 0.45; // else there is no room for a head
    set(".arrow", { x1: x, y1: y, x2: long ? mx - 0.35 * ux : mx, y2: long ? my - 0.35 * uy : my });
    set(".head", { d: long ? `M${mx - 0.08 * ux} ${my - 0.08 * uy}L${mx - 0.4 * ux - 0.14 * uy} ${my - 0.4 * uy + 0.14 * ux}`
      + `L${mx - 0.4 * ux + 0.14 * uy} ${my - 0.4 * uy - 0.14 * ux}Z` : "" });
  }

  /** Shade p(z0), which depends on the distance from the centre alone. */
  paintDensity(sigma) {
    this.painted = sigma;
    const canvas = this.find("canvas"), size = 128, steps = 96, farthest = Math.SQRT2 * REACH;
    const table = Array.from({ length: steps + 1 }, (_, i) => this.posterior([(i / steps) * farthest, 0], sigma).logDensity);
    const most = Math.max(...table);
    fill(canvas, size, (i, data) => {
      const x = ((i % size) + 0.5) / size, y = (Math.floor(i / size) + 0.5) / size;
      const place = (Math.hypot(2 * x - 1, 2 * y - 1) * REACH / farthest) * steps, low = Math.floor(place);
      const level = Math.exp(table[low] + (place - low) * ((table[low + 1] ?? table[low]) - table[low]) - most);
      data.set([128, 136, 146, 255 * level], 4 * i);
    });
  }
}

define("gon-ring", GonRing);
