// A table that is wider than its page shows a row as a list of "column value", instead of being scrolled.
document.addEventListener("DOMContentLoaded", () => {
  const HOLDERS = ".table-scroll, .cell_output .text_html, .pst-scrollable-table-container";
  const tables = document.querySelectorAll(".bd-article table:not(.published, .coverage, .runs, .indextable)");

  // write into each cell what stands above it, in one or several rows of heads
  function label(table) {
    const heads = [];
    const groups = [...(table.tHead?.rows[0].cells ?? [])].filter((head) => head.colSpan > 1);
    for (const row of table.tHead?.rows ?? []) {
      let column = 0;
      for (const head of row.cells) {
        const text = head.textContent.trim().replace(/\s+/g, " ");
        const only = groups.length === 1 && head === groups[0]; // it tells nothing apart
        for (let i = 0; i < head.colSpan; i++, column++) if (text && !only) (heads[column] ??= []).push(text);
      }
    }
    const named = heads.filter(Boolean);
    if (named.length > 1 && named.every((texts) => texts.length > 1 && texts[0] === named[0][0])) { // said once for all
      table.dataset.common = named[0][0];
      for (const texts of named) texts.shift();
    }
    const columns = Math.max(...[...table.rows].map((row) => [...row.cells].reduce((sum, cell) => sum + cell.colSpan, 0)));
    for (const row of [...table.tBodies].flatMap((body) => [...body.rows])) {
      const first = columns - row.cells.length; // names of rows above reach down into this one
      [...row.cells].forEach((cell, i) => {
        if (first + i === 0) cell.classList.add("name");
        else if (cell.tagName === "TD") cell.dataset.column = heads[first + i]?.join(", ") ?? "";
      });
    }
  }

  const widths = new Map();
  const watch = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      if (widths.get(target) === target.clientWidth) continue; // only its height is new
      widths.set(target, target.clientWidth);
      for (const table of target.querySelectorAll("table")) {
        table.classList.remove("stacked");
        table.classList.toggle("stacked", table.offsetWidth > target.clientWidth + 1);
      }
    }
  });
  for (const table of tables) {
    const holder = table.closest(HOLDERS);
    if (!holder) continue;
    label(table);
    watch.observe(holder);
  }
});
