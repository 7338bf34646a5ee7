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

  /** The value of every seed, and what each run is. */
  function seeds(link, shown) {
    const values = (link.dataset.values || "").split(" ").filter(Boolean);
    const asked = link.dataset.asked ? JSON.parse(link.dataset.asked).epochs : 0;
    const head = ["run", "what", "seed", ...(values.length ? ["value"] : []), "epoch", "seconds", "made on"];
    return table("card-runs", head, shown.map((run, i) => {
      const made = run.made.at(-1), seconds = run.made.reduce((sum, part) => sum + (part.wall_seconds || 0), 0);
      const epoch = asked && asked < run.reached ? `${asked} (of ${run.reached})` : `${run.reached} of ${Math.max(run.epochs, run.reached)}`;
      return [make("a", { href: `runs.html#run-${run.hash}` }, run.hash.slice(0, 8)), [run.row, run.column].filter(Boolean).join(", "),
        String(run.seed), ...(values.length ? [short(Number(values[i]))] : []), epoch, seconds.toFixed(0),
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
    const groups = {}, asked = link.dataset.asked ? JSON.parse(link.dataset.asked).epochs : 0;
    for (const run of shown) {
      const epochs = run.anyEpochs && asked && asked !== run.epochs ? ` -p epochs ${asked}` : "";
      (groups[run.command + epochs] ||= []).push(run);
    }
    return Object.entries(groups).map(([command, group]) => (group[0].only
      ? `${command} --store build/again --only ${group.map((run) => run.hash.slice(0, 8)).join(" ")}` : command)).join("\n");
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
    return make("pre", {}, [`data ${shown[0].data.name}, checksum ${shown[0].data.checksum.slice(0, 16)}`, ...lines].join("\n"));
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

  function copy(text) {
    const button = make("button", { className: "card-button" }, "copy");
    button.onclick = () => navigator.clipboard.writeText(text).then(() => { button.textContent = "copied"; });
    return button;
  }

  const folded = (title, content) => make("details", {}, make("summary", {}, title), content);

  function show(link, shown) {
    const figure = link.parentElement.classList.contains("data");
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
      seeds(link, shown), curve(shown, link.dataset.what),
      make("h3", {}, "Make it again"), make("div", { className: "card-command" }, make("pre", {}, command), copy(command)),
      folded("Full configuration", configuration(shown)), folded("How it was made", provenance(shown)),
      make("p", {}, "Data: ", download("runs.csv", csv(shown)), " ", download("runs.json", JSON.stringify(shown, null, 1))));
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
