"""The book's pages: executed notebooks made readable, the API page, and Jupyter Book run over them."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
WINGS = "method data training runs study book bench".split()  # the order of the API page


def build(root, out, names):
    """Build `out`/html from `root`/book and the notebooks executed in `out`/notebooks; sentences on what is wrong.

    `names` are the book's pages. Pages with faults are built too; without faults the list is empty.
    """
    source = out / "book-src"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "book", source, ignore=shutil.ignore_patterns("profiles", ".ipynb_checkpoints"))
    for name in names:
        if (root / "book" / f"{name}.ipynb").is_file():
            page = readable(root / "book" / f"{name}.ipynb", out / "notebooks" / f"{name}.ipynb")
            (source / f"{name}.ipynb").write_text(json.dumps(page, indent=1))
    for path in source.glob("*.md"):
        text = path.read_text().replace("<!-- modules -->", api_sections())
        if "<!-- runs -->" in text:
            text = text.replace("<!-- runs -->", _runs_section(out, names))
        path.write_text(text)
    return _jupyter_book(root, source, out)


def _runs_section(out, names):
    """The page of runs: those that numbers in the executed notebooks link to."""
    from ..runs import store  # here: they load torch, which building other pages does not need
    from . import runlist

    executed = [out / "notebooks" / f"{name}.ipynb" for name in names]
    return runlist.section([p for p in executed if p.is_file()], [store.local_store(), store.recorded_store()])


def source_digest(path):
    """A digest of a notebook's cells, to know whether what was executed is what is in the book now."""
    cells = json.loads(path.read_text())["cells"]
    text = json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in cells])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def readable(path, executed):
    """The notebook at `path` as a page: outputs from `executed` if that was made from it, and what made them, in words.

    A page whose execution failed, or that was not executed, says so under its title.
    """
    page = json.loads(executed.read_text()) if executed.is_file() else {"metadata": {}}
    about = page["metadata"].get("gonlib", {})
    if about.get("source") != source_digest(path):
        page, about = json.loads(path.read_text()), {}
    page["metadata"].setdefault("language_info", {"name": "python"})
    page["cells"] = without_error_notes(page)
    if not about:
        _under_title(page, "warning", "This page was not executed in this build: its code is shown without results.")
    elif about["fault"]:
        _under_title(page, "error", f"This page is not complete: {_code(about['fault'])}")
    cells = []
    for cell in page["cells"]:
        tags = cell["metadata"].get("tags", [])
        cells.append(cell)
        if "injected-parameters" in tags:
            cell["metadata"]["tags"] = [*tags, "remove-cell"]  # from the page, not from the notebook it offers
        elif "parameters" in tags:
            cell["metadata"]["tags"] = [*tags, "hide-input"]
            cell["metadata"]["mystnb"] = {"code_prompt_show": "Parameters and their defaults",
                                          "code_prompt_hide": "Hide the parameters"}
            if "values" in about:
                cells.append(_markdown(_made_with(about)))
    page["cells"] = cells
    return page


def without_error_notes(page):
    """The cells of an executed notebook without the two that papermill adds about an error."""
    return [cell for cell in page["cells"] if "papermill-error-cell-tag" not in cell["metadata"].get("tags", [])]


def code_cell_number(page, index):
    """Which code cell of the notebook that was executed its cell `index` is, counted from 1."""
    cells = without_error_notes(page)[: index + 1]
    return sum(cell["cell_type"] == "code" and "injected-parameters" not in cell["metadata"].get("tags", [])
               for cell in cells)


def _made_with(about):
    """One line for a page: the profile and the values of its parameters."""
    values = [f"`{name} = {value!r}`" for name, value in about["values"].items()
              if name != "profile" and value is not None]  # None: left to the profile
    return f":::{{div}} made-with\nMade with profile `{about['profile']}`{': ' if values else ''}{', '.join(values)}\n:::"


def _under_title(page, kind, text):
    """Put an admonition under the title, the first line of the first cell."""
    title, *rest = "".join(page["cells"][0]["source"]).split("\n")
    page["cells"][0]["source"] = "\n".join([title, "", f":::{{{kind}}}", text, ":::", *rest])


def _markdown(text):
    return {"cell_type": "markdown", "id": "made-with", "metadata": {}, "source": text}


def _code(text):
    """Text as a code span, whatever backticks are in it."""
    return f"``` {text} ```"


def api_sections():
    """Markdown for the API page: a section for each file of the library that is there."""
    modules = [f"{'.'.join(path.relative_to(PACKAGE).with_suffix('').parts)}" for wing in WINGS
               for path in sorted((PACKAGE / wing).rglob("[a-z]*.py"))]
    return "\n".join(f"## gonlib.{name}\n\n```{{eval-rst}}\n.. automodule:: gonlib.{name}\n   :members:\n```\n"
                     for name in modules)


def _jupyter_book(root, source, out):
    """Run Jupyter Book, warnings being faults, and put the pages at `out`/html; the faults, one sentence each."""
    work, log = out / "jupyter-book", out / "jupyter-book.log"
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source),
               "--path-output", str(work), "--config", str(root / "_config.yml"), "--toc", str(source / "_toc.yml"),
               "-n", "-W", "--keep-going"]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL)
    text = re.sub("\x1b\\[[0-9;]*m", "", done.stdout).replace(f"{source}{os.sep}", "")
    log.write_text(text)
    faults = re.findall(r"^.*(?:WARNING|ERROR): .*(?:raised:\n.*)?", text, re.MULTILINE)
    if done.returncode and not faults:
        faults = [f"Jupyter Book could not build the pages; see {log}."]
    made = work / "_build" / "html"
    if (made / "index.html").is_file():
        shutil.rmtree(out / "html", ignore_errors=True)
        os.replace(made, out / "html")
        shutil.rmtree(work)
    return faults


# --- Sphinx loads this file as an extension, to read docstrings as they are written: plain text with `code` in it ---


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", lambda app, what, name, obj, options, lines: _as_rst(lines))
    return {"parallel_read_safe": True}


def _as_rst(lines):
    """Change docstring lines in place into safe reStructuredText: code spans as literals, other signs escaped."""
    parts = re.split(r"`+([^`]*)`+", "\n".join(lines))
    text = [re.sub(r"([\\*_|])", r"\\\1", part) for part in parts[::2]]
    code = [f"\\ ``{part}``\\ " if part.strip() else "" for part in parts[1::2]] + [""]
    lines[:] = "".join(a + b for a, b in zip(text, code, strict=True)).replace("\n\\ ``", "\n``").split("\n")
