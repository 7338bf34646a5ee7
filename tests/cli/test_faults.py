"""Every foreseen fault is one sentence, an unforeseen one is two lines and a file, and nothing ends with a traceback."""

import errno
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

import gonlib
from gonlib import cli
from gonlib.training import loop

ROOT = Path(cli.__file__).parents[1]


def test_a_store_that_is_a_file_is_told(here, call, monkeypatch):
    (here / "file").touch()
    monkeypatch.setenv("GONLIB_STORE", str(here / "file"))
    for command in ("status", "run"):
        assert call(command, "small")[::2] == (
            2, f"gonlib: the run store {here / 'file'} is a file where a folder should be: see GONLIB_STORE.\n")


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
def test_bad_input_is_one_sentence_and_nothing_starts(here, call, arguments, said):
    code, out, err = call(*arguments.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"gonlib: {said}")
    assert err.count("\n") == 1
    assert not (here / "store").exists()


def test_a_missing_gpu_is_told(here, call, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = call("run", "small", "--device", "cuda")
    assert code == 2
    assert err.startswith("gonlib: no CUDA device is available; nothing falls back to the CPU")


def test_interrupted_by_hand(here, call, monkeypatch):
    monkeypatch.setattr(loop, "train", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    code, _, err = call("run", "small")
    assert code == 130
    assert "gonlib: stopped; finished runs are kept" in err


def test_as_a_program():
    command = [sys.executable, "-m", "gonlib", "boook"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gonlib: unknown command 'boook'; did you mean book?\n"




def failing(monkeypatch, fault):
    """The command `status` fails with this."""

    def fail(_):
        raise fault

    monkeypatch.setattr(cli, "status_command", fail)


@pytest.mark.parametrize("code, words", [("ENOSPC", "no space is left"), ("EROFS", "cannot be written to"),
                                         ("ENAMETOOLONG", "too long"), ("EACCES", "permission denied")])
def test_what_the_system_refuses_is_one_sentence(here, call, monkeypatch, code, words):
    number = getattr(errno, code)
    failing(monkeypatch, OSError(number, os.strerror(number), "/some/file"))
    code, out, err = call("status")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err and err.startswith("gonlib: ")


def test_a_fault_that_nobody_foresaw_is_two_lines_and_a_file(here, call, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    failing(monkeypatch, KeyError("unforeseen"))
    code, out, err = call("status", "--json")
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


def test_messages_stay_short(here, call):
    for arguments in (["run", "x" * 100_000], ["x" * 100_000], ["run", "small", "-p", "epochs", "x" * 100_000],
                      ["merge", "/tmp/" + "x" * 100_000], ["run", "small", "--pack", "x" * 100_000],
                      ["status", "--profile", "y" * 100_000]):
        code, _, err = call(*arguments)
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
        if wait == 0.3 and process.returncode == 1:  # in Python's own start: no line of ours had run
            assert "gonlib/" not in err
        else:
            assert process.returncode in (0, 130, -signal.SIGINT)  # the last before Python minds signals, or after it
            assert "gonlib/" not in err and ("Traceback" not in err or wait == 0.3)


def test_a_home_folder_is_expanded_and_an_empty_path_refused(here, call, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert call("run", "small", "-p", "seeds", "1", "--store", "~/other", "--pack", "~/a.tar")[0] == 0
    assert (here / "other").is_dir() and (here / "a.tar").is_file() and not Path("~").exists()
    monkeypatch.setenv("GONLIB_STORE", "~/other")
    assert call("run", "small", "-p", "seeds", "1")[1].startswith("0 runs trained, 2 were there already")
    assert "an empty path was given" in call("run", "small", "--store", "")[2]


def test_a_pack_with_another_name_is_refused_before_anything_is_trained(here, call):
    for name in ("a.zip", "a", "a.tar.bz2"):
        code, out, err = call("run", "small", "--pack", here / name)
        assert (code, out) == (2, "") and "has to end in .tar" in err
    assert not (here / "store").exists()


def test_a_user_without_a_name_or_a_home(here, call, monkeypatch):
    def nobody(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        importlib.reload(gonlib)  # whoever uses it: the command line, papermill, a script
    assert call("run", "small", "-p", "models", "GON", "-p", "seeds", "1")[0] == 0
    assert str(os.getuid()) in os.environ["MPLCONFIGDIR"]
    assert os.environ["USER"] == f"uid-{os.getuid()}" and os.environ["HOME"]


@pytest.mark.slow
def test_warnings_that_the_reader_made_errors_end_nothing(here):
    command = [sys.executable, "-m", "gonlib", "run", "gon", "--profile", "smoke", "--store", here / "store"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "error"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
