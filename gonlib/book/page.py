"""What holds in every page, whoever executes it: the build, papermill or Jupyter.

Pictures are in the page, drawn in the book's style and not the reader's, whatever names stand in them; and a parameter that
the page does not have is refused. (Papermill only warns, and the page would be made with the default in place of what was
asked for.)
"""

import ast
import sys
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

from ..errors import unknown
from ..study.parameters import refuse_twice

HEAD = "# Parameters\n"  # how papermill begins the cell that it puts behind the page's own parameters
SET_TEXT = Text.set_text


def begin() -> Any:
    """Do what a page needs before anything else; outside a notebook only matplotlib's settings are put back.

    Returns:
        The notebook's IPython shell, or None outside a notebook.

    Raises:
        UserError: If the page was given a parameter that it does not have.
    """
    plt.rcdefaults()  # without the reader's matplotlibrc
    Text.set_text = lambda self, text: SET_TEXT(self, drawable(text))
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        return None
    shell.run_line_magic("matplotlib", "inline")  # whatever MPLBACKEND says
    cells = shell.user_ns["In"]  # those executed so far
    for number, cell in enumerate(cells):
        refuse_unknown(cells[:number], cell)
    if not any(isinstance(function, Watch) for function in shell.input_transformers_post):
        shell.input_transformers_post.append(Watch(shell.user_ns))
    return shell


def drawable(text: object) -> object:
    """A text for Matplotlib: dollars with no mathematics between them, as in a folder's name, are only dollars."""
    return "\n".join(map(_drawable_line, text.split("\n"))) if isinstance(text, str) else text


def _drawable_line(line: str) -> str:
    if line.count("$") < 2:
        return line
    try:
        MathTextParser("path").parse(line)
    except ValueError:
        return line.replace("$", r"\$")
    return line


class Watch:
    """Looks at each cell before it is executed; `refuse_unknown` may end it."""

    def __init__(self, names: dict) -> None:
        self.names = names

    def __call__(self, lines: list[str]) -> list[str]:
        """IPython calls this with the lines of a cell, and executes those that it gives back."""
        refuse_unknown(self.names["In"], "".join(lines))
        return lines


def refuse_unknown(before: list[str], cell: str) -> None:
    """Refuse a cell of injected parameters that assigns a name which none of the cells `before` it has assigned.

    Refused, too, is one of the page's parameters within its `overrides`.

    Raises:
        UserError: Naming the parameter, and those that are like it.
    """
    if not cell.startswith(HEAD):
        return
    known = assigned(before)
    for name in assigned([cell]):
        if name not in known:
            raise unknown("parameter", name, assigned(before[-1:]))
    for node in ast.parse(cell).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "overrides" and isinstance(node.value, ast.Dict):
            refuse_twice({key.value: None for key in node.value.keys if isinstance(key, ast.Constant)}, known)


def assigned(cells: Iterable[str]) -> list[str]:
    """The names that cells of Python assign at their top level."""
    names = []
    for cell in cells:
        try:
            body = ast.parse(cell).body
        except (SyntaxError, ValueError):
            continue
        targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
        names += [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return names
