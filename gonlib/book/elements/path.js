// <gon-path>: two ways between the latents of two images, beside the cross-fade of the images themselves.

const FINE = 64; // side of the pictures when nothing moves
const WORK = 2e6; // multiplications for each picture drawn at once while something moves

class GonPath extends LiveElement {
  static style = `
    .panels { display: grid; gap: 0.8rem; grid-template-columns: repeat(3, 1fr) 1.4fr; }
    .panels > div { display: flex; flex-direction: column; }
    .bars { flex: 1; min-height: 6rem; border: 1px solid var(--line); border-radius: 3px; background: var(--surface); }
    .bars rect { fill: var(--muted); opacity: 0.55; }
    .bars line { stroke: var(--plus); stroke-width: 3px; vector-effect: non-scaling-stroke; }
    .ends span { min-width: 2.4rem; }
    @container (max-width: 34rem) {
      .panels { grid-template-columns: repeat(3, 1fr); gap: 0.5rem; } .latents { grid-column: 1 / 4; }
      button.thumb { width: 1.75rem; height: 1.75rem; }
    }
  `;

  static body = `
    <div class="bar ends from"><span>From</span></div>
    <div class="bar ends to"><span>To</span></div>
    <div class="bar"><label style="flex: 1">t <input type="range" class="t" min="0" max="1" step="0.01" value="0.5"
      aria-label="How far on the way, t"></label><output class="at"></output></div>
    <div class="panels">
      <div><h4>Slerp</h4><canvas class="slerp square" role="img" aria-label="The picture on the great circle"></canvas></div>
      <div><h4>Lerp</h4><canvas class="lerp square" role="img" aria-label="The picture on the straight way"></canvas></div>
      <div><h4>Cross-fade</h4><canvas class="fade square" role="img" aria-label="The mixed pixels"></canvas></div>
      <div class="latents"><h4>The latent on the way</h4><svg class="bars" preserveAspectRatio="none" role="img"
        aria-label="The latent on the straight way as bars, that of the cross-fade as lines on their ends"></svg></div>
    </div>
    <p class="said"></p>`;

  begin() {
    const { size, model, images } = this.data;
    this.siren = new Siren(model);
    this.images = images.map(levels);
    this.latents = this.images.map((x) => this.siren.encode(x));
    this.limit = Math.max(...this.latents.flatMap((z) => Array.from(z, Math.abs)));
    this.ends = { from: 0, to: 1 };
    for (const end of ["from", "to"]) {
      thumbs(this.find(`.${end}`), this.images, size, `${end === "from" ? "From" : "To"} image`, (i) => {
        this.ends[end] = i;
        this.redraw();
      });
    }
    this.slider = this.find(".t");
    this.slider.addEventListener("input", () => this.redraw());
    this.find(".bars").setAttribute("viewBox", `0 -1.05 ${this.siren.latents} 2.1`);
    this.draw();
  }

  draw() {
    const t = Number(this.slider.value), { from, to } = this.ends;
    for (const end of ["from", "to"]) {
      this.shadowRoot.querySelectorAll(`.${end} button`).forEach((button, i) =>
        button.setAttribute("aria-pressed", i === this.ends[end]));
    }
    this.find(".at").textContent = t.toFixed(2);
    const [a, b] = [this.latents[from], this.latents[to]];
    this.ways = { slerp: slerp(a, b, t), lerp: lerp(a, b, t) };
    this.fade = lerp(this.images[from], this.images[to], t);
    paint(this.find(".fade"), this.fade, this.data.size);
    this.compare(this.ways.lerp, this.siren.encode(this.fade));
    clearTimeout(this.later);
    const fast = new Pictures(this.siren, this.ways, this.siren.sideFor(WORK, 8, FINE));
    fast.work(Infinity);
    this.show(fast);
    this.refine(new Pictures(this.siren, this.ways, FINE));
  }

  /** The straight way's latent as bars, the cross-fade's as lines across: they are the same. */
  compare(straight, faded) {
    const bar = (z, i) => {
      const high = straight[i] / this.limit, line = -faded[i] / this.limit;
      return `<rect x="${i + 0.15}" width="0.7" y="${Math.min(0, -high)}" height="${Math.abs(high)}"></rect>
        <line x1="${i + 0.05}" x2="${i + 0.95}" y1="${line}" y2="${line}"></line>`;
    };
    this.find(".bars").innerHTML = Array.from(straight, bar).join("");
    this.faded = faded;
    const apart = Math.max(...straight.map((value, i) => Math.abs(value - faded[i]))) / this.limit;
    this.find(".said").textContent = "Bars: the latent on the straight way. Orange lines: the latent M x + b of the "
      + `cross-fade. They differ by ${apart < 1e-5 ? "less than 0.00001" : apart.toPrecision(1)} of the longest bar: the `
      + "straight way is what a GON makes of the cross-fade.";
  }

  show(pictures) {
    this.shown = pictures;
    for (const name of ["slerp", "lerp"]) paint(this.find(`.${name}`), pictures.of[name], pictures.side);
  }
}

/** What some latents decode to, row by row; the corners are the corners of the training grid. */
class Pictures {
  constructor(siren, latents, side) {
    Object.assign(this, { siren, latents, side, row: 0 });
    this.of = Object.fromEntries(Object.keys(latents).map((name) => [name, new Float32Array(siren.channels * side * side)]));
  }

  /** Go on for so many milliseconds; whether they are finished. */
  work(patience) {
    const began = performance.now(), { siren, side } = this, place = (i) => (2 * i) / (side - 1) - 1;
    for (; this.row < side && performance.now() - began < patience; this.row++) {
      for (const [name, z] of Object.entries(this.latents)) {
        siren.latent = z;
        for (let column = 0; column < side; column++) {
          siren.at(place(this.row), place(column)).forEach((value, c) => {
            this.of[name][(c * side + this.row) * side + column] = Math.min(1, Math.max(0, value));
          });
        }
      }
    }
    return this.row === side;
  }
}

const lerp = (a, b, t) => a.map((value, i) => value + t * (b[i] - value));

/** At an even pace on the great circle; where both point the same way, the straight line. */
function slerp(a, b, t) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const angle = Math.acos(Math.min(1, Math.max(-1, dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)))));
  if (!(angle > 1e-3)) return lerp(a, b, t);
  return a.map((value, i) => (Math.sin((1 - t) * angle) * value + Math.sin(t * angle) * b[i]) / Math.sin(angle));
}

define("gon-path", GonPath);
