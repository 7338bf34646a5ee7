"""Shared by the tests: a small book to try the pipeline on, and the real book, built once with the smoke profile."""

import functools
import gc
import math
import os
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import jaxtyping
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
# Types and shapes are checked in the tests, and only there: each array that a function takes or gives. Configurations hold
# none, check themselves, and are made by the thousand.
UNCHECKED = "GONLIB_UNCHECKED"
CHECKED = {f"gonlib.{path.parent.name}.{path.stem}" for wing in ("method", "data", "training", "runs")
           for path in (ROOT / "gonlib" / wing).glob("[!_]*.py")} - {"gonlib.training.config"}
if UNCHECKED not in os.environ:
    jaxtyping.install_import_hook(sorted(CHECKED), "typechecker.check")

os.environ.setdefault("OMP_NUM_THREADS", "1")
gc.disable()  # while modules are imported there is nothing to collect, and looking for it takes seconds


def pytest_collection_finish():
    """What has been imported stays: no later collection need look at it."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def checks(request):
    """Switches those checks off in a test marked `unchecked`: bad input then reaches the library, as a user's does."""
    off = request.node.get_closest_marker("unchecked") is not None
    jaxtyping.config.update("jaxtyping_disable", off)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def listed_as_slow():
    """(test, from which of its parameters) for each line of slow.txt."""
    lines = (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            test, _, rest = line.partition(" ")
            yield f"tests/{test}", 1 if rest else 0


def pytest_collection_modifyitems(config, items):
    """Slow is what looks at the whole book, which somebody has to build first, and what slow.txt lists.

    Nightly tests run only with -m nightly.
    """
    if "nightly" not in (config.option.markexpr or ""):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("nightly")])
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]
    slow, seen = dict(listed_as_slow()), Counter()
    for item in items:
        test = item.nodeid.partition("[")[0]
        if "smoke_book" in item.fixturenames or seen[test] >= slow.get(test, math.inf):
            item.add_marker("slow")
        seen[test] += 1


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Tests marked `traced` run in a process of their own that never had those checks: torch.compile cannot see through."""
    if UNCHECKED in os.environ or not pyfuncitem.get_closest_marker("traced"):
        return None
    passed, printed = unchecked(pyfuncitem.nodeid.partition("[")[0])
    assert passed, printed
    return True


@functools.cache
def unchecked(test):
    """Whether a test passes in such a process, with all its parameters, and what pytest prints."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test], cwd=ROOT, text=True,
                          env=os.environ | {UNCHECKED: "1"}, capture_output=True)
    return done.returncode == 0, done.stdout + done.stderr


@dataclass
class Built:
    """A book as built: its pages' folder, what the command printed, its exit code."""

    html: Path
    printed: str
    code: int
    store: Path


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory):
    """The real book, from nothing, through the real command."""
    out = tmp_path_factory.mktemp("smoke")
    command = [sys.executable, "-m", "gonlib", "book", "--profile", "smoke", "--out", str(out / "build")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500,
                          env=os.environ | {"GONLIB_STORE": str(out / "store")})
    return Built(out / "build" / "html", done.stdout + done.stderr, done.returncode, out / "store")


def write_notebook(folder, name, parameters, *cells):
    """A notebook with a title, an equation, a parameters cell and code cells."""
    title = f"# The page {name}\n\nText.\n\n$$ x = 1 $$ (equation-{name})"
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[new_markdown_cell(title), tagged, *map(new_code_cell, cells)]),
                   folder / f"{name}.ipynb")


@pytest.fixture
def small_repository(tmp_path, monkeypatch):
    """A repository with a small book of its own, which gonlib.book takes for the one it is in."""
    book = tmp_path / "book"
    (book / "profiles").mkdir(parents=True)
    (tmp_path / "_config.yml").write_text((ROOT / "_config.yml").read_text())
    shutil.copytree(ROOT / "book" / "_static", book / "_static")  # the configuration names a file of it
    (book / "profiles" / "quick.yml").write_text("common: {device: cpu, latents: 5}\ngood: {latents: 6, word: group}\n")
    chapters = "".join(f"      - file: {name}\n" for name in ("01-good", "02-bad", "03-dead", "references"))
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: intro\nparts:\n  - numbered: 1\n    chapters:\n{chapters}")
    (book / "intro.md").write_text("# Intro\n\nCited: {cite:p}`gon`.\n")
    (book / "references.md").write_text((ROOT / "book" / "references.md").read_text())
    (book / "references.bib").write_text((ROOT / "book" / "references.bib").read_text())
    write_notebook(book, "01-good", "latents = 1\nrate = 0.5\nword = 'default'\nprofile = ''\ndevice = ''\nleft = None",
                   "import os, sys\nprint(sys.executable, os.getcwd())",
                   "print([latents, rate, word, profile, device])")
    write_notebook(book, "02-bad", "latents = 1", "1 + 1", "raise ValueError('first line\\nlast line')", "3")
    write_notebook(book, "03-dead", "latents = 1", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    for module in ("gonlib.book.build", "gonlib.study.profiles", "gonlib.runs.provenance"):
        monkeypatch.setattr(f"{module}.repository_root", lambda: tmp_path)
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path / "store"))
    return tmp_path


def build_elsewhere(repository, *words, environment=()):
    """The command `gonlib book` on a small repository, as a process with some more in its environment."""
    script = textwrap.dedent(f"""
        import pathlib, sys
        from gonlib import cli
        from gonlib.book import build
        from gonlib.runs import provenance
        from gonlib.study import profiles
        for module in (build, provenance, profiles):
            module.repository_root = lambda: pathlib.Path({str(repository)!r})
        sys.exit(cli.main(["book", *{list(words)!r}]))
    """)
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=os.environ | dict(environment) | {"PYTHONPATH": str(ROOT)})
