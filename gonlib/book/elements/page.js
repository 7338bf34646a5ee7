// What all elements share: their start, their look, and how numbers become pictures.

const STYLE = `
  :host { display: block; color: var(--pst-color-text-base, CanvasText); font-size: 0.875rem; line-height: 1.4;
          text-align: left; container-type: inline-size;
          --muted: var(--pst-color-text-muted, GrayText); --line: var(--pst-color-border, #b5bcc4);
          --surface: var(--pst-color-surface, transparent); --accent: var(--pst-color-primary, #0a7d91);
          --plus: #d8602b; --minus: #2f86c1; }
  * { box-sizing: border-box; }
  h4 { margin: 0 0 0.25rem; font-size: 0.875rem; font-weight: 600; }
  p { margin: 0.3rem 0 0; color: var(--muted); font-size: 0.8125rem; }
  output { font-variant-numeric: tabular-nums; color: var(--pst-color-text-base, CanvasText); }
  canvas, svg { display: block; width: 100%; }
  canvas { image-rendering: pixelated; border: 1px solid var(--line); border-radius: 3px; }
  .square { aspect-ratio: 1; }
  .bar { display: flex; flex-wrap: wrap; gap: 0.4rem 0.6rem; align-items: center; margin: 0 0 0.8rem; }
  button { font: inherit; color: inherit; background: var(--surface); border: 1px solid var(--line); border-radius: 4px;
           padding: 0.15rem 0.6rem; min-height: 2rem; cursor: pointer; }
  p button { padding: 0 0.45rem; min-height: 1.55rem; font-size: 0.8125rem; color: var(--pst-color-text-base, CanvasText); }
  button.thumb { padding: 0; width: 2.1rem; height: 2.1rem; min-height: 0; overflow: hidden; }
  button.thumb canvas { border: 0; border-radius: 0; height: 100%; }
  button:hover, button[aria-pressed="true"] { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
  label { display: inline-flex; gap: 0.4rem; align-items: center; cursor: pointer; }
  input { accent-color: var(--accent); }
  input[type="range"] { flex: 1 1 8rem; min-width: 6rem; margin: 0; height: 1.6rem; }
  input[type="checkbox"] { width: 1.05rem; height: 1.05rem; margin: 0; }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
`;

const ORANGE = [216, 96, 43], BLUE = [47, 134, 193]; // --plus and --minus
const PATIENCE = 12; // milliseconds of work before the page may answer again

/** An element that reads its data from a JSON block inside it, and shows the still picture there until it has begun. */
class LiveElement extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return;
    this.data = JSON.parse(this.querySelector("script[type='application/json']").textContent);
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = `<style>${STYLE}${this.constructor.style}</style>${this.constructor.body}`;
    try {
      this.begin();
    } catch (fault) {
      root.innerHTML = "<slot></slot>"; // the still picture
      throw fault;
    }
  }

  /** The first part of the element that a CSS selector names. */
  find(selector) {
    return this.shadowRoot.querySelector(selector);
  }

  /** Draw anew before the browser paints next, however many events ask for it. */
  redraw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }

  /** Finish a drawing a few rows at a time, so that the page answers in between, and show it. */
  refine(drawing) {
    this.later = setTimeout(() => {
      if (drawing.work(PATIENCE)) this.show(drawing);
      else this.refine(drawing);
    });
  }
}

function define(name, element) {
  if (!customElements.get(name)) customElements.define(name, element);
}

/** Paint C x size x size numbers in [0, 1]; one channel is grey. */
function paint(canvas, pixels, size) {
  const area = size * size, [green, blue] = pixels.length === 3 * area ? [area, 2 * area] : [0, 0];
  fill(canvas, size, (i, data) => {
    data[4 * i] = 255 * pixels[i]; // the array rounds, and clamps to 0..255
    data[4 * i + 1] = 255 * pixels[green + i];
    data[4 * i + 2] = 255 * pixels[blue + i];
    data[4 * i + 3] = 255;
  });
}

/** Paint size x size numbers in [-1, 1]: orange above zero, blue below, and at zero the page's own colour. */
function paintSigned(canvas, values, size) {
  fill(canvas, size, (i, data) => {
    data.set(values[i] > 0 ? ORANGE : BLUE, 4 * i);
    data[4 * i + 3] = 255 * Math.abs(values[i]);
  });
}

/** Let `colour(i, data)` set the four bytes of each of size x size pixels. */
function fill(canvas, size, colour) {
  if (canvas.width !== size) canvas.width = canvas.height = size;
  const context = canvas.getContext("2d"), image = context.createImageData(size, size);
  for (let i = 0; i < size * size; i++) colour(i, image.data);
  context.putImageData(image, 0, 0);
}

/** A row of small pictures to choose from; `chosen(i)` is called with the number of the one that was clicked. */
function thumbs(parent, pictures, size, name, chosen) {
  pictures.forEach((pixels, i) => {
    const button = document.createElement("button");
    button.className = "thumb";
    button.setAttribute("aria-label", `${name} ${i}`);
    button.append(document.createElement("canvas"));
    paint(button.firstChild, pixels, size);
    button.addEventListener("click", () => chosen(i));
    parent.append(button);
  });
}

/** Bytes of base64 as numbers in [0, 1]. */
function levels(data) {
  return Float32Array.from(atob(data), (letter) => letter.charCodeAt(0) / 255);
}

/** Follow a pointer from where it goes down until it is lifted: `moved(x, y, event)` in parts of the target's size. */
function follow(target, moved, lifted = () => {}) {
  const at = (event) => {
    const box = target.getBoundingClientRect();
    moved((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, event);
  };
  target.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    target.setPointerCapture(event.pointerId);
    at(event);
  });
  target.addEventListener("pointermove", (event) => {
    if (target.hasPointerCapture(event.pointerId)) (event.getCoalescedEvents?.() ?? []).concat(event).forEach(at);
  });
  for (const end of ["pointerup", "pointercancel"]) target.addEventListener(end, lifted);
}
