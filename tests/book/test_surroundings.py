"""The build in other people's surroundings: their settings stay out, their files are left alone, faults are sentences."""

import json
import os
import socket
import threading
import urllib.request

import pytest
from bs4 import BeautifulSoup
from conftest import build_elsewhere, write_notebook

from gonlib import cli
from gonlib.book import build, pages, serve
from gonlib.errors import UserError

PICTURE = "from gonlib.book import figures\nfigures.style()\nimport matplotlib.pyplot as plt\n_ = plt.figure().add_subplot()"


@pytest.fixture
def one_page(small_repository):
    """A small book with one notebook, which draws and prints a word that is not ASCII."""
    toc = "format: jb-book\nroot: intro\nparts:\n  - chapters:\n      - file: 01-good\n"
    (small_repository / "book" / "_toc.yml").write_text(toc)
    (small_repository / "book" / "intro.md").write_text("# Größe\n", encoding="utf-8")
    write_notebook(small_repository / "book", "01-good", "latents = 1", PICTURE, "print('naïve', latents)")
    return small_repository


def article(repository, name):
    text = (repository / "build" / "html" / f"{name}.html").read_text(encoding="utf-8")
    return BeautifulSoup(text, "html.parser").select_one("article")


@pytest.mark.slow
def test_the_readers_settings_stay_out(one_page, tmp_path):
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("print('mine')\nlatents = 77\n")
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    (tmp_path / "docutils").write_text("[general]\nraw_enabled: no\n")
    (tmp_path / "rc").write_text("text.usetex: True\nbackend: Agg\n")
    theirs = {"MPLBACKEND": "Agg", "MATPLOTLIBRC": str(tmp_path / "rc"), "IPYTHONDIR": str(tmp_path / "ipython"),
              "JUPYTER_PATH": str(tmp_path / "jupyter"), "PYTHONWARNINGS": "error", "LC_ALL": "C", "PYTHONUTF8": "0",
              "PYTHONCOERCECLOCALE": "0", "PYTHONSTARTUP": "/nowhere", "PYTHONIOENCODING": "ascii",
              "PYTHONOPTIMIZE": "2", "DOCUTILSCONFIG": str(tmp_path / "docutils")}
    process = build_elsewhere(one_page, environment=theirs)
    printed, complaints = process.communicate(timeout=250)
    assert process.returncode == 0, printed + complaints
    assert article(one_page, "01-good").select("svg.drawn") and "naïve 6" in article(one_page, "01-good").text
    assert "mine" not in article(one_page, "01-good").text and "Größe" in article(one_page, "intro").text


@pytest.mark.slow
def test_files_of_editors_are_no_part_of_the_book(one_page):
    book = one_page / "book"
    os.symlink("me@host.1234:1700000000", book / ".#01-good.ipynb")
    (book / "#01-good.ipynb#").write_text("{")
    (book / "01-good.ipynb~").write_text("{")
    os.symlink("me@host.1234:1700000000", book / "_static" / ".#book.css")
    assert cli.main(["book", "--no-execute"]) == 0


@pytest.mark.slow
def test_outputs_that_somebody_saved_are_not_shown(one_page):
    path = one_page / "book" / "01-good.ipynb"
    page = json.loads(path.read_text())
    for cell in page["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["an old result\n"]}]
            cell["execution_count"] = 3
    path.write_text(json.dumps(page))
    assert cli.main(["book", "--no-execute"]) == 0
    shown = article(one_page, "01-good")
    assert "without results" in shown.text and "an old result" not in shown.text


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a`b", "``", "<img src=x onerror=alert(1)>", "a\n\n# b", "`` ``` `", "{{x}} $y$ [z](w)"])
def test_a_value_is_shown_as_it_is_and_never_as_markup(one_page, text):
    about = {"profile": "quick", "values": {"word": text}, "fault": None}
    (one_page / "book" / "intro.md").write_text(f"# Intro\n\n{pages._made_with(about)}\n\n{pages.code_span(text)}\n")
    assert cli.main(["book", "--no-execute"]) == 0
    shown = article(one_page, "intro")
    assert not shown.select("img, section section, .math") and len(shown.select("code")) >= 2
    assert " ".join(text.split()) in shown.select("code")[-1].text


# --- folders ---


def test_nothing_is_deleted_that_no_build_made(one_page, capsys, tmp_path):
    mine = tmp_path / "mine"
    (mine / "html").mkdir(parents=True)
    (mine / "html" / "index.html").write_text("my own page")
    assert cli.main(["book", "--no-execute", "--out", str(mine)]) == 2
    assert "mine holds html, which no build made" in capsys.readouterr().err
    assert (mine / "html" / "index.html").read_text() == "my own page"
    assert cli.main(["book", "--no-execute", "--out", ""]) == 2
    assert "--out is a folder to build in; it cannot be empty." in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        assert cli.main(["book", "--no-execute", "--out", str(folder)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("gonlib: ") and error.count("\n") == 1 and "should not happen" not in error


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_finished(one_page, capsys, monkeypatch):
    assert cli.main(["book"]) == 0
    capsys.readouterr()
    (one_page / "book" / "intro.md").write_text("# Another\n")

    def full(*_, **__):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(pages.shutil, "copy", full)
    assert cli.main(["book"]) == 1
    printed = capsys.readouterr().out
    assert "FAULT: the pages could not be built: No space left on device (somewhere).\n" in printed
    assert "The book is at" not in printed and "The book as it was built before is still at" in printed
    monkeypatch.undo()


@pytest.mark.slow
def test_a_notebook_that_cannot_be_written_leaves_the_others(small_repository, capsys, monkeypatch):
    monkeypatch.setattr(pages, "build", lambda *_: ([], True))
    for name in ("02-bad", "03-dead"):
        write_notebook(small_repository / "book", name, "latents = 1", "print(latents)")
    (small_repository / "build" / "notebooks" / "02-bad.ipynb").mkdir(parents=True)
    (small_repository / "build" / build.MARK).touch()
    assert cli.main(["book"]) == 1
    printed = capsys.readouterr().out
    assert "FAULT: 02-bad: it could not be written: Is a directory" in printed and printed.count("FAULT") == 1
    assert (small_repository / "build" / "notebooks" / "03-dead.ipynb").is_file()


# --- serving ---


def test_a_port_that_is_taken_or_none_is_told_before_any_work(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert cli.main(["book", "--no-execute", "--serve", port]) == 2
        assert f"port {port} cannot be had (Address already in use)" in capsys.readouterr().err
    for port in ("80x", "", "0", "65536", "-1", "٣"):
        assert cli.main(["book", "--no-execute", f"--serve={port}"]) == 2
        assert "a port is a number from 1 to 65535" in capsys.readouterr().err


def test_the_book_is_served(tmp_path, capsys):
    (tmp_path / "index.html").write_text("the book")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serve.reserved(str(port)) as server:
        threading.Thread(target=serve.until_stopped, args=(server, tmp_path), daemon=True).start()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert opener.open(f"http://127.0.0.1:{port}/", timeout=10).read() == b"the book"
        server.shutdown()
    assert f"http://localhost:{port}" in capsys.readouterr().out


def test_a_browser_that_went_away_is_no_fault(capsys):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serve.reserved(str(port)) as server:
        for fault in (BrokenPipeError, ConnectionResetError, ValueError):
            try:
                raise fault
            except fault:
                server.handle_error(None, ("127.0.0.1", 1))
    assert capsys.readouterr().err.count("Traceback") == 1


def test_a_notebook_of_the_book_that_is_none_is_named(one_page, capsys):
    (one_page / "book" / "01-good.ipynb").write_text("{")
    with pytest.raises(UserError, match="01-good.ipynb is not a notebook"):
        build.build()
