"""A Sphinx extension for the pages about the library: docstrings as they are written, text with `code` in it.

Napoleon reads their sections (Args, Returns, ...); what is left to do is that no other sign is taken for markup.
"""

import re
from typing import Any

SIGNS = re.compile(r"(^ *\* )|([\\*|]|_(?=\W|$))", re.MULTILINE)  # a bullet, which stays; signs that could be markup


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.setup_extension("sphinx.ext.napoleon")
    # before napoleon, which writes markup of its own
    app.connect("autodoc-process-docstring", _prepare, priority=400)
    return {"parallel_read_safe": True}


def _prepare(app, what, name, obj, options, lines):
    escape(lines)
    if what in ("property", "attribute") and ": " in lines[0]:  # napoleon would take what stands before it for a type
        lines[:1] = lines[0].replace(": ", ":\n", 1).split("\n")


def escape(lines: list[str]) -> None:
    """Change docstring lines in place into safe reStructuredText: code spans as literals, other signs escaped."""
    parts = re.split(r"`+([^`]*)`+", "\n".join(lines))
    text = [SIGNS.sub(lambda sign: sign[1] or "\\" + sign[2], part) for part in parts[::2]]
    code = [f"\\ ``{part}``\\ " if part.strip() else "" for part in parts[1::2]] + [""]
    lines[:] = "".join(a + b for a, b in zip(text, code, strict=True)).replace("\n\\ ``", "\n``").split("\n")
