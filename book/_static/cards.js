// The card of a number: every seed, the curve, the configuration, and the command that makes its runs again.
(() => {
  const runs = {}; // by name, as the files in cards/ bring them
  window.gonlibRun = (run) => { runs[run.hash] = run; };

  /** A run, from a script: a page that was opened from disk may fetch nothing. */
  function load(hash) {
    if (runs[hash]) return Promise.resolve(runs[hash]);
    return new Promise((done, fail) => {
      const script = make("script", { src: `cards/${hash}.js`, onload: () => done(runs[hash]), onerror: fail });
      document.head.append(script);
    });
  }

  /** An element with properties and children; texts stay texts. */
  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  const row = (cell, ...texts) => make("tr", {}, ...texts.map((text) => make(cell, cell === "th" ? { scope: "col" } : {}, text)));
  const table = (className, head, rows) => make("div", { className: "table-scroll" }, make("table", { className },
    make("thead", {}, row("th", ...head)), make("tbody", {}, ...rows.map((cells) => row("td", ...cells)))));
  const readable = (name) => name.replaceAll("_", " ");
  const short = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value));

  /** What a number asks of its runs: how far they are trained, how they are looked at. */
  const askedBy = (link) => JSON.parse(link.dataset.asked || "{}");

  /** The value of every seed, and what each run is. */
  function seeds(link, shown) {
    const values = (link.dataset.values || "").split(" ").filter(Boolean);
    const asked = askedBy(link).epochs;
    const head = ["run", "what", "seed", ...(values.length ? ["value"] : []), "epoch", "seconds", "made on"];
    return table("card-runs", head, shown.map((run, i) => {
      const made = run.made.at(-1), seconds = run.made.reduce((sum, part) => sum + (part.wall_seconds || 0), 0);
      const epoch = `${run.reached} of ${run.whole}`, then = asked && asked < run.reached ? `${asked} (it has ${epoch})` : epoch;
      return [make("a", { href: `runs.html#run-${run.hash}` }, run.hash.slice(0, 8)), [run.row, run.column].filter(Boolean).join(", "),
        String(run.seed), ...(values.length ? [short(Number(values[i]))] : []), then, seconds.toFixed(0),
        `${made.device.replaceAll("(R)", "")}, ${made.started.slice(0, 10)}`];
    }));
  }

  /** Error against epoch, a line for each run, on a logarithmic scale. */
  function curve(shown, wanted) {
    const y = shown[0].columns.includes(wanted) ? wanted : "test_error";
    const lines = shown.map((run) => {
      const [a, b] = [run.columns.indexOf("epoch"), run.columns.indexOf(y)];
      return run.history.map((line) => [line[a], line[b]]).filter(([, value]) => value > 0);
    }).filter((line) => line.length > 1);
    if (!lines.length) return "";
    const points = lines.flat(), logs = points.map(([, value]) => Math.log(value));
    const [low, high, end] = [Math.min(...logs), Math.max(...logs), Math.max(...points.map(([x]) => x))];
    const place = ([x, value]) => `${(500 * x / end).toFixed(1)},${(10 + 100 * (high - Math.log(value)) / (high - low || 1)).toFixed(1)}`;
    const paths = lines.map((line) => `<polyline points="${line.map(place).join(" ")}"/>`).join("");
    const svg = make("div", { className: "card-curve" });
    svg.innerHTML = `<svg viewBox="0 0 500 120" preserveAspectRatio="none" role="img" aria-label="${readable(y)} against epoch">${paths}</svg>`;
    svg.append(make("p", {}, `${readable(y)}, from ${short(Math.exp(high))} to ${short(Math.exp(low))} (logarithmic), over ${end} epochs`));
    return svg;
  }

  /** The commands that make runs again: one for each experiment that they belong to. */
  function commands(link, shown) {
    const groups = {};
    for (const run of shown) (groups[endingAt(run, askedBy(link))] ||= []).push(run);
    return Object.entries(groups).map(([command, group]) => (group[0].title
      ? `${command} ${group.map((run) => run.hash.slice(0, 8)).join(" ")}` : command)).join("\n");
  }

  /** A run's command, to end where the number was taken and to look at the run as it does, if the experiment does not. */
  function endingAt(run, asked) {
    const { command, free, asked: usual, partial, reached, ends } = run;
    const { steps = partial, evaluation, free_steps } = asked;
    // a row that is behind the others of its column is asked for more than it has
    const epochs = partial ? asked.epochs ?? usual.epochs : Math.min(asked.epochs ?? reached, reached);
    const end = epochs >= reached && partial ? partial : steps;
    const sooner = end > 0 && end < run.steps;
    const length = epochs === ends && !partial && !sooner ? {} // as long as its experiment trains it
      : end && end !== usual.steps && free.includes("steps") ? { steps: end } : { epochs, steps: end };
    const fit = { ["fit_steps" in usual ? "fit_steps" : "free_steps"]: free_steps };
    return Object.entries({ ...length, evaluation, ...fit }).reduce((text, [name, value]) => (
      value === undefined || !free.includes(name) || value === usual[name] ? text
        : text.replace(` -p ${name} ${usual[name]}`, "").replace(" --store", ` -p ${name} ${value} --store`)), command);
  }

  /** The whole configuration; of several runs, each value that occurs. What is not a default is bold. */
  function configuration(shown) {
    const names = [...new Set(shown.flatMap((run) => Object.keys(run.config)))];
    const changed = new Set(shown.flatMap((run) => run.changed));
    const value = (name) => [...new Set(shown.map((run) => short(run.config[name] ?? "–")))].join(", ");
    const sorted = names.sort((a, b) => changed.has(b) - changed.has(a));
    return table("card-config", ["parameter", "value"], sorted.map((name) => [readable(name),
      changed.has(name) ? make("strong", {}, value(name)) : value(name)]));
  }

  function provenance(shown) {
    const lines = shown.flatMap((run) => run.made.map((part) => `${run.hash.slice(0, 8)} to step ${part.to}: ${part.started}, ${part.device}, `
      + `${part.precision}, torch ${part.versions.torch}, source ${part.source}, commit ${(part.commit || "–").slice(0, 8)}`));
    const data = [...new Set(shown.map(({ data }) => `data ${data.name}, checksum ${data.checksum.slice(0, 16)}`))];
    return make("pre", {}, [...data, ...lines, ...shown.map((run) => run.source).filter(Boolean)].join("\n"));
  }

  /** Which images the runs saw, and where those of a variant come from. */
  function data(shown) {
    const told = ({ data }) => `${data.title}: ${data.images.toLocaleString("en")} training images of ${data.size} × ${data.size} pixels`
      + (data.source ? ` (${data.source})` : "");
    return make("p", { className: "card-data" }, [...new Set(shown.map(told))].join("; "), ".");
  }

  /** The pictures that were kept with recorded runs, as files. */
  function pictures(shown) {
    const some = shown.filter((run) => Object.keys(run.pictures).length);
    return some.length ? make("p", {}, "Pictures, one below the other: ", ...some.flatMap((run, i) => [i ? "; " : "",
      some.length > 1 ? `${run.row || run.hash.slice(0, 8)} ` : "", ...Object.entries(run.pictures).flatMap(([name, file]) => [
        make("a", { className: "card-button", href: `cards/${file}`, download: file }, `${readable(name)} PNG`), " "])])) : "";
  }

  /** A button that makes a PNG file of a figure: its curves in twice their size on the page, its pictures as large as they are. */
  function drawn(figure, name) {
    const button = make("button", { className: "card-button" }, "PNG");
    const pictures = figure.querySelector(".pictures");
    button.onclick = () => (pictures ? pasted(pictures) : painted(figure.querySelector("svg.drawn"))).then(
      (canvas) => make("a", { download: name, href: canvas.toDataURL("image/png") }).click());
    return button;
  }

  /** A canvas with white paper. */
  function paper(width, height) {
    const canvas = make("canvas", { width: Math.ceil(width), height: Math.ceil(height) }), context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.fillStyle = "#000";
    return [canvas, context];
  }

  /** A drawing on a canvas, as the light page has it. */
  function painted(svg) {
    const copy = svg.cloneNode(true), [, , wide, high] = copy.getAttribute("viewBox").split(" ").map(Number), image = new Image();
    const [canvas, context] = paper(2.9 * wide, 2.9 * high);
    for (const [key, value] of [["xmlns", "http://www.w3.org/2000/svg"], ["width", canvas.width], ["height", canvas.height],
      ["style", "color: #000; font-family: DejaVu Sans, sans-serif"]]) copy.setAttribute(key, value);
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
    return image.decode().then(() => { context.drawImage(image, 0, 0); return canvas; });
  }

  /** Rows of pictures on a canvas, each with its name before it. */
  function pasted(grid) {
    const rows = [...grid.querySelectorAll("img")], names = [...grid.querySelectorAll(".label")].map((label) => label.textContent);
    const left = names.length ? 8 + 7 * Math.max(...names.flatMap((name) => name.split("\n")).map((line) => line.length)) : 0;
    const [canvas, context] = paper(left + Math.max(...rows.map((row) => row.naturalWidth)),
      rows.reduce((sum, row) => sum + row.naturalHeight + 4, 0));
    context.font = "12px DejaVu Sans, sans-serif";
    let top = 0;
    rows.forEach((row, i) => {
      (names[i] || "").split("\n").forEach((line, k) => context.fillText(line, 0, top + 12 + 13 * k));
      context.drawImage(row, left, top);
      top += row.naturalHeight + 4;
    });
    return Promise.resolve(canvas);
  }

  function csv(shown) {
    const columns = [...new Set(shown.flatMap((run) => run.columns))];
    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = shown.flatMap((run) => run.history.map((line) => [run.hash, quoted(run.row), quoted(run.column), run.seed,
      ...columns.map((name) => line[run.columns.indexOf(name)] ?? "")].join(",")));
    return [["run", "row", "column", "seed", ...columns].join(","), ...lines].join("\n");
  }

  const download = (name, text) => make("a", { className: "card-button", download: name,
    href: URL.createObjectURL(new Blob([text])) }, name.split(".").pop().toUpperCase());

  /** How the files of a card are named: after the page, and the figure or what the number is. */
  function stem(link, figure) {
    const page = location.pathname.split("/").pop().replace(/\.html$/, "") || "index";
    const part = figure ? `figure-${[...document.querySelectorAll("div.drawn")].indexOf(figure) + 1}` : link.dataset.what || "runs";
    return `${page}-${part}`.replace(/[^\w.-]+/g, "-");
  }

  function copy(text) {
    const button = make("button", { className: "card-button" }, "copy");
    button.onclick = () => navigator.clipboard.writeText(text).then(() => { button.textContent = "copied"; });
    return button;
  }

  const folded = (title, content) => make("details", {}, make("summary", {}, title), content);

  function show(link, shown) {
    const figure = link.parentElement.classList.contains("data") ? link.closest("div.drawn") : null;
    const name = stem(link, figure);
    const several = `${shown.length} run${shown.length > 1 ? "s" : ""}`;
    const what = readable(link.dataset.what || link.dataset.metric || "");
    const command = commands(link, shown), titles = [...new Set(shown.map((run) => run.title))].filter(Boolean);
    const dialog = make("dialog", { className: "card" });
    dialog.setAttribute("aria-label", "What is behind this number");
    const close = make("button", { className: "card-button card-close", onclick: () => dialog.close() }, "close");
    dialog.append(close,
      make("h2", {}, figure ? "Behind this figure" : link.textContent.trim()),
      make("p", { className: "card-what" }, [what && !figure ? `${what}${shown.length > 1 ? ", mean ± standard deviation" : ""}` : "",
        several, ...titles].filter(Boolean).join(" · ")),
      data(shown), seeds(link, shown), curve(shown, link.dataset.what),
      make("h3", {}, "Make it again"), shown.every((run) => run.title) ? "" : make("p", {},
        "A run that no table or figure of today asks for is made from its configuration."), make("div", { className: "card-command" }, make("pre", {}, command), copy(command)),
      folded("Full configuration", configuration(shown)), folded("How it was made", provenance(shown)),
      pictures(shown),
      make("p", {}, ...(figure ? ["Figure: ", drawn(figure, `${name}.png`), " "] : []), "Numbers: ",
        download(`${name}.csv`, csv(shown)), " ", download(`${name}.json`, JSON.stringify(shown, null, 1))));
    dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); }; // outside of it
    dialog.onclose = () => { dialog.remove(); link.focus(); };
    document.body.append(dialog);
    dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a.number[data-runs]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    Promise.all(link.dataset.runs.split(" ").map(load)).then((shown) => show(link, shown), () => { location.href = link.href; });
  });

  /** A page that was opened at #run-NAME from the list of runs shows the first number that this run made. */
  document.addEventListener("DOMContentLoaded", () => {
    const name = location.hash.match(/^#run-([0-9a-f]{16})$/)?.[1];
    const place = name && !document.getElementById(`run-${name}`) && document.querySelector(`a.number[data-runs~="${name}"]`);
    if (!place) return;
    for (let node = place; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    place.classList.add("sought");
    place.scrollIntoView({ block: "center" });
  });
})();
