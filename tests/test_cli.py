"""The command line: what is trained, what is shown, and that every foreseen fault is one sentence."""

import errno
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_runs import same_result

import gonlib
from gonlib import cli
from gonlib.data import prepared
from gonlib.errors import UserError
from gonlib.method.models import MODELS
from gonlib.runs import provenance
from gonlib.runs.schedule import in_order
from gonlib.runs.store import Store
from gonlib.study import profiles, registry, status
from gonlib.study.experiment import Experiment
from gonlib.training import loop

ROOT = Path(cli.__file__).parents[1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two small experiments, profiles of their own, and empty stores: a folder with all that a command touches."""

    def small(dataset, models=("GON", "AE")):
        return [{"model": name} for name in models]

    def breaking(dataset, rate=100.0):
        return [({"model": "NaN"}, MODELS["VGON"] | {"learning_rate": rate}), {"model": "GON"}]

    grids = {"small": small, "breaking": breaking}
    found = {name: Experiment(name, f"The {name} one", grid) for name, grid in grids.items()}
    monkeypatch.setattr(status, "EXPERIMENTS", found)
    folder = tmp_path / "checkout" / "book" / "profiles"
    folder.mkdir(parents=True)
    common = "train_images: 128, test_images: 64, epochs: 2, filters: 2, latents: 4"
    (folder / "quick.yml").write_text(f"common: {{device: cpu, {common}}}\nsmall: {{seeds: 2}}\n")
    monkeypatch.setattr(profiles, "repository_root", lambda: tmp_path / "checkout")
    monkeypatch.setattr(provenance, "repository_root", lambda: tmp_path / "checkout")
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GONLIB_DATA", str(tmp_path / "data"))
    return tmp_path


def call(capsys, *arguments):
    """Exit code, standard output and standard error of a command."""
    code = cli.main([str(a) for a in arguments])
    return code, *capsys.readouterr()


def states(capsys, *arguments):
    """State of each cell of `status --json`."""
    code, out, _ = call(capsys, "status", *arguments, "--json")
    assert code == 0
    return {f"{e['name']}/{c['row']}": c["state"] for e in json.loads(out)["experiments"] for c in e["cells"]}


def test_the_dearest_rows_wait_for_all_other_experiments():
    planned = [(registry.get(name), registry.get(name).cells("smoke")) for name in ("table1", "gon")]
    order = [one.name.split(" / ")[:2] for one in in_order(status.wanted(planned))]
    rows = list(dict.fromkeys(map(tuple, order)))
    assert rows == [("table1", "GON"), ("table1", "AE"), ("table1", "Tied AE"), ("table1", "1 step, detached"),
                    ("gon", "GON"), ("gon", "1 step, detached"),
                    ("table1", "10 steps, detached"), ("table1", "10 steps"), ("table1", "GLO")]


def test_run_trains_what_is_missing_and_says_so(here, capsys, monkeypatch):
    code, out, err = call(capsys, "run", "small")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 5
    assert re.fullmatch(r"small / GON / digits, seed 0: done, test_error [\d.]+, [\d.]+ s, run [0-9a-f]{16}", lines[0])
    assert [line.split(":")[0] for line in lines[1:4]] == [
        "small / GON / digits, seed 1", "small / AE / digits, seed 0", "small / AE / digits, seed 1"]
    assert lines[4] == "4 runs trained, 0 were there already, 0 left."
    monkeypatch.setattr(loop, "train", None)
    assert call(capsys, "run", "small") == (0, "0 runs trained, 4 were there already, 0 left.\n", "")
    # the other experiment shares a run with this one
    assert states(capsys, "breaking") == {"breaking/NaN": "missing", "breaking/GON": "done"}
    assert states(capsys).keys() == {"small/GON", "small/AE", "breaking/NaN", "breaking/GON"}


def test_pictures_are_kept_of_a_run_that_another_experiment_trained(here, capsys, monkeypatch):
    def keep(model, data, config):
        return {"picture": data.test[:1]}

    pictures = Experiment("pictures", "Another one", lambda dataset: [{"model": "GON"}], keep=keep)
    monkeypatch.setitem(status.EXPERIMENTS, "pictures", pictures)
    assert call(capsys, "run", "breaking", "-p", "rate", "1e-4")[0] == 0
    assert not list(here.rglob("picture-*.png"))
    assert call(capsys, "run", "pictures") == (0, "0 runs trained, 1 were there already, 0 left.\n", "")
    assert len(list(here.rglob("picture-*.png"))) == 1


def test_a_failed_run_is_listed_and_the_others_go_on(here, capsys):
    code, out, err = call(capsys, "run", "breaking")
    assert code == 1
    assert "breaking / NaN / digits, seed 0: failed, no numbers" in out
    assert "breaking / GON / digits, seed 0: done" in out
    assert re.fullmatch(r"failed: breaking / NaN / digits, seed 0, run [0-9a-f]{16}: the loss became NaN.*\n", err)
    assert call(capsys, "run", "breaking")[0] == 1
    assert states(capsys, "breaking") == {"breaking/NaN": "failed", "breaking/GON": "done"}
    assert "is failed (the loss became NaN" in call(capsys, "why", "breaking/NaN")[1]


@pytest.mark.slow
def test_a_budget_stops_cleanly_and_the_next_call_gives_the_same(here, capsys):
    longer = ["-p", "epochs", "4", "-p", "batch_size", "16", "-p", "seeds", "1"]
    assert call(capsys, "run", "small", *longer, "--store", here / "whole")[0] == 0
    code, out, err = call(capsys, "run", "small", *longer, "--budget", "0.2s", "--pack", here / "part.tar")
    assert (code, err) == (0, "")
    assert "0 runs trained, 0 were there already, 2 left.\nThe time is used up; " in out
    Store(here / "store").merge(here / "part.tar")
    for _ in range(50):
        code, out, err = call(capsys, "run", "small", *longer, "--budget", "0.2s")
        assert (code, err) == (0, "")
        if "0 left." in out:
            break
    whole, parts = Store(here / "whole").runs(), Store(here / "store").runs()
    assert len(whole) == 2
    assert all(same_result(a, b) for a, b in zip(whole, parts, strict=True))


def test_a_pack_made_elsewhere_is_merged(here, capsys, monkeypatch):
    pack = here / "results.tar"
    code, out, _ = call(capsys, "run", "small", "-p", "seeds", "1", "--pack", pack, "--no-weights")
    assert (code, out.splitlines()[2]) == (0, f"packed into {pack}")
    monkeypatch.setenv("GONLIB_STORE", str(here / "other"))
    expected = f"{pack}: runs: 2 copied, 0 grown, 0 already here, 0 only begun, with their checkpoints.\n"
    assert call(capsys, "merge", pack) == (0, expected, "")
    assert call(capsys, "merge", pack, "--into", "recorded") == (0, expected, "")
    assert len(Store(here / "checkout" / "book" / "results").runs()) == 2
    monkeypatch.setenv("GONLIB_STORE", str(here / "third"))
    assert states(capsys, "small", "-p", "seeds", "1") == {"small/GON": "recorded", "small/AE": "recorded"}
    path = next((here / "other").glob("*/metrics.json"))
    path.write_text(path.read_text().replace('"test_error": ', '"test_error": 1'))
    code, out, _ = call(capsys, "merge", here / "other", pack)
    assert code == 1
    assert f"{path.parent.name}: a different result is here, kept." in out


def test_status_json_has_its_schema(here, capsys):
    call(capsys, "run", "small", "-p", "seeds", "1")
    code, out, _ = call(capsys, "status", "small", "--json")
    found = json.loads(out)["experiments"]
    assert (code, len(found)) == (0, 1)
    assert set(found[0]) == {"name", "title", "counts", "cells", "left_s"}
    assert (found[0]["name"], found[0]["title"]) == ("small", "The small one")
    assert found[0]["counts"] == {"done": 2, "missing": 2}
    cell = found[0]["cells"][0]
    assert (cell["row"], cell["column"], cell["state"]) == ("GON", "digits", "growing")
    assert [run["state"] for run in cell["runs"]] == ["done", "missing"]
    assert set(cell["runs"][0]) == {"hash", "state", "seconds", "epochs", "asked"}
    assert cell["runs"][0]["seconds"] > 0
    assert cell["runs"][1]["seconds"] is None
    assert found[0]["left_s"] > 0
    # no VGON was timed here, so nothing is guessed
    assert json.loads(call(capsys, "status", "breaking", "--json")[1])["experiments"][0]["left_s"] is None


def test_status_for_people(here, capsys):
    assert call(capsys, "status", "small")[1] == (
        "small: 4 missing; time left unknown\n  GON / digits  missing (0 of 2)\n  AE / digits   missing (0 of 2)\n"
    )
    call(capsys, "run", "small", "-p", "seeds", "1")
    lines = call(capsys, "status", "small")[1].splitlines()
    assert re.fullmatch(r"small: 2 done, 2 missing; about [\d.]+ s left", lines[0])
    assert re.fullmatch(r"  GON / digits  growing \(1 of 2; at epoch 2 of 2; about [\d.]+ s left\)", lines[1])
    call(capsys, "run", "small")
    assert call(capsys, "status", "small")[1].startswith("small: 4 done\n")


def test_time_left_is_steps_times_the_time_of_a_step(here, capsys):
    call(capsys, "run", "small")
    clock, config = status.Clock([Store(here / "store")]), Store(here / "store").runs()[0].config
    assert clock.seconds(config) == 0 and clock.seconds(config.replace(epochs=3)) > 0  # it is there, and can go on
    config = config.replace(seed=9)
    assert clock.seconds(config.replace(epochs=20)) == pytest.approx(10 * clock.seconds(config))
    assert clock.seconds(config.replace(steps=1)) == pytest.approx(clock.seconds(config) / 4)
    assert clock.seconds(config.replace(latents=5)) is None
    assert clock.seconds(config.replace(train_images=0)) is None


def test_data_that_are_not_there_hold_up_only_their_own_runs(here, capsys, monkeypatch):

    monkeypatch.setattr(prepared, "prepare", lambda name, *rest: (_ for _ in ()).throw(UserError(f"{name} is not here.")))
    arguments = ["small", "-p", "dataset", "mnist,digits", "-p", "seeds", "1"]
    _, out, _ = call(capsys, "status", *arguments)
    assert "  GON / MNIST   needs data (0 of 1)" in out
    code, out, err = call(capsys, "run", *arguments)
    assert (code, err) == (2, "gonlib: mnist is not here.\n")
    assert "2 runs trained, 0 were there already, 2 left." in out


def test_an_impossible_configuration_holds_up_only_itself(here, capsys, monkeypatch):
    def grid(dataset):
        return [({"model": "AE"}, MODELS["AE"] | {"decoder": "siren"}), {"model": "GON"}]

    monkeypatch.setitem(status.EXPERIMENTS, "mixed", Experiment("mixed", "Two", grid))
    code, out, err = call(capsys, "run", "mixed")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("gonlib: this configuration has no model: an encoder mirrors")
    assert "mixed / GON / digits, seed 0: done" in out and "1 runs trained, 0 were there already, 1 left.\n" in out
    assert states(capsys, "mixed") == {"mixed/AE": "missing", "mixed/GON": "done"}


def test_a_wrong_group_of_a_profile_holds_up_only_its_experiment(here, capsys):
    path = here / "checkout" / "book" / "profiles" / "quick.yml"
    path.write_text(path.read_text() + "breaking: {epochs: none}\n")
    for command in (["status"], ["why", "small/GON"]):
        code, out, err = call(capsys, *command)
        assert code == 0 and "GON" in out
        assert err.startswith("breaking is left out, for its group in profile quick is wrong: parameter epochs must be")
        assert err.count("\n") == 1
    assert call(capsys, "status", "breaking")[0] == 2
    code, out, err = call(capsys, "run", "small", "breaking")
    assert (code, out, err.count("\n")) == (2, "", 1) and not (here / "store").exists()


def test_a_store_that_is_a_file_is_told(here, capsys, monkeypatch):
    (here / "file").touch()
    monkeypatch.setenv("GONLIB_STORE", str(here / "file"))
    for command in ("status", "run"):
        assert call(capsys, command, "small")[::2] == (
            2, f"gonlib: the run store {here / 'file'} is a file where a folder should be: see GONLIB_STORE.\n")


def test_why_names_what_differs(here, capsys, monkeypatch):
    assert call(capsys, "why", "small/GON")[1].splitlines()[1].endswith("is not there; the stores hold no run.")
    call(capsys, "run", "small", "-p", "seeds", "1")
    run = next(run for run in Store(here / "store").runs() if run.config.inference == "origin")
    _, out, _ = call(capsys, "why", "small/GON/digits", "-p", "latents", "8", "-p", "seeds", "1")
    assert out.endswith(f"is not there; the nearest, {run.hash}, has latents 4 there, 8 wanted.\n")
    assert "made by this source" in call(capsys, "why", run.hash[:8])[1]
    changed = run.provenance["source_files"] | {"method/origin.py": "0", "method/new.py": "1"}
    monkeypatch.setattr(provenance, "source_files", lambda: changed)
    monkeypatch.setattr(provenance, "versions", lambda: run.provenance["versions"] | {"torch": "9.9"})
    _, out, _ = call(capsys, "why", run.hash)
    then = run.provenance["versions"]["torch"]
    assert f"since then method/new.py has changed; method/origin.py has changed; torch was {then}, is 9.9." in out


@pytest.mark.parametrize("arguments, said", [
    ("runn small", "unknown command 'runn'; did you mean run?"),
    ("", "the following arguments are required: COMMAND; see python -m gonlib --help."),
    ("run", "the following arguments are required: EXPERIMENT; see python -m gonlib run --help."),
    ("run smal", "unknown experiment 'smal'; did you mean small?"),
    ("status smal", "unknown experiment 'smal'; did you mean small?"),
    ("run small --profile quik", "unknown profile 'quik'; did you mean quick?"),
    ("run small -p epoch 3", "unknown parameter 'epoch'; did you mean epochs"),
    ("run small -p rate 3", "unknown parameter 'rate'; did you mean"),
    ("run small -p epochs ten", "parameter epochs must be a whole number from 1 to 100000, not 'ten'."),
    ("run small -p epochs 2.5", "parameter epochs must be a whole number from 1 to 100000, not '2.5'."),
    ("run small -p epochs 0", "parameter epochs must be a whole number from 1 to 100000, not 0."),
    ("run small -p seeds many", "parameter seeds must be a whole number, not 'many'."),
    ("run small -p epochs [", "parameter epochs must be a whole number from 1 to 100000, not '['."),
    ("run small -p learning_rate fast", "parameter learning_rate must be a number from 0.0 to 100.0, not 'fast'."),
    ("run small -p detach 1", "parameter detach must be true or false, not '1'."),
    ("run small -p datasets mnits", "unknown data set 'mnits'; did you mean mnist"),
    ("run small -p activation rely", "unknown value of activation 'rely'; did you mean relu"),
    ("run small --device tpu", "unknown device 'tpu'; known: cpu, cuda, cuda:N."),
    ("run small --budget soon", "a budget is a time such as 90s, 9m or 1h, not 'soon'."),
    ("run small --bugdet 9m", "unrecognized arguments: --bugdet 9m"),
    ("run small --pack no/such/folder/a.tar", "there is no folder"),
    ("why smal", "unknown run or cell 'smal'; did you mean small"),
    ("run small --only 0000", "none of the 4 runs asked for has a name that begins with '0000'."),
    ("merge nowhere", "there is no file or folder nowhere to merge."),
    ("merge . --into elsewhere", "argument --into: invalid choice: 'elsewhere'"),
])
def test_bad_input_is_one_sentence_and_nothing_starts(here, capsys, arguments, said):
    code, out, err = call(capsys, *arguments.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"gonlib: {said}")
    assert err.count("\n") == 1
    assert not (here / "store").exists()


def test_a_missing_gpu_is_told(here, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = call(capsys, "run", "small", "--device", "cuda")
    assert code == 2
    assert err.startswith("gonlib: no CUDA device is available; nothing falls back to the CPU")


def test_a_bar_is_drawn_on_a_terminal_alone(here, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "\rdigits, seed 0 train_images=128" in call(capsys, "run", "small", "-p", "models", "GON")[2]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert call(capsys, "run", "small")[2] == ""


def test_interrupted_by_hand(here, capsys, monkeypatch):
    monkeypatch.setattr(loop, "train", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    code, _, err = call(capsys, "run", "small")
    assert code == 130
    assert "gonlib: stopped; finished runs are kept" in err


def test_parameters_are_those_of_the_profile_then_the_group_then_the_overrides(here):
    known = {"epochs": 1, "learning_rate": 0.1, "dataset": "digits", "models": ("GON",), "detach": False, "free": None}
    groups = {"common": {"epochs": 2, "device": "cpu", "dataset": "patches"}, "a": {"epochs": 3}}
    assert profiles.parameters(groups, "a", known=known) == known | {"epochs": 3, "dataset": "patches"}
    assert profiles.parameters(groups, "b", known=known)["epochs"] == 2
    assert profiles.parameters(None, "a", {"datasets": "mnist", "learning_rate": 1}, known) == known | {
        "dataset": "mnist", "learning_rate": 1.0}
    assert profiles.parameters(groups, "a", {"models": "AE"}, known)["models"] == ["AE"]
    assert profiles.parameters(groups, "a", {"free": 3}, known)["free"] == 3
    assert profiles.parameters("quick", "small")["seeds"] == 2
    for wrong, said in (({"epoch": 1}, "unknown parameter of a 'epoch'; did you mean epochs"),
                        ({"detach": 0}, "parameter detach must be true or false"),
                        ({"models": [3]}, "parameter models, in a list, must be a text, not 3.")):
        with pytest.raises(UserError, match=said):
            profiles.parameters(groups, "a", wrong, known)
    with pytest.raises(UserError, match="unknown parameter of a 'epoch'"):
        profiles.parameters({"a": {"epoch": 3}}, "a", known=known)


BOMB = "bomb:\n  b0: &b0 [1, 1]\n" + "".join(f"  b{i}: &b{i} [*b{i - 1}, *b{i - 1}]\n" for i in range(1, 60))


@pytest.mark.parametrize("text", [
    "- a\n- b\n", "common: [1]", "common: " + "[" * 1000, "common: \udcff", BOMB, "common: {a: !!python/name:os.system }",
    "a: &a {b: *a}", "pipe", "x" * 2_000_000])
def test_a_profile_that_cannot_be_read_is_named(here, text):
    path = here / "checkout" / "book" / "profiles" / "odd.yml"
    if text == "pipe":
        os.mkfifo(path)
    else:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match="odd.yml is not a mapping of groups"):
        profiles.load_profile("odd")


def test_the_book_s_own_profiles_fit_its_experiments():
    for name in ("smoke", "quick", "paper"):
        assert {e.name for e, cells in status.plan([], name) if cells} == set(registry.EXPERIMENTS)


def test_as_a_program():
    command = [sys.executable, "-m", "gonlib", "boook"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gonlib: unknown command 'boook'; did you mean book?\n"


# --- nothing ends with a traceback ---


def failing(monkeypatch, fault):
    """The command `status` fails with this."""

    def fail(_):
        raise fault

    monkeypatch.setattr(cli, "status_command", fail)


@pytest.mark.parametrize("code, words", [("ENOSPC", "no space is left"), ("EROFS", "cannot be written to"),
                                         ("ENAMETOOLONG", "too long"), ("EACCES", "permission denied")])
def test_what_the_system_refuses_is_one_sentence(here, capsys, monkeypatch, code, words):
    number = getattr(errno, code)
    failing(monkeypatch, OSError(number, os.strerror(number), "/some/file"))
    code, out, err = call(capsys, "status")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err and err.startswith("gonlib: ")


def test_a_fault_that_nobody_foresaw_is_two_lines_and_a_file(here, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    failing(monkeypatch, KeyError("unforeseen"))
    code, out, err = call(capsys, "status", "--json")
    assert (code, out, err.count("\n")) == (1, "", 2)
    assert "KeyError: 'unforeseen'" in err
    (report,) = here.glob("gonlib-*.txt")
    assert str(report) in err
    assert "Traceback" in report.read_text() and "gonlib status --json" in report.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_output_that_cannot_be_written_is_told(here, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", open("/dev/full", "w"))  # noqa: SIM115 (closed below)
        code = cli.main(["status", "small"])
        with suppress(OSError):
            sys.stdout.close()
    assert (code, capsys.readouterr().err[:32]) == (2, "gonlib: no space is left on the ")


def test_messages_stay_short(here, capsys):
    for arguments in (["run", "x" * 100_000], ["x" * 100_000], ["run", "small", "-p", "epochs", "x" * 100_000],
                      ["merge", "/tmp/" + "x" * 100_000], ["run", "small", "--pack", "x" * 100_000],
                      ["status", "--profile", "y" * 100_000]):
        code, _, err = call(capsys, *arguments)
        assert code == 2
        assert len(err) < 3500


@pytest.mark.slow
def test_interrupted_while_it_starts_it_says_nothing_of_python(tmp_path):
    """Ctrl-C in the first moments, when the large libraries are still being loaded."""
    for wait in (0.3, 0.8, 1.5):
        process = subprocess.Popen([sys.executable, "-m", "gonlib", "status", "--profile", "smoke"], cwd=ROOT,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=os.environ | {"GONLIB_STORE": str(tmp_path)})
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT)  # the last before Python minds signals, or after it
        if wait > 0.3 or process.returncode == 130:  # before that, it may not even be Python that runs
            assert "Traceback" not in err


def test_a_home_folder_is_expanded_and_an_empty_path_refused(here, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert call(capsys, "run", "small", "-p", "seeds", "1", "--store", "~/other", "--pack", "~/a.tar")[0] == 0
    assert (here / "other").is_dir() and (here / "a.tar").is_file() and not Path("~").exists()
    monkeypatch.setenv("GONLIB_STORE", "~/other")
    assert call(capsys, "run", "small", "-p", "seeds", "1")[1].startswith("0 runs trained, 2 were there already")
    assert "an empty path was given" in call(capsys, "run", "small", "--store", "")[2]


def test_a_pack_with_another_name_is_refused_before_anything_is_trained(here, capsys):
    for name in ("a.zip", "a", "a.tar.bz2"):
        code, out, err = call(capsys, "run", "small", "--pack", here / name)
        assert (code, out) == (2, "") and "has to end in .tar" in err
    assert not (here / "store").exists()


def test_a_user_without_a_name_or_a_home(here, capsys, monkeypatch):
    def nobody(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        importlib.reload(gonlib)  # whoever uses it: the command line, papermill, a script
    assert call(capsys, "run", "small", "-p", "models", "GON", "-p", "seeds", "1")[0] == 0
    assert str(os.getuid()) in os.environ["MPLCONFIGDIR"]
    assert os.environ["USER"] == f"uid-{os.getuid()}" and os.environ["HOME"]


@pytest.mark.slow
def test_warnings_that_the_reader_made_errors_end_nothing(here):
    command = [sys.executable, "-m", "gonlib", "run", "gon", "--profile", "smoke", "--store", here / "store"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "error"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
