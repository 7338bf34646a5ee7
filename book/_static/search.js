// Excerpts of search results without what is no text of a page: buttons, code, drawings; formulas without their signs.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const text = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll(".header-article, .cell_input, summary, svg, .made-with, .prev-next-footer, nav").forEach((part) => part.remove());
    page.querySelectorAll(".math").forEach((part) => { part.textContent = part.textContent.replace(/\\[()[\]]/g, ""); });
    return text(page.documentElement.outerHTML, anchor).replace(/\s+/g, " ");
  };
});
