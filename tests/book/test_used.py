"""A notebook is executed again only if its text, its parameters, or something that it read has changed."""

import json
import os
import time

import pytest
from conftest import write_notebook
from PIL import Image

from gonlib import cli
from gonlib.book import notebooks, pages, used

READS = """
import pathlib, sys
from gonlib.runs.store import Store
from gonlib.training.config import Config
run = Store(pathlib.Path.cwd() / "store").root / ("%s")
sys.audit("gonlib.look", str(run))
print((run / "metrics.json").exists() and (run / "metrics.json").read_text(), pathlib.Path("book/facts.csv").read_text())
"""
RUN = "0123456789abcdef"


@pytest.fixture
def repository(small_repository):
    """A small book with one notebook, which looks for a run and reads a file."""
    toc = small_repository / "book" / "_toc.yml"
    toc.write_text("format: jb-book\nroot: intro\nparts:\n  - chapters:\n      - file: 01-good\n")
    (small_repository / "book" / "intro.md").write_text("# Intro\n")
    (small_repository / "book" / "facts.csv").write_text("a fact")
    write_notebook(small_repository / "book", "01-good", "latents = 1", READS % RUN)
    return small_repository


@pytest.fixture
def no_pages(monkeypatch):
    """Spares the time of Jupyter Book."""
    monkeypatch.setattr(pages, "build", lambda *_: ([], True))


def made(repository, *words):
    """Build the book; whether the notebook was executed."""
    path = repository / "build" / "notebooks" / "01-good.ipynb"
    before = path.stat().st_mtime_ns if path.exists() else None
    assert cli.main(["book", *words]) == 0
    return path.stat().st_mtime_ns != before


def why(repository, *params):
    (planned,) = notebooks.plan(repository / "book", "quick", params)
    return used.changes(planned, notebooks.about_executed(repository / "build" / "notebooks" / "01-good.ipynb"), repository)


@pytest.mark.slow
def test_typed_again_nothing_is_executed_and_no_page_is_built(repository, capsys):
    assert why(repository) == ["it was not executed in this build folder yet"]
    assert made(repository) and why(repository) == []
    index = repository / "build" / "html" / "index.html"
    before = index.stat().st_mtime_ns
    assert not made(repository) and index.stat().st_mtime_ns == before
    printed = capsys.readouterr().out
    assert "Not executed again, for nothing that they use has changed: 1 of 1 notebook." in printed
    assert printed.count(f"The book is at {index}") == 2
    (repository / "book" / "intro.md").write_text("# Another title\n")
    assert not made(repository) and "Another title" in (index.parent / "intro.html").read_text()


@pytest.mark.slow
def test_what_a_page_used_decides(repository, no_pages, capsys):
    assert made(repository)
    folder = repository / "store" / RUN
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")
    assert why(repository) == [f"run {RUN} is there now"]
    assert made(repository) and why(repository) == []
    (folder / "metrics.json").write_text("[]")
    assert why(repository) == [f"run {RUN} is another now"]
    (folder / "metrics.json").write_text("{}")
    assert why(repository) == []  # as it was, whatever its time
    (folder / "metrics.json").unlink()
    assert why(repository) == [f"run {RUN} is gone"]
    assert made(repository)
    (repository / "book" / "facts.csv").write_text("another fact")
    assert why(repository) == ["book/facts.csv is another now"]
    assert why(repository, ("latents", "7"))[0] == "parameter latents was 6, is 7"
    assert made(repository, "-p", "latents", "7") and not made(repository, "-p", "latents", "7")
    assert cli.main(["why", "01-good", "-p", "latents", "8"]) == 0
    assert "01-good: parameter latents was 7, is 8.\n" in capsys.readouterr().out
    write_notebook(repository / "book", "01-good", "latents = 1", "print(latents)")
    assert "its text has changed" in why(repository)


@pytest.mark.slow
def test_gonlibs_own_files_are_among_what_is_used(repository, no_pages):
    made(repository)
    files = notebooks.about_executed(repository / "build" / "notebooks" / "01-good.ipynb")["used"]["files"]
    names = {os.path.join(*path.split(os.sep)[-2:]) for path in files}
    assert {"training/config.py", "runs/store.py", "gonlib/errors.py"} <= names
    assert "bench/measure.py" not in names


@pytest.mark.slow
def test_a_damaged_executed_notebook_is_executed_again(repository, no_pages):
    made(repository)
    path = repository / "build" / "notebooks" / "01-good.ipynb"
    good = path.read_bytes()
    for harm in (b"{", b"[" * 100_000, b"{}", b'{"cells": [], "metadata": {"gonlib": 3}}', b"\xff\xfe",
                 good.replace(b"a fact", b"a lie!"), good.replace(b'"fault": null', b'"fault": 3'), good[:-100]):
        path.write_bytes(harm)
        assert why(repository) == ["it was not executed in this build folder yet"]
    path.unlink()
    os.mkfifo(path)
    assert made(repository) and why(repository) == []


@pytest.mark.slow
def test_no_path_of_this_machine_is_published(repository):
    made(repository)
    for path in (repository / "build" / "html").rglob("*"):
        if path.suffix in (".ipynb", ".html", ".txt") and path.is_file():
            assert str(repository) not in path.read_text(), path


def test_what_changed_while_it_was_read_counts_as_changed(repository, tmp_path):
    reads = tmp_path / "reads"
    facts = repository / "book" / "facts.csv"
    old = facts.stat()
    reads.write_text(json.dumps([str(facts), old.st_size, old.st_mtime_ns, False]) + "\n")
    time.sleep(0.01)
    facts.write_text("another fact")
    found = used.record(reads, repository)["files"]
    about = {"fault": None, "source": notebooks.source_digest(repository / "book" / "01-good.ipynb"), "values": {},
             "used": {"made with": {}, "files": found}}
    (planned,) = notebooks.plan(repository / "book", "quick")
    assert "book/facts.csv changed while the notebook was executed" in used.changes(planned, about, repository)


@pytest.mark.slow
def test_a_picture_that_comes_to_a_folder_counts(repository, no_pages):
    folder = repository / "pictures"
    folder.mkdir()
    for number in range(12):
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    text = f"import gonlib\nprint(len(gonlib.load('folder:{folder}', size=8).train))"
    write_notebook(repository / "book", "01-good", "latents = 1", text)
    assert made(repository) and why(repository) == []
    Image.new("L", (8, 8), 99).save(folder / "new.png")
    assert why(repository) == ["pictures is another now"]
    (folder / "new.png").unlink()
    Image.new("L", (8, 8), 99).save(folder / "3.png")
    assert why(repository) == ["pictures/3.png is another now"]
