// <gon-race>: the curves of a table's rows as a race. A slider chooses the epoch, and the rows change places.

class GonRace extends LiveElement {
  static style = `
    .rows { position: relative; height: calc(var(--count) * 2.9rem); }
    .row { position: absolute; inset: 0 0 auto; height: 2.9rem; display: grid; gap: 0 0.8rem; align-items: center;
           grid-template-columns: 9.5rem 1fr 4.2rem; transform: translateY(calc(var(--rank) * 2.9rem)); }
    @media (prefers-reduced-motion: no-preference) { .row { transition: transform 0.25s; } }
    .track { position: relative; height: 1.3rem; border-bottom: 1px solid var(--line); }
    .line { position: absolute; left: 0; bottom: 0.24rem; height: 4px; border-radius: 2px; background: var(--colour); }
    .dot, .paper { position: absolute; width: 0.85rem; height: 0.85rem; bottom: 0; margin-left: -0.425rem; }
    .dot { border-radius: 50%; background: var(--colour); }
    .paper { border: 2px solid currentColor; transform: rotate(45deg) scale(0.75); }
    .value { text-align: right; font-variant-numeric: tabular-nums; }
    .note { grid-column: 2 / 4; margin: 0; font-size: 0.75rem; line-height: 1.1; color: var(--muted); white-space: nowrap; }
    .time { position: relative; flex: 1; display: flex; }
    .time i { position: absolute; top: 1.35rem; width: 4px; height: 0.5rem; margin-left: -2px; background: var(--colour); }
    .name { grid-row: 1 / 3; }
    .axis { position: relative; height: 1.3rem; margin: 0 5rem 0 10.3rem; color: var(--muted); font-size: 0.75rem; }
    .axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
    @container (max-width: 34rem) {
      .row { grid-template-columns: 6.5rem 1fr 3.4rem; gap: 0 0.5rem; font-size: 0.8125rem; }
      .axis { margin: 0 3.9rem 0 7rem; }
    }
  `;

  static body = `
    <div class="bar panels"></div>
    <div class="rows"></div>
    <div class="axis"></div>
    <div class="bar" style="margin: 0.6rem 0 0"><button class="play">Start</button>
      <label style="flex: 1">epoch <span class="time"><input type="range" class="epoch" min="1" step="1"
        aria-label="Epoch"></span></label><output class="at"></output></div>
    <p>Test error, further left is better; the axis is logarithmic. <span class="of-paper">A diamond is the paper's
      value at the end of its training; a tick under the epochs says when a row first reaches its own.</span>
      <span class="about"></span></p>`;

  begin() {
    this.slider = this.find(".epoch");
    this.slider.addEventListener("input", () => this.redraw());
    this.find(".play").addEventListener("click", () => this.play());
    const panels = this.find(".panels");
    this.buttons = this.data.panels.map(({ title }, i) => {
      const button = document.createElement("button");
      button.textContent = title;
      button.addEventListener("click", () => this.choose(i));
      panels.append(button);
      return button;
    });
    this.choose(0);
    this.draw();
  }

  choose(i) {
    this.panel = this.data.panels[i];
    this.buttons.forEach((button, j) => button.setAttribute("aria-pressed", i === j));
    const { rows } = this.panel, every = rows.flatMap(({ errors, paper }) => [...errors, paper ?? errors[0]]);
    this.low = Math.log(0.95 * Math.min(...every));
    this.high = Math.log(Math.max(...every));
    this.last = Math.max(...rows.map(({ epochs }) => epochs[epochs.length - 1]));
    this.slider.max = this.last; // before the value, which it bounds
    this.slider.value = this.last;
    this.find(".rows").style.setProperty("--count", rows.length);
    this.find(".rows").innerHTML = rows.map(({ colour, paper }) => `<div class="row"><span class="name"></span>
      <div class="track" style="--colour: ${colour}"><div class="line"></div><div class="dot"></div>
        ${paper ? `<div class="paper" style="left: ${this.place(paper)}%"></div>` : ""}</div>
      <span class="value"></span><p class="note"></p></div>`).join("");
    this.lanes = [...this.find(".rows").children];
    this.lanes.forEach((lane, j) => (lane.querySelector(".name").textContent = rows[j].name));
    this.find(".of-paper").hidden = !rows.some(({ paper }) => paper);
    this.find(".about").textContent = this.panel.about;
    this.drawAxis();
    this.markCrossings();
    this.redraw();
  }

  /** Where an error lies on the axis, in per cent. */
  place(error) {
    return (100 * (Math.log(error) - this.low)) / (this.high - this.low || 1);
  }

  drawAxis() {
    const ticks = [];
    for (let power = Math.floor(this.low / Math.LN10); power <= this.high / Math.LN10; power++) {
      for (const digit of [1, 2, 5]) ticks.push(digit * 10 ** power);
    }
    const shown = ticks.filter((tick) => Math.log(tick) >= this.low && Math.log(tick) <= this.high);
    this.find(".axis").innerHTML = shown
      .map((tick) => `<span style="left: ${this.place(tick)}%">${Number(tick.toPrecision(1))}</span>`).join("");
  }

  /** The first epoch at which a row is no worse than the paper's value, or undefined. */
  crossing({ epochs, errors, paper }) {
    return epochs[errors.findIndex((error) => error <= paper)];
  }

  markCrossings() {
    this.find(".time").querySelectorAll("i").forEach((mark) => mark.remove());
    for (const row of this.panel.rows) {
      const part = (this.crossing(row) - 1) / (this.last - 1 || 1); // of the way; the thumb is 16 pixels wide
      if (part >= 0) this.find(".time").insertAdjacentHTML("beforeend",
        `<i style="--colour: ${row.colour}; left: calc(8px + ${part} * (100% - 16px))"></i>`);
    }
  }

  /** The rows at an epoch, the best first: [number of the row, error, the epoch that it is of]. */
  standing(epoch) {
    const at = this.panel.rows.map(({ epochs, errors }, i) => {
      const reached = Math.max(0, epochs.findLastIndex((e) => e <= epoch));
      return [i, errors[reached], epochs[reached]];
    });
    return at.sort((a, b) => a[1] - b[1]);
  }

  draw() {
    const epoch = Number(this.slider.value);
    this.find(".at").textContent = `${epoch} of ${this.last}`;
    this.order = this.standing(epoch).map(([i, error, reached], rank) => {
      const lane = this.lanes[i], { epochs, paper, name } = this.panel.rows[i], crossed = this.crossing(this.panel.rows[i]);
      lane.style.setProperty("--rank", rank);
      lane.querySelector(".dot").style.left = `${this.place(error)}%`;
      lane.querySelector(".line").style.width = `${this.place(error)}%`;
      lane.querySelector(".value").textContent = error.toPrecision(3);
      const ended = epoch > epochs[epochs.length - 1] ? `ends at ${reached}; ` : "";
      lane.querySelector(".note").textContent = ended + (!paper ? ""
        : `paper ${paper}: ` + (crossed === undefined ? "not reached" : `at epoch ${crossed}`));
      return name;
    });
  }

  /** Let the epochs pass, all of them in about six seconds; a second click stops. */
  play() {
    const button = this.find(".play"), stop = () => {
      clearInterval(this.playing);
      this.playing = undefined;
      button.textContent = "Start";
    };
    if (this.playing) return stop();
    if (Number(this.slider.value) === this.last) this.slider.value = 1;
    button.textContent = "Stop";
    const step = Math.max(1, Math.round(this.last / 60));
    this.playing = setInterval(() => {
      this.slider.value = Number(this.slider.value) + step;
      if (Number(this.slider.value) >= this.last) stop();
      this.draw();
    }, Math.max(100, 6000 / this.last));
  }
}

define("gon-race", GonRace);
