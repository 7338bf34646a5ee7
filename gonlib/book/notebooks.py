"""The book's notebooks: which are executed with which parameters, checked before any kernel starts."""

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError, unknown
from ..study.parameters import example_of, read, refuse_twice, split_names
from ..study.profiles import ALIASES, load_profile, parameters


@dataclass
class Notebook:
    """A notebook of the book with the parameters it will be executed with."""

    path: Path
    declared: dict[str, Any]  # name -> default, read from the cell tagged `parameters`
    values: dict[str, Any] = field(default_factory=dict)  # name -> value, for each declared name
    after: list[str] = field(default_factory=list)  # names of notebooks whose runs it shows: it starts when they are done

    name = property(lambda self: self.path.stem)  # 04-table1
    key = property(lambda self: key_of(self.path.stem))  # table1: its group in a profile


def key_of(name: str) -> str:
    """The profile group of a page: its file name without the number."""
    number, _, key = name.partition("-")
    return key if number.isdigit() else name


def plan(book: Path, profile: str, params: Iterable[tuple[str, str]] = (), names: Sequence[str] = (),
         device: str | None = None) -> list[Notebook]:
    """The `Notebook`s to execute, in the book's order, each with its parameter values.

    A value comes from, in rising order: the notebook's own default, the profile's `common` group, the group named
    like the notebook, `device`, and `params`, pairs (name, text) that go to every notebook declaring that name.
    """
    groups = load_profile(profile)
    written = {path.stem: path for name in toc_names(book) for path in book.glob(f"{name}.*")
               if path.suffix in (".ipynb", ".md")}
    asked = {_page_name(name, written) for name in names} or set(written)
    chosen = [Notebook(path, declared(path), after=_after(path)) for name, path in written.items()
              if name in asked and path.suffix == ".ipynb"]
    every = sorted({name for notebook in chosen for name in notebook.declared})
    for name, _ in params:
        if name not in every and ALIASES.get(name) not in every:
            raise unknown("parameter", name, every)
    fixed = {"profile": profile} | ({"device": device} if device else {})
    for notebook in chosen:
        notebook.values = _values(notebook, groups, fixed, params)
        if params:
            _try(notebook, profile, {ALIASES.get(name, name) for name, _ in params} | {name for name, _ in params})
    return chosen


def _values(notebook, groups, fixed, params):
    """Name -> value of all parameters that the notebook declares; `UserError` for a value that is not allowed."""
    known = notebook.declared
    overrides = {name: value for name, value in fixed.items() if name in known}
    for name, text in params:
        name = name if name in known else ALIASES.get(name)
        if name in known:
            as_profile = known[name] is None and text == "None"  # so papermill reads it, too
            overrides[name] = None if as_profile else read(name, text, example_of(name, known[name]))
    # a group may also set parameters of the experiment that the notebook leaves to the profile
    mine = {name: value for name, value in groups.get(notebook.key, {}).items() if name in known}
    values = parameters(groups | {notebook.key: mine}, notebook.key, overrides, known)
    for name, value in values.items():
        _check(name, value, known[name])
    return values


def _try(notebook, profile, names):
    """`UserError` if the experiments of a page cannot take the values of some of its parameters."""
    from ..study.registry import EXPERIMENTS  # here: it loads torch, which building the pages alone does not need

    given = {name: value for name, value in notebook.values.items() if name in names and value is not None}
    more = given.pop("overrides", {})
    refuse_twice(more, notebook.declared)
    mine = [e for name, e in EXPERIMENTS.items() if name == notebook.key or name.startswith(f"{notebook.key}-")]
    known = {name for e in mine for name in e.parameters}
    for name in more:
        if mine and name not in known:
            raise unknown("parameter in overrides", name, known)
    for e in mine:
        e.expand(profile, **{name: value for name, value in (given | more).items() if name in e.parameters})


def toc_names(book: Path) -> list[str]:
    """Names of the book's pages in order, the landing page first."""
    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))

    def below(entries):
        return [name for entry in entries for name in (entry["file"], *below(entry.get("sections", [])))]

    return [toc["root"], *below(chapter for part in toc["parts"] for chapter in part["chapters"])]


def _page_name(name, known):
    """The page that a user means by its name or its key; `UserError` if there is none or it is not a notebook."""
    name = name.removesuffix(".ipynb")
    names = {page: page for page in known} | {key_of(page): page for page in known}
    if name not in names:
        raise unknown("notebook", name, [page for page in known if known[page].suffix == ".ipynb"])
    if known[names[name]].suffix != ".ipynb":
        raise UserError(f"page {names[name]} is not a notebook: there is nothing to execute.")
    return names[name]


def declared(path: Path) -> dict[str, Any]:
    """Name -> default of each parameter that a notebook's cell tagged `parameters` assigns."""
    found = {}
    for cell in load_source(path)["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            try:
                for node in ast.parse("".join(cell["source"])).body:
                    found[node.targets[0].id] = ast.literal_eval(node.value)
            except (SyntaxError, ValueError, AttributeError) as fault:
                raise UserError(f"the cell tagged `parameters` in {path.name} may hold only lines like `size = 32`: a "
                                "name and a value written out.") from fault
    return found


def _after(path: Path) -> list[str]:
    """What the field `after` of a notebook's metadata names; "all": every other one that does not say "all" itself."""
    named = _named_after(path)
    if named == "all":
        return [p.stem for p in path.parent.glob("[!.]*.ipynb") if _named_after(p) != "all"]
    return named


def _named_after(path):
    return load_source(path).get("metadata", {}).get("after", [])


def _check(name, value, default):
    """`UserError` if the value is not one that a run could have under this name, or a page in place of its `default`."""
    from ..data.registry import check_name
    from ..training.config import Config, check_field  # here: they load torch, which building the pages alone does not need
    from ..training.forms import check_device

    known = Config.__dataclass_fields__.get(name)
    if name.endswith(("dataset", "datasets")) and value is not None:
        for one in split_names(value):
            check_name(one)
    elif name == "device":
        check_device(value)
    elif known and value is not None:
        for one in value if isinstance(value, list) else [value]:
            check_field(known, one)
    elif type(default) in (int, float) and value <= 0 < default:
        raise UserError(f"parameter {name} must be greater than 0, not {value}.")


# --- the files ---


def load_source(path: Path) -> dict:
    """A notebook as it is written in the book; `UserError` if it is none."""
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(cell["source"], str | list) for cell in page["cells"]):
            raise ValueError("a cell without text")
    except (ValueError, RecursionError, KeyError, TypeError) as fault:
        raise UserError(f"{path} is not a notebook; open it with Jupyter, or take it from git again.") from fault
    return page


def source_digest(path: Path) -> str:
    """A digest of a notebook's cells, to know whether what was executed is what is in the book now."""
    return _digest([[cell["cell_type"], "".join(cell["source"])] for cell in load_source(path)["cells"]])


def save_executed(page: dict, about: dict, path: Path) -> None:
    """Write an executed notebook with what is to be known `about` it, and with a digest of both."""
    page["metadata"]["gonlib"] = about
    page["metadata"]["gonlib-digest"] = _digest([about, page["cells"]])
    path.write_text(json.dumps(page, indent=1), encoding="utf-8")


def load_executed(path: Path) -> dict | None:
    """An executed notebook; None if there is none, or it is not as it was written: such a one is executed again."""
    try:
        page = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        whole = page["metadata"]["gonlib-digest"] == _digest([page["metadata"]["gonlib"], page["cells"]])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return page if whole else None


def about_executed(path: Path) -> dict:
    """What an executed notebook says of itself: profile, values, fault, source, used; empty if there is none."""
    page = load_executed(path)
    return page["metadata"]["gonlib"] if page else {}


def without_error_notes(page: dict) -> list[dict]:
    """The cells of an executed notebook without the two that papermill adds about an error."""
    return [cell for cell in page["cells"] if "papermill-error-cell-tag" not in cell["metadata"].get("tags", [])]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
