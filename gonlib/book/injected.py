"""Parameters that papermill injects into a page: one that the page does not have is refused, not ignored.

Papermill itself only warns, and the page would be made with the default in place of what was asked for.
"""

import ast
import sys
from collections.abc import Iterable

from ..errors import unknown

HEAD = "# Parameters\n"  # how papermill begins the cell that it puts behind the page's own parameters


def watch() -> None:
    """From now on refuse a cell of injected parameters with a name that the page does not have; cells run so far too.

    Raises:
        UserError: If such a cell has run already.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or any(getattr(f, "__name__", "") == "refuse_unknown" for f in shell.input_transformers_post):
        return

    def cells():
        return list(shell.user_ns.get("In", []))

    def refuse_unknown(lines):
        check(cells(), "".join(lines))
        return lines

    shell.input_transformers_post.append(refuse_unknown)
    for number, cell in enumerate(cells()):
        check(cells()[:number], cell)


def check(before: list[str], cell: str) -> None:
    """Refuse a cell of injected parameters that assigns a name which none of the cells `before` it has assigned.

    Raises:
        UserError: Naming the parameter, and those that are like it.
    """
    if not cell.startswith(HEAD):
        return
    known = assigned(before)
    for name in assigned([cell]):
        if name not in known:
            raise unknown("parameter", name, assigned(before[-1:]))


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
