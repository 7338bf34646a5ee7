"""The command `python -m gonlib book`: execute what has changed, build the pages, say where the book is."""

import argparse
import os
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .. import files
from ..errors import UserError, duration
from ..runs.provenance import repository_root
from ..runs.store import local_store
from . import pages, serve, used
from .execution import Execution
from .notebooks import Notebook, about_executed, plan, toc_names

MARK = ".gonlib-book"  # in a build folder: what lies there under the names below was made by a build
OURS = ("html", "notebooks", "running", "book-src", "jupyter-book", "jupyter-book.log", "pages.json", "timings.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m gonlib book` on an argparse parser."""
    parser.add_argument("--profile", default="quick", help="how much is run: smoke, quick or paper")
    parser.add_argument("--notebooks", default="", help='execute only these: "04-table1 02-gradient-origin-networks"')
    parser.add_argument("--device", help="cpu or cuda (default: what the profile says)")
    parser.add_argument("-p", dest="params", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="set a parameter in every notebook that has it")
    parser.add_argument("--no-execute", action="store_true", help="build the pages from what was executed last")
    parser.add_argument("--out", help="build folder (default: build)")
    parser.add_argument("--serve", metavar="PORT", help="then show the book on http://localhost:PORT until Ctrl-C")
    parser.add_argument("--from-make", action="store_true", help=argparse.SUPPRESS)  # make's variables, see below
    parser.set_defaults(parser=parser)


def main(args: argparse.Namespace) -> int:
    """Build the book as the command line asks; the exit code: 0, or 1 if a notebook or a page has a fault."""
    if args.from_make:
        args = args.parser.parse_args(_words_of_make(), args)
    if args.out == "":
        raise UserError("--out is a folder to build in; it cannot be empty.")
    with serve.reserved(args.serve) as server:
        code = build(args.profile, args.params, args.notebooks.split(), args.device, args.out, not args.no_execute)
        if server:
            serve.until_stopped(server, _folder(args.out) / "html")
    return code


def _words_of_make() -> list[str]:
    """The options that make's variables stand for, exactly as they were typed: no shell has read them on the way here."""
    given = {name: os.environ.get(f"GONLIB_MAKE_{name}", "") for name in ("PROFILE", "NOTEBOOKS", "DEVICE", "PARAMS")}
    try:
        words = shlex.split(given.pop("PARAMS"))
    except ValueError as fault:
        raise UserError("a quote in PARAMS has no partner.") from fault
    return [f"--{name.lower()}={value}" for name, value in given.items() if value] + words


def build(profile: str = "quick", params: Iterable[tuple[str, str]] = (), notebooks: Sequence[str] = (),
          device: str | None = None, out: str | Path | None = None, execute: bool = True) -> int:
    """Execute those of `notebooks` (none named: all) that have changed, then build the book.

    Args:
        profile: Gives the notebooks' parameters.
        params: Pairs (name, text) that override them in every notebook that has the parameter.
        notebooks: Names or keys of notebooks.
        device: Where to train; by default where the profile says.
        out: The build folder; by default `build` in the repository.
        execute: False: only build the pages from what was executed last.

    Returns:
        0, or 1 if a notebook failed or a page has a fault: the book is built all the same, and says so.

    Raises:
        UserError: For an unknown name or a wrong value, before any kernel starts. Interrupted, every notebook that was
            finished and every run that was trained is kept.
    """
    root = repository_root()
    if root is None:
        raise UserError("the book's sources are not here; run this inside a checkout of the repository.")
    out = _folder(out)
    chosen = plan(root / "book", profile, params, notebooks, device) if execute else []
    began, runs = time.monotonic(), _runs()
    with _held(out):
        execution = Execution(profile, root, out)
        execution.run(chosen)
        for line in _summary(profile, chosen, execution.executed, _runs() - runs, runs):
            print(line, flush=True)
        faults, built = pages.build(root, out, toc_names(root / "book"))
    for line in [*faults, *(f"{name}: {fault}" for name, fault in execution.failed.items())]:
        print(f"FAULT: {line}")
    book = out / "html" / "index.html"
    if built:
        print(f"The book is at {book} ({duration(time.monotonic() - began)}).")
    elif book.is_file():
        print(f"The book as it was built before is still at {book}.")
    return 1 if execution.failed or faults else 0


def notebook_names() -> list[str]:
    """The book's notebooks, by their file names; none outside a checkout."""
    book = (repository_root() or Path.cwd()) / "book"
    return [path.stem for path in sorted(book.glob("[!.]*.ipynb"))]


def why(names: Sequence[str], profile: str = "quick", params: Iterable[tuple[str, str]] = (),
        device: str | None = None) -> Iterator[str]:
    """For each notebook a sentence: why `build` would execute it again with these parameters, or that it would not."""
    root = repository_root()
    for notebook in plan(root / "book", profile, params, names, device):
        about = about_executed(_folder(None) / "notebooks" / notebook.path.name)
        reasons = used.changes(notebook, about, root)
        yield f"{notebook.name}: {'; '.join(reasons) if reasons else 'nothing that it uses has changed'}."


def _folder(out: str | Path | None) -> Path:
    return Path(out).expanduser().absolute() if out else Path(repository_root() or ".").absolute() / "build"


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold the build folder for this process alone.

    Raises:
        UserError: If another process builds there, or something lies in the way that no build made: nothing is deleted.
    """

    def waiting():
        raise UserError(f"another process is building the book in {out}; wait for it, or choose --out.")

    if out.exists() and not (out / MARK).exists() and not (out / "book.lock").exists():  # book.lock: of older versions
        foreign = [name for name in OURS if os.path.lexists(out / name)]
        if foreign:
            raise UserError(f"{out} holds {', '.join(foreign)}, which no build made: choose another folder by --out.")
    with files.locked(out, waiting):
        (out / MARK).touch()
        yield


def _runs() -> set[str]:
    """Names of the runs in the store that the notebooks use."""
    return {path.name for path in local_store().root.glob("[0-9a-f]" * 16)}


def _summary(profile: str, chosen: list[Notebook], executed: list[Notebook], trained: set, found: set) -> Iterator[str]:
    """What was executed and what was not, in one sentence each."""
    if executed:
        devices = sorted({str(n.values["device"]) for n in executed if "device" in n.values}) or ["cpu"]
        yield (f"Executed {_count(executed, 'notebook')} (profile {profile}, {', '.join(devices)}): "
               f"{_count(trained, 'run')} trained now, {len(found)} already in the store.")
    same = len(chosen) - len(executed)
    if same:
        yield (f"Not executed again, for nothing that they use has changed: {same} of {_count(chosen, 'notebook')}.")


def _count(items, word: str) -> str:
    return f"{len(items)} {word}{'s' * (len(items) != 1)}"
