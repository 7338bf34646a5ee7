"""The book: which notebooks are executed with which parameters, then Jupyter Book's pages made from them."""

import ast
import fcntl
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..errors import UserError, unknown
from ..runs.provenance import repository_root
from ..study.profiles import ALIASES, load_profile, parameters, parse
from . import pages
from .execution import execute_all
from .timings import duration


@dataclass
class Notebook:
    """A notebook of the book with the parameters it will be executed with."""

    path: Path
    declared: dict  # name -> default, read from the cell tagged `parameters`
    values: dict = field(default_factory=dict)  # name -> value, for each declared name
    after: list = field(default_factory=list)  # names of notebooks whose runs it shows: it starts when they are done

    name = property(lambda self: self.path.stem)  # 04-table1
    key = property(lambda self: key_of(self.path.stem))  # table1: its group in a profile


def key_of(name):
    """The profile group of a page: its file name without the number."""
    number, _, key = name.partition("-")
    return key if number.isdigit() else name


def add_arguments(parser):
    """Declare the options of `python -m gonlib book` on an argparse parser."""
    parser.add_argument("--profile", default="quick", help="how much is run: smoke, quick or paper")
    parser.add_argument("--notebooks", default="", help='execute only these: "04-table1 02-gradient-origin-networks"')
    parser.add_argument("--device", help="cpu or cuda (default: what the profile says)")
    parser.add_argument("-p", dest="params", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="set a parameter in every notebook that has it")
    parser.add_argument("--no-execute", action="store_true", help="build the pages from what was executed last")
    parser.add_argument("--out", type=Path, help="build folder (default: build)")


def main(args):
    """Build the book as the command line asks; the exit code: 0, or 1 if a notebook or a page has a fault."""
    return build(args.profile, args.params, args.notebooks.split(), args.device, args.out, not args.no_execute)


def build(profile="quick", params=(), notebooks=(), device=None, out=None, execute=True):
    """Execute `notebooks` (none named: all) with a profile's parameters and `params`, then build the book.

    Returns 0, or 1 if a notebook failed or a page has a fault: the book is built all the same, and says so.
    Raises `UserError` for an unknown name or a wrong value before any kernel starts. Interrupted, it keeps every
    notebook that was finished, and every run that was trained.
    """
    root = repository_root()
    if root is None:
        raise UserError("the book's sources are not here; run this inside a checkout of the repository.")
    out = Path(out or root / "build").absolute()
    chosen = plan(root / "book", profile, params, notebooks, device) if execute else []
    began, runs = time.monotonic(), _runs()
    with _alone(out):
        failed = execute_all(chosen, profile, root, out)
        print("Building the pages ...", flush=True)
        faults = pages.build(root, out, toc_names(root / "book"))
    _report(out, profile, chosen, _runs() - runs, runs, failed, faults, time.monotonic() - began)
    return 1 if failed or faults else 0


@contextmanager
def _alone(out):
    """Hold the build folder; `UserError` if another process is building there."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "book.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise UserError(f"another process is building the book in {out}; wait for it, or choose --out.") from fault
        yield


# --- what will be executed, checked before any kernel starts ---


def plan(book, profile, params=(), names=(), device=None):
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
    return chosen


def _values(notebook, groups, fixed, params):
    """Name -> value of all parameters that the notebook declares; `UserError` for a value that is not allowed."""
    known = notebook.declared
    overrides = {name: value for name, value in fixed.items() if name in known}
    for name, text in params:
        name = name if name in known else ALIASES.get(name)
        if name in known:
            overrides[name] = parse(name, text, known[name])
    # a group may also set parameters of the experiment that the notebook leaves to the profile
    mine = {name: value for name, value in groups.get(notebook.key, {}).items() if name in known}
    values = parameters(groups | {notebook.key: mine}, notebook.key, overrides, known)
    for name, value in values.items():
        _check(name, value)
    return values


def toc_names(book):
    """Names of the book's pages in order, the landing page first."""
    toc = yaml.safe_load((book / "_toc.yml").read_text())
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def _page_name(name, known):
    """The page that a user means by its name or its key; `UserError` if there is none or it is not a notebook."""
    name = name.removesuffix(".ipynb")
    names = {page: page for page in known} | {key_of(page): page for page in known}
    if name not in names:
        raise unknown("notebook", name, [page for page in known if known[page].suffix == ".ipynb"])
    if known[names[name]].suffix != ".ipynb":
        raise UserError(f"page {names[name]} is not a notebook: there is nothing to execute.")
    return names[name]


def declared(path):
    """Name -> default of each parameter that a notebook's cell tagged `parameters` assigns."""
    found = {}
    for cell in json.loads(path.read_text())["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            try:
                for node in ast.parse("".join(cell["source"])).body:
                    found[node.targets[0].id] = ast.literal_eval(node.value)
            except (SyntaxError, ValueError, AttributeError) as fault:
                raise UserError(f"the cell tagged `parameters` in {path.name} may hold only lines like `size = 32`: a "
                                "name and a value written out.") from fault
    return found


def _after(path):
    """What the field `after` of a notebook's metadata names; "all": every other one that does not say "all" itself."""
    named = _named_after(path)
    if named == "all":
        return [p.stem for p in path.parent.glob("[!.]*.ipynb") if _named_after(p) != "all"]
    return named


def _named_after(path):
    return json.loads(path.read_text(encoding="utf-8"))["metadata"].get("after", [])


def _check(name, value):
    """`UserError` if the value is not one that a run could have under this name."""
    from ..data.datasets import NAMES, known_dataset
    from ..runs.store import check_device
    from ..study.registry import split_names
    from ..training.config import Config, check_field  # here: they load torch, which building the pages alone does not need

    known = Config.__dataclass_fields__.get(name)
    if name in ("dataset", "datasets") and value is not None:
        for one in split_names(value):
            if not known_dataset(one):
                raise unknown("data set", one, [*NAMES, "folder:PATH"])
    elif name == "device":
        check_device(value)
    elif known and value is not None:
        for one in value if isinstance(value, list) else [value]:
            check_field(known, one)


# --- the last words ---


def _runs():
    """Names of the finished runs in the store that the notebooks use."""
    from ..runs.store import local_store

    return {path.name for path in local_store().root.glob("[0-9a-f]" * 16)}


def _report(out, profile, executed, trained, found, failed, faults, seconds):
    """Print what was run, what failed, how long it took, and where the book is."""
    for line in [*faults, *(f"{name}: {fault}" for name, fault in failed.items())]:
        print(f"FAULT: {line}")
    if executed:
        devices = sorted({str(n.values["device"]) for n in executed if "device" in n.values}) or ["cpu"]
        print(f"Executed {_count(executed, 'notebook')} (profile {profile}, {', '.join(devices)}): "
              f"{_count(trained, 'run')} trained now, {len(found)} already in the store.")
    print(f"The book is at {out / 'html' / 'index.html'} ({duration(seconds)}).")


def _count(items, word):
    return f"{len(items)} {word}{'s' * (len(items) != 1)}"

