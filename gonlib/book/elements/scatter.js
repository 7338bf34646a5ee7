// <gon-scatter>: images as the two numbers of their latents, each drawn as its class; point at one to see the image.

class GonScatter extends LiveElement {
  static style = `
    .stage { display: grid; gap: 0.8rem; grid-template-columns: 2.6fr 1fr; }
    svg { aspect-ratio: 1.25; border: 1px solid var(--line); border-radius: 3px; touch-action: pan-y; cursor: crosshair; }
    text { font-size: 2.6px; text-anchor: middle; dominant-baseline: central; user-select: none;
           fill: color-mix(in srgb, hsl(var(--hue) 75% 45%) 75%, currentColor); }
    .wrong { stroke: currentColor; fill: none; stroke-width: 0.2px; }
    .chosen { stroke: var(--accent); fill: none; stroke-width: 0.6px; }
    .image { image-rendering: pixelated; }
    @container (max-width: 34rem) {
      .stage { grid-template-columns: 1fr; gap: 0.5rem; } text { font-size: 3.4px; } .wrong { r: 2.2px; }
      .shown { display: grid; grid-template-columns: 6rem 1fr; gap: 0 0.8rem; } .shown h4 { grid-column: 1 / 3; }
    }
  `;

  static body = `
    <div class="stage">
      <svg viewBox="0 0 125 100" tabindex="0" role="application"
        aria-label="Latents of test images: arrow keys go to the next one in a direction"></svg>
      <div class="shown"><h4>Test image</h4><canvas class="image square" role="img" aria-label="The image that is pointed at"></canvas>
        <p class="said" role="status"></p></div>
    </div>
    <p>Each digit stands where its image's two latents put it; a ring marks those that are misclassified.</p>`;

  begin() {
    const { points, images } = this.data;
    this.images = images.map(levels);
    const [across, down] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const scale = (values, long, flip) => {
      const low = Math.min(...values), high = Math.max(...values), part = (v) => (v - low) / (high - low || 1);
      return values.map((v) => 4 + (long - 8) * (flip ? 1 - part(v) : part(v)));
    };
    const [xs, ys] = [scale(across, 125, false), scale(down, 100, true)];
    this.places = xs.map((x, i) => [x, ys[i]]);
    const classes = 1 + Math.max(...points.map(([, , label]) => label));
    this.field = this.find("svg");
    this.field.innerHTML = points.map(([, , label, named], i) => {
      const ring = named === label ? "" : `<circle class="wrong" cx="${xs[i]}" cy="${ys[i]}" r="1.7"></circle>`;
      return `${ring}<text x="${xs[i]}" y="${ys[i]}" style="--hue: ${Math.round((360 * label) / classes)}">${label}</text>`;
    }).join("") + '<circle class="chosen" r="2.6"></circle>';
    this.field.addEventListener("pointermove", (event) => this.near(event));
    this.field.addEventListener("pointerdown", (event) => this.near(event));
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.choose(0);
    this.draw();
  }

  near(event) {
    const box = this.field.getBoundingClientRect();
    const at = [(125 * (event.clientX - box.left)) / box.width, (100 * (event.clientY - box.top)) / box.height];
    this.choose(this.nearest(at, () => true));
  }

  /** The point nearest to a place of those that are `wanted`, by its steps right and down from there. */
  nearest([x, y], wanted) {
    let best, least = Infinity;
    this.places.forEach(([px, py], i) => {
      const away = Math.hypot(px - x, py - y);
      if (away < least && wanted(px - x, py - y)) [best, least] = [i, away];
    });
    return best;
  }

  key(event) {
    const ahead = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!ahead) return;
    const within = (dx, dy) => { // an angle of 45 degrees to either side
      const along = dx * ahead[0] + dy * ahead[1], beside = Math.abs(dx * ahead[1]) + Math.abs(dy * ahead[0]);
      return along > 0 && beside <= along;
    };
    this.choose(this.nearest(this.places[this.chosen], within) ?? this.chosen);
    event.preventDefault();
  }

  choose(i) {
    this.chosen = i;
    this.redraw();
  }

  draw() {
    const [, , label, named] = this.data.points[this.chosen], [x, y] = this.places[this.chosen];
    const ring = this.find(".chosen");
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    paint(this.find(".image"), this.images[this.chosen], this.data.size);
    this.find(".said").textContent = `Class ${label}, ` + (named === label ? "classified as such." : `classified as ${named}.`);
  }
}

define("gon-scatter", GonScatter);
