// The page of runs: a click on a head sorts within each group, words in the field show only rows that have them all.
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.runs"), field = document.getElementById("runs-filter");
  if (!table || !field) return;
  const groups = [...table.tBodies].map((body) => ({ body, rows: [...body.rows].slice(1) }));

  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    for (const { body, rows } of groups) {
      const title = body.rows[0].textContent;
      for (const row of rows) row.hidden = !words.every((word) => `${title} ${row.textContent}`.toLowerCase().includes(word));
      body.hidden = rows.every((row) => row.hidden);
    }
  });

  [...table.tHead.rows[0].cells].forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    const text = (row) => row.cells[column].textContent;
    for (const { body, rows } of groups) {
      rows.sort((a, b) => way * text(a).localeCompare(text(b), "en", { numeric: true }));
      body.append(...rows);
    }
  }));
});
