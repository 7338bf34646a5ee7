"""The pipeline of the book, on a small book."""

import json
import os
import signal
import sys
import time

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, build_elsewhere, write_notebook

from gonlib import cli
from gonlib.book import build, docstrings, execution, pages, timings
from gonlib.book import notebooks as book
from gonlib.errors import UserError, duration


def values(repository, name, params=(), device=None):
    planned = book.plan(repository / "book", "quick", params, [name], device)
    return planned[0].values


def test_a_notebooks_key_is_its_name_without_the_number():
    assert [book.key_of(name) for name in ("04-table1", "02-gradient-origin-networks", "runs")] == [
        "table1", "gradient-origin-networks", "runs"]


def test_parameters_come_from_default_common_group_device_and_override_in_that_order(small_repository):
    assert values(small_repository, "01-good") == {
        "latents": 6, "rate": 0.5, "word": "group", "profile": "quick", "device": "cpu", "left": None}
    assert values(small_repository, "02-bad") == {"latents": 5}
    given = values(small_repository, "good", [("latents", "7"), ("rate", "2"), ("left", "[1, 2]")])
    assert given["latents"] == 7 and given["rate"] == 2.0 and isinstance(given["rate"], float)
    assert given["left"] == [1, 2]


def test_an_override_goes_to_every_notebook_that_has_the_parameter(small_repository):
    planned = book.plan(small_repository / "book", "quick", [("latents", "9"), ("rate", "1.5")])
    assert [(n.name, n.values["latents"]) for n in planned] == [("01-good", 9), ("02-bad", 9), ("03-dead", 9)]
    assert planned[0].values["rate"] == 1.5


def test_either_name_of_the_data_set_parameter_is_understood(small_repository):
    write_notebook(small_repository / "book", "01-good", "dataset = 'digits'")
    assert values(small_repository, "01-good", [("datasets", "digits, patches")]) == {"dataset": "digits, patches"}


@pytest.mark.parametrize("words, message", [
    (["--profile", "quik"], "unknown profile 'quik'; did you mean quick?"),
    (["--notebooks", "01-goood"], "unknown notebook '01-goood'; did you mean 01-good"),
    (["--notebooks", "references"], "page references is not a notebook: there is nothing to execute."),
    (["-p", "latent", "3"], "unknown parameter 'latent'; did you mean latents"),
    (["-p", "latents", "many"], "parameter latents must be a whole number from 1 to 65536, not 'many'."),
    (["-p", "latents", "0"], "parameter latents must be a whole number from 1 to 65536, not 0."),
    (["-p", "dataset", "mnits"], "unknown data set 'mnits'; did you mean mnist"),
    (["-p", "rate", "fast"], "parameter rate must be a number, not 'fast'."),
    (["-p", "rate", "0"], "parameter rate must be greater than 0, not 0.0."),
    (["-p", "large_dataset", "mnits"], "unknown data set 'mnits'; did you mean mnist"),
    (["--device", "gpu"], "unknown device 'gpu'; known: cpu, cuda, cuda:N."),
])
def test_bad_input_is_refused_before_any_kernel_starts(small_repository, capsys, words, message):
    write_notebook(small_repository / "book", "01-good",
                   "latents = 1\nrate = 0.5\ndataset = 'digits'\nlarge_dataset = None\ndevice = 'cpu'")
    assert cli.main(["book", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (small_repository / "build" / "notebooks").exists()


@pytest.mark.parametrize("page, name, text, message", [
    ("05-table2", "likelihoods", "gauss", "unknown value of likelihood 'gauss'; did you mean gaussian?"),
    ("20-monte-carlo", "fractions", "2", "parameter inner_fraction must be a number from 1e-06 to 1.0, not 2.0."),
    ("10-origins", "sds", "-1", "parameter origin_sd must be a number from 0.0"),
    ("04-table1", "seeds", "0", "parameter seeds must be a whole number from 1 to 1000, not 0."),
    ("04-table1", "overrides", '{"batch_sise": 3}', "unknown parameter in overrides 'batch_sise'; did you mean batch_size"),
    ("04-table1", "overrides", '{"batch_size": 0}', "parameter batch_size must be a whole number from 1 to 65536, not 0."),
    ("12-settings", "overrides", '{"epochs": 3}', "overrides cannot hold 'epochs': it is a parameter of its own, -p epochs"),
    ("14-implicit", "overrides", '{"device": "cpu"}', "overrides cannot hold 'device': it is a parameter of its own"),
])
def test_what_an_experiment_of_a_page_would_refuse_is_refused_before_any_kernel_starts(page, name, text, message):
    with pytest.raises(UserError) as told:
        book.plan(ROOT / "book", "smoke", [(name, text)], [page])
    assert str(told.value).startswith(message)


def test_a_parameters_cell_holds_only_literals(small_repository):
    write_notebook(small_repository / "book", "01-good", "latents = 1\nother = range(3)")
    with pytest.raises(UserError, match="01-good.ipynb may hold only lines like"):
        book.plan(small_repository / "book", "quick")


def test_two_builds_do_not_share_a_folder(small_repository, capsys):
    with build._held(small_repository / "build"):
        assert cli.main(["book", "--no-execute"]) == 2
    assert "another process is building the book" in capsys.readouterr().err


def page(repository, name):
    return BeautifulSoup((repository / "build" / "html" / f"{name}.html").read_text(), "html.parser")


@pytest.mark.slow
def test_a_notebook_that_fails_is_marked_and_the_others_go_on(small_repository, capsys):
    assert cli.main(["book", "-p", "rate", "0.25"]) == 1
    printed = capsys.readouterr().out
    assert "FAULT: 02-bad: code cell 3 failed with ValueError: last line\n" in printed
    assert "FAULT: 03-dead: the kernel died, most likely for want of memory.\n" in printed
    assert "Executed 3 notebooks (profile quick, cpu): 0 runs trained now, 0 already in the store.\n" in printed
    assert str(small_repository / "build" / "html" / "index.html") in printed
    assert "WARNING" not in printed

    good = page(small_repository, "01-good")
    assert f"{sys.executable} {small_repository}" in good.text
    assert "[6, 0.25, 'group', 'quick', 'cpu']" in good.text
    assert [p.text for p in good.select(".made-with p")] == [
        "Made with profile quick.", "Parameters: latents = 6, rate = 0.25, word = 'group'."]
    assert not good.select(".admonition.error, .admonition.warning") and "injected" not in good.text
    assert "code cell 3 failed with ValueError: last line" in page(small_repository, "02-bad").select_one(
        ".admonition.error").text
    assert "the kernel died" in page(small_repository, "03-dead").select_one(".admonition.error").text

    # Only what is asked for is executed again; a page that has changed since does not show old results.
    old = (small_repository / "build" / "notebooks" / "01-good.ipynb").stat().st_mtime_ns
    write_notebook(small_repository / "book", "02-bad", "latents = 1", "print('mended', latents)")
    write_notebook(small_repository / "book", "03-dead", "latents = 1", "print('mended', latents)")
    assert cli.main(["book", "--notebooks", "02-bad"]) == 0
    assert (small_repository / "build" / "notebooks" / "01-good.ipynb").stat().st_mtime_ns == old
    assert "mended 5" in page(small_repository, "02-bad").text
    assert "rate = 0.25" in page(small_repository, "01-good").select_one(".made-with").text
    dead = page(small_repository, "03-dead")
    assert "was not executed" in dead.select_one(".admonition.warning").text and "kernel died" not in dead.text


@pytest.mark.slow
def test_a_page_with_a_broken_reference_is_built_and_reported(small_repository, capsys):
    (small_repository / "book" / "intro.md").write_text("# Intro\n\nSee {cite:p}`nobody`.\n")
    assert cli.main(["book", "--no-execute"]) == 1
    printed = capsys.readouterr().out
    assert "nobody" in printed and printed.count("FAULT: ") == 1
    assert "Intro" in page(small_repository, "intro").text


@pytest.mark.slow
def test_interrupted_it_ends_its_kernels_and_keeps_what_was_finished(small_repository):
    write_notebook(small_repository / "book", "02-bad", "latents = 1",
                   "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(99)")
    one_after_the_other(small_repository / "book")
    process = build_elsewhere(small_repository)
    pid, deadline = small_repository / "pid", time.monotonic() + 100
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, complaints = process.communicate(timeout=20)
    assert process.returncode == 130 and "stopped" in complaints and "Traceback" not in complaints
    assert "01-good" in printed
    finished = small_repository / "build" / "notebooks"
    assert sorted(path.name for path in finished.glob("*.ipynb")) == ["01-good.ipynb"]
    assert json.loads((finished / "01-good.ipynb").read_text())["metadata"]["gonlib"]["fault"] is None
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid.read_text()}"):
            return
        time.sleep(0.1)
    raise AssertionError("the kernel still runs")


@pytest.mark.slow
def test_a_kernel_that_is_interrupted_makes_the_same_page(small_repository, monkeypatch):
    """Ctrl-C is for the build; a page that went on after it has lost nothing."""
    monkeypatch.setattr(pages, "build", lambda *_: ([], True))
    interrupt = "for _ in range(5):\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(0.05)\n"
    write_notebook(small_repository / "book", "01-good", "latents = 1",
                   f"import os, signal, time\n{interrupt}print('whole')")
    assert cli.main(["book", "--notebooks", "01-good"]) == 0
    assert "whole" in (small_repository / "build" / "notebooks" / "01-good.ipynb").read_text()


def test_time_left_is_estimated_from_the_last_build(tmp_path):
    def times(profile="quick", workers=1):
        return timings.Timings(profile, ["a", "b"], workers, [tmp_path / "timings.json"])

    first = times()
    assert first.left({"a": 5}) is None and first.percent({"a": 5}) == 0
    first.finished("a", 30.0, keep=True)
    assert first.percent({}) == 50
    first.finished("b", 10.0, keep=True)
    again = times()
    assert again.left({"a": 12}) == 28 and again.percent({"a": 20}) == 50
    again.finished("a", 30.0, keep=True)
    assert again.left({"b": 4}) == 6
    assert again.left({"b": 40}) == 4  # slower than the last time
    assert times(workers=2).left({"a": 5, "b": 5}) == 25  # the longest decides
    assert times("paper").left({}) is None
    assert [duration(s) for s in (12.4, 185, 7800)] == ["12 s", "3 min 05 s", "2 h 10 min"]


@pytest.mark.parametrize("text", ["[]", '{"quick": 3}', '{"quick": {"a": "x"}}', '{"quick": {"a": -1}}', "[" * 100_000, "{"])
def test_damaged_times_of_the_last_build_are_none(tmp_path, text):
    path = tmp_path / "timings.json"
    path.write_text(text)
    made = timings.Timings("quick", ["a"], 1, [path])
    assert made.left({"a": 1}) is None
    made.finished("a", 3.0, keep=True)
    assert timings.Timings("quick", ["a"], 1, [path]).left({}) == 3
    timings.Timings("quick", ["a"], 1, [tmp_path / "no" / "timings.json"]).finished("a", 3.0, keep=True)  # full


def test_as_many_notebooks_at_a_time_as_there_are_cores_but_one_on_a_gpu():
    def three(device):
        return [book.Notebook(ROOT / "a.ipynb", {}, {"device": device}) for _ in range(3)]

    assert [execution.at_once(three("cpu"), cores) for cores in (1, 2, 16)] == [1, 2, 3]
    assert execution.at_once(three("cuda:0"), 16) == 1 and execution.at_once([], 2) == 1


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_every_notebook_has_its_turn_whatever_it_waits_for(profile, workers):
    """One worker was held for ever by a notebook that waited for one queued behind it."""
    planned = book.plan(ROOT / "book", profile)
    for notebooks in (planned, planned[::-1]):
        ended = []
        for notebook, result in execution.in_order(notebooks, workers, lambda n: n.key):
            assert result == notebook.key
            assert not {n.name for n in notebooks} & set(notebook.after) - set(ended)
            ended.append(notebook.name)
        assert sorted(ended) == sorted(n.name for n in planned)


def test_an_exception_is_a_result_and_a_circle_is_told():
    def work(notebook):
        return 1 / (notebook.name != "a")

    notebooks = [book.Notebook(ROOT / f"{name}.ipynb", {}) for name in "ab"]
    found = {n.name: result for n, result in execution.in_order(notebooks, 1, work)}
    assert found["b"] == 1 and isinstance(found["a"], ZeroDivisionError)
    notebooks[0].after, notebooks[1].after = ["b"], ["a"]
    with pytest.raises(UserError, match="the notebooks a and b come after each other"):
        list(execution.in_order(notebooks, 2, work))


def one_after_the_other(folder):
    for name, after in (("02-bad", ["01-good"]), ("03-dead", "all")):
        written = json.loads((folder / f"{name}.ipynb").read_text())
        written["metadata"]["after"] = after
        (folder / f"{name}.ipynb").write_text(json.dumps(written))


@pytest.mark.slow
def test_a_notebook_starts_when_those_that_it_comes_after_are_done(small_repository):
    book_folder = small_repository / "book"
    write_notebook(book_folder, "01-good", "", "import time; time.sleep(2)\nopen('mark', 'w').close()")
    write_notebook(book_folder, "02-bad", "latents = 1", "open('mark').close()")
    write_notebook(book_folder, "03-dead", "latents = 1", "open('mark').close()")
    one_after_the_other(book_folder)
    planned = book.plan(book_folder, "quick")
    assert sorted(planned[2].after) == ["01-good", "02-bad"]
    (small_repository / "build").mkdir()
    done = execution.Execution("quick", small_repository, small_repository / "build")
    done.run(planned)
    assert done.executed == planned and not done.failed


def test_docstrings_become_safe_restructuredtext():
    lines = ["Maps `x`s to *z* (N, k) | a_b.", "", "`code` first"]
    docstrings.escape(lines)
    assert lines == ["Maps \\ ``x``\\ s to \\*z\\* (N, k) \\| a_b.", "", "``code``\\  first"]


def test_bullets_stay_bullets():
    lines = ["What it may offer:", "", "* `one`: 2 * 3", "  * two"]
    docstrings.escape(lines)
    assert lines[2:] == ["* \\ ``one``\\ : 2 \\* 3", "  * two"]
