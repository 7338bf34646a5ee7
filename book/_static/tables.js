// Under each table of results a link that saves it as CSV.
document.addEventListener("DOMContentLoaded", () => {
  const quoted = (cell) => {
    const text = cell.textContent.trim().replace(/\s+/g, " ");
    return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const fields = (cell) => [quoted(cell), ...Array(cell.colSpan - 1).fill("")];
  for (const table of document.querySelectorAll(".cell_output table.results")) {
    const rows = [...table.rows].map((row) => [...row.cells].flatMap(fields).join(","));
    const link = Object.assign(document.createElement("a"), { textContent: "CSV", className: "save", download: "table.csv" });
    link.href = URL.createObjectURL(new Blob([rows.join("\n")], { type: "text/csv" }));
    (table.closest(".table-scroll") || table).after(link);
  }
});
