"""A run that was stopped, killed or held up goes on to the result of one that never was."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import LONG, TINY, assert_same, same_result

from gonlib import files
from gonlib.errors import UserError
from gonlib.runs import provenance
from gonlib.runs.store import Store
from gonlib.training import loop

# A process that trains LONG slowly, saves a checkpoint whenever it can, and notes in a file that it trained.
PROCESS = """
import json, sys, time
from gonlib.runs.store import Store
from gonlib.training import loop
from gonlib.training.config import Config

real = loop.train
def train(*args, progress, **options):
    open(sys.argv[3], "a").write("trained\\n")
    slowly = lambda fraction, text: (progress(fraction, text), time.sleep(0.2))
    return real(*args, progress=slowly, save_every=0.0, **options)
loop.train = train
Store(sys.argv[1]).run(Config.from_dict(json.loads(sys.argv[2])))
"""
ROOT = Path(files.__file__).parents[1]


def start(root, log, **environment):
    command = [sys.executable, "-c", PROCESS, str(root), LONG.json, str(log)]
    return subprocess.Popen(command, env=os.environ | environment | {"PYTHONPATH": str(ROOT)})


@pytest.mark.slow
def test_stopping_at_a_deadline_and_going_on_gives_the_same_result(tmp_path, uninterrupted):
    made, stops = Store(tmp_path), 0
    while True:
        try:
            run = made.run(LONG, deadline=time.monotonic())
            break
        except loop.OutOfTime:
            stops += 1
            assert made.state(LONG) == "growing"
    assert stops > 1
    assert_same(run, uninterrupted)
    assert made.state(LONG) == "done"
    assert [(s["from"], s["to"]) for s in run.stretches] == [(0, 48)]
    assert not (run.folder / "lock").exists() and not list(run.folder.glob("interim-*"))


def wait_for(true, process, seconds=120):
    until = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, "the other process ended too early"
        assert time.monotonic() < until, "the other process takes too long"
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_while_training_it_goes_on_to_the_same_result(tmp_path, uninterrupted):
    root, folder = tmp_path / "store", tmp_path / "progress"
    folder.mkdir()
    process = start(root, tmp_path / "log", GONLIB_PROGRESS=str(folder))
    seen = folder / f"{process.pid}.json"
    wait_for(lambda: seen.exists() and json.loads(seen.read_text())["fraction"] > 0.3, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads(seen.read_text())["run"].startswith("digits, seed 0 size=8 train_images=128")
    assert Store(root).state(LONG) == "growing"
    assert_same(Store(root).run(LONG), uninterrupted)


@pytest.mark.slow
def test_two_processes_train_a_run_once(tmp_path, uninterrupted, monkeypatch):
    root, log = tmp_path / "store", tmp_path / "log"
    process = start(root, log)
    wait_for(log.exists, process)
    monkeypatch.setattr(loop, "train", lambda *_, **__: pytest.fail("it is trained twice"))
    assert_same(Store(root).run(LONG), uninterrupted)
    assert process.wait(60) == 0
    assert log.read_text() == "trained\n"
    assert [p.name for p in root.iterdir()] == [LONG.hash]


def test_waiting_for_another_process_ends_at_the_deadline(tmp_path):
    made = Store(tmp_path)
    with files.locked(made.folder(TINY), None), pytest.raises(loop.OutOfTime):
        made.run(TINY, deadline=time.monotonic() + 0.2)


@pytest.mark.parametrize("step", range(0, 10, 3))
def test_interrupted_between_two_writes_nothing_is_half_there(tmp_path, monkeypatch, trained, step):
    made, left = Store(tmp_path), [step]

    def interrupt(function):
        def wrapped(*args, **options):
            left[0] -= 1
            if left[0] == -1:
                raise KeyboardInterrupt
            return function(*args, **options)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt(os.replace))
        patch.setattr(os, "rename", interrupt(os.rename))
        patch.setattr(Path, "unlink", interrupt(Path.unlink))
        with pytest.raises(KeyboardInterrupt):
            made.run(TINY)
    assert made.find(TINY) is None or same_result(made.find(TINY), trained.find(TINY))
    assert_same(made.run(TINY), trained.find(TINY))


def test_data_that_changed_under_an_unfinished_run_are_refused(tmp_path):
    made = Store(tmp_path)
    with pytest.raises(loop.OutOfTime):
        made.run(LONG, deadline=time.monotonic())
    path = made.folder(LONG) / "provenance.json"
    path.write_text(path.read_text().replace('"checksum": "', '"checksum": "0'))
    with pytest.raises(UserError, match="data set digits has changed since"):
        made.run(LONG)


def test_a_run_that_goes_on_under_other_versions_says_so(tmp_path, uninterrupted, monkeypatch):
    made = Store(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(loop.OutOfTime):
        patch.setattr(provenance, "versions", lambda: {"torch": "2.0"})
        made.run(LONG, deadline=time.monotonic())
    run = made.run(LONG)
    assert [stretch["versions"] for stretch in run.stretches] == [{"torch": "2.0"}, provenance.versions()]
    assert run.stretches[0]["to"] == run.stretches[1]["from"] < run.stretches[1]["to"] == 48
    assert_same(run, uninterrupted)
