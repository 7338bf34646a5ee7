"""The book's pages: executed notebooks made readable, and Jupyter Book run over them if anything has changed."""

import hashlib
import html
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .kernel import PACKAGE, environment
from .notebooks import load_executed, load_source, source_digest, without_error_notes

DRAWING = r"^((made|fig|ax) = | *(figures|drawings)\.show_)"  # lines of a cell that shows a picture, if there is one


def build(root: Path, out: Path, names: list[str]) -> tuple[list[str], bool]:
    """Build `out`/html from `root`/book and the notebooks executed in `out`/notebooks, unless it is there already.

    Args:
        root: The repository's root.
        out: The build folder.
        names: The book's pages.

    Returns:
        Sentences on what is wrong, and whether `out`/html is the book as it is now: pages with faults are built too.
    """
    source, record = out / "book-src", out / "pages.json"
    try:
        _write_sources(root / "book", source, out / "notebooks", names)
        digest = _digest(root, source)
        if _read_text(record) == digest and (out / "html" / "index.html").is_file():
            return [], True
        print("Building the pages ...", flush=True)
        record.unlink(missing_ok=True)
        faults, built = _jupyter_book(root, source, out)
        if built:
            _write_cards(root, out, names)
        if not faults:
            record.write_text(digest, encoding="utf-8")
    except OSError as fault:
        shutil.rmtree(out / "jupyter-book", ignore_errors=True)
        what = f"{fault.strerror or 'files could not be copied'} ({fault.filename or out})"
        return [f"the pages could not be built: {what}."], False
    return faults, built


def _write_sources(book: Path, source: Path, executed: Path, names: list[str]) -> None:
    """Write what Jupyter Book reads: the book's pages, notebooks as they were executed, and what they need."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    if (book / "_static").is_dir():
        shutil.copytree(book / "_static", source / "_static", ignore=shutil.ignore_patterns(".*", "*~", "#*"))
    for path in [book / "_toc.yml", *book.glob("[!.#]*.bib")]:
        shutil.copy(path, source)
    for name in names:
        if (book / f"{name}.ipynb").is_file():
            page = readable(book / f"{name}.ipynb", executed / f"{name}.ipynb")
            (source / f"{name}.ipynb").write_text(json.dumps(page, indent=1), encoding="utf-8")
        elif (book / f"{name}.md").is_file():
            text = (book / f"{name}.md").read_text(encoding="utf-8")
            text = re.sub(r"<!-- modules: (\w+) ?(.*) -->", lambda found: modules(found[1], found[2].split()), text)
            text = re.sub(r"<!-- code: (\S+) -->", lambda file: _quoted(book.parent / file[1]), text)
            if "<!-- runs -->" in text:
                text = text.replace("<!-- runs -->", _runs_section(book, executed, names))
            (source / f"{name}.md").write_text(text, encoding="utf-8")


def _quoted(path: Path) -> str:
    """A file of Python as a block of a page, without its docstring, which the page itself says."""
    code = path.read_text(encoding="utf-8").split('"""', 2)[2]
    return f"```python\n{code.strip()}\n```"


def _runs_section(book: Path, executed: Path, names: list[str]) -> str:
    """The page of runs: those that numbers in the executed notebooks link to."""
    from ..runs import store  # here: they load torch, which building other pages does not need
    from . import cards, runlist

    pages, stores = _executed(executed, names), [store.local_store(), store.recorded_store()]
    found = cards.of_pages(runlist.runs(pages, stores), pages, _profiles(book, pages))
    return runlist.section(pages, stores, found)


def _write_cards(root: Path, out: Path, names: list[str]) -> None:
    """Write the cards of all runs that the pages link to beside them."""
    pages = _executed(out / "notebooks", names)
    if not any(_links_runs(page) for page in pages.values()):
        return
    from ..runs import store
    from . import cards, runlist

    found = runlist.runs(pages, [store.local_store(), store.recorded_store()])
    recipes = cards.of_pages(found, pages, _profiles(root / "book", pages))
    cards.write(out / "html" / "cards", [run for run, _ in found], recipes)


def _executed(folder: Path, names: list[str]) -> dict[str, dict]:
    pages = {name: load_executed(folder / f"{name}.ipynb") for name in names}
    return {name: page for name, page in pages.items() if page}


def _profiles(book: Path, pages: dict[str, dict]) -> tuple[str, ...]:
    """The profiles whose runs are looked for: the paper's, the pages', and that of the live elements."""
    used = [page["metadata"]["gonlib"]["profile"] for page in pages.values()]
    return tuple(name for name in dict.fromkeys(["paper", *used, "quick"]) if (book / "profiles" / f"{name}.yml").is_file())


def _links_runs(page: dict) -> bool:
    return 'a class=\\"number\\"' in json.dumps(page["cells"])


def _digest(root: Path, source: Path) -> str:
    """A digest of all that Jupyter Book makes pages from: sources, configuration, docstrings, its own version."""
    digest = hashlib.sha256(f"{importlib.metadata.version('jupyter-book')} {sys.version}".encode())
    inputs = [root / "_config.yml", *sorted(source.rglob("*")), *sorted(PACKAGE.rglob("*.py")),
              *sorted((root / "book" / "profiles").glob("*.yml"))]
    for path in (path for path in inputs if path.is_file()):
        digest.update(f"{path}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def readable(path: Path, executed: Path) -> dict:
    """The notebook at `path` as a page: outputs from `executed` if that was made from it, and what made them, in words.

    A page whose execution failed, or that was not executed, says so under its title.
    """
    page = load_executed(executed) or {}
    about = page["metadata"]["gonlib"] if page else {}
    if about.get("source") != source_digest(path):
        page, about = without_outputs(load_source(path)), {}
    kept = {name: value for name, value in page["metadata"].items() if name in ("kernelspec", "language_info")}
    page["metadata"] = {"language_info": {"name": "python"}} | kept  # no path of this machine
    page["cells"] = without_error_notes(page)
    if not about:
        _under_title(page, "warning", "This page was not executed in this build: its code is shown without results.")
    elif about["fault"]:
        _under_title(page, "error", f"This page is not complete: {code_span(about['fault'])}")
    for cell in page["cells"]:
        tags = cell["metadata"].get("tags", [])
        _made_accessible(cell)
        _captioned(cell)
        if "injected-parameters" in tags:
            cell["metadata"]["tags"] = [*tags, "remove-cell"]  # from the page, not from the notebook it offers
        elif about and not about["fault"] and _draws_nothing(cell):
            cell["metadata"]["tags"] = [*tags, "remove-cell"]
        elif "parameters" in tags:
            cell["metadata"]["tags"] = [*tags, "hide-input"]
            cell["metadata"]["mystnb"] = {"code_prompt_show": "parameters", "code_prompt_hide": "hide the parameters"}
    _name_downloads(page["cells"], path.stem)
    if about:
        page["cells"].insert(_place_of_parameters(page["cells"]), _markdown(_made_with(about, _runs_in_words(page))))
    return page


def _draws_nothing(cell: dict) -> bool:
    """Whether a cell's picture has nothing to show: of runs that are not recorded there is none."""
    return not cell.get("outputs", True) and bool(re.search(DRAWING, "".join(cell["source"]), re.MULTILINE))


def _place_of_parameters(cells: list[dict]) -> int:
    """Where a page says what it was made with: behind what it says in short, or else behind its parameters."""
    marks = [i for i, cell in enumerate(cells) if 'class=\\"admonition in-short' in json.dumps(cell.get("outputs", []))]
    marks += [i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
    return marks[0] + 1 if marks else len(cells)


def _made_accessible(cell: dict) -> None:
    """Say in a cell's HTML what its figure shows (as the cell's metadata say it), and what the heads of tables are for."""
    alt = html.escape(cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", ""))
    for data in (output.get("data", {}) for output in cell.get("outputs", [])):
        for kind in [kind for kind in data if kind.endswith("text/html")]:  # glued ones, too
            shown = "".join(data[kind])
            if alt:
                shown = shown.replace('role="img" class', f'role="img" aria-label="{alt}" class')
            data[kind] = re.sub("(?s)<table.*?</table>", lambda table: _scoped(table[0]), shown)


def _captioned(cell: dict) -> None:
    """Begin a caption with what it stands under, a table or a figure, which the name of the cell's figure says."""
    figure = cell["metadata"].get("mystnb", {}).get("figure", {})
    if figure and not re.match("Tables?|Figures?", figure["caption"]):
        kind = "Table" if figure["name"].startswith("table") else "Figure"
        figure["caption"] = f"**{kind}.** {figure['caption']}"


def _name_downloads(cells: list[dict], page: str) -> None:
    """Name the files that a page offers after it, and number those of one name."""
    seen: Counter = Counter()

    def named(found: re.Match) -> str:
        seen[found[1]] += 1
        number = f"-{seen[found[1]]}" if seen[found[1]] > 1 else ""
        return f'download="{page}-{found[1]}{number}.csv"'

    for data in (output.get("data", {}) for cell in cells for output in cell.get("outputs", [])):
        for kind in [kind for kind in data if kind.endswith("text/html")]:
            data[kind] = re.sub(r'(?<=<a class="download" )download="([\w-]+)\.csv"', named, "".join(data[kind]))


def _scoped(table: str) -> str:
    """A table of pandas whose heads say whether they stand above a column or before a row; empty ones are no heads."""
    table = re.sub(r"<th[^>]*>(\s|&nbsp;)*</th>", "<td></td>", table.replace(' halign="left"', ""))
    head, body = table.split("</thead>", 1) if "</thead>" in table else ("", table)
    return re.sub(r"<th\b(?![^>]*scope)", '<th scope="col"', head) + ("</thead>" if head else "") + re.sub(
        r"<th\b(?![^>]*scope)", '<th scope="row"', body)


def without_outputs(page: dict) -> dict:
    """A notebook without the outputs that somebody saved in it."""
    for cell in page["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return page


def _runs_in_words(page: dict) -> str:
    """Which of this build's runs are behind an executed notebook's numbers, in a few words."""
    if not _links_runs(page):
        return ""
    from ..runs import store  # here: it loads torch, which other pages do not need
    from . import runlist

    return runlist.in_words(page, store.local_store())


def _made_with(about: dict, runs: str = "") -> str:
    """What made a page: the profile, the `runs` behind its numbers, and the values of its parameters that say something."""
    values = [code_span(f"{name} = {value!r}") for name, value in about["values"].items()
              if name != "profile" and value not in (None, {}, "cpu")]  # None: left to the profile
    lines = [f"Made with profile {code_span(about['profile'])}{': ' if runs else ''}{runs}."]
    if values:
        lines.append(f"Parameters: {', '.join(values)}.")
    return "\n\n".join([":::{div} made-with", *lines]) + "\n:::"


def _under_title(page: dict, kind: str, text: str) -> None:
    """Put an admonition under the title, the first line of the first cell."""
    title, *rest = "".join(page["cells"][0]["source"]).split("\n")
    page["cells"][0]["source"] = "\n".join([title, "", f":::{{{kind}}}", text, ":::", *rest])


def _markdown(text: str) -> dict:
    return {"cell_type": "markdown", "id": "made-with", "metadata": {}, "source": text}


def code_span(text: str) -> str:
    """Text as a code span of Markdown, whatever is in it: nothing of it is markup, and it stays on one line."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {' '.join(text.split())} {fence}"


def modules(wing: str, first: Sequence[str] = ()) -> str:
    """Markdown that documents each file of a wing of the library, under a heading of its own, some `first`."""
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
             for path in sorted((PACKAGE / wing).rglob("[a-z]*.py"))]
    leading = [f"{PACKAGE.name}.{wing}.{name}" for name in first]
    ordered = leading + [name for name in names if name not in leading]
    return "\n".join(f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n" for name in ordered)


def _jupyter_book(root: Path, source: Path, out: Path) -> tuple[list[str], bool]:
    """Run Jupyter Book, warnings being faults, and put the pages at `out`/html; the faults, and whether there are pages."""
    work, log = out / "jupyter-book", out / "jupyter-book.log"
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source),
               "--path-output", str(work), "--config", str(root / "_config.yml"), "--toc", str(source / "_toc.yml"),
               "-n", "-W", "--keep-going"]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          encoding="utf-8", errors="replace", env=environment(), check=False)
    text = re.sub("\x1b\\[[0-9;]*m", "", done.stdout).replace(f"{source}{os.sep}", "")
    log.write_text(text, encoding="utf-8")
    faults = re.findall(r"^.*(?:WARNING|ERROR): .*(?:raised:\n.*)?", text, re.MULTILINE)
    if done.returncode and not faults:
        faults = [f"Jupyter Book could not build the pages; see {log}."]
    made = work / "_build" / "html"
    built = (made / "index.html").is_file()
    if built:
        first = re.search(r"^root: *(\S+)", (source / "_toc.yml").read_text(encoding="utf-8"), re.MULTILINE)
        if first and (made / f"{first[1]}.html").is_file():  # in place of a page that only leads there
            shutil.copy(made / f"{first[1]}.html", made / "index.html")
        shutil.rmtree(out / "html", ignore_errors=True)
        os.replace(made, out / "html")
        shutil.rmtree(work)
    return faults, built
