"""Killed at any moment, or many at once: nothing finished is lost, nothing half-written is read, nothing is left lying."""

import itertools
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from gonlib import files
from gonlib.errors import UserError
from gonlib.runs.store import Store
from gonlib.training.config import Config

TINY = Config(size=8, filters=2, latents=4, train_images=32, test_images=16, batch_size=16, epochs=2, snapshots=True)
LONG = TINY.replace(epochs=4)
ACTIONS = {
    "run": lambda store, other: store.run(TINY, progress=lambda *_: None),
    "grow": lambda store, other: store.run(LONG, progress=lambda *_: None),
    "merge": lambda store, other: store.merge(other),
    "pack": lambda store, other: store.pack(f"{other}.tar"),
}


def dies(action, number, folder, other):
    """Whether a process that does something died at (before or after) its n-th change of the disk, as by kill -9."""
    process = os.fork()  # a new interpreter would take seconds to load torch
    if process == 0:
        left = itertools.count(number, -1)
        try:
            os.replace, os.rename, Path.unlink, os.fsync = (
                deadly(function, left) for function in (os.replace, os.rename, Path.unlink, os.fsync))
            ACTIONS[action](Store(folder), other)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in (0, 9)
    return code == 9


def deadly(function, left):
    def wrapped(*args, **options):
        now = next(left)
        if now == 1:
            os._exit(9)
        function(*args, **options)
        if now == 2:
            os._exit(9)

    return wrapped


def left_over(root):
    """What nobody needs any more."""
    return [path.name for path in root.rglob("*") if files.is_temporary(path.name) or path.name == "lock"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Stores with a run, and with a longer part of it."""
    root = tmp_path_factory.mktemp("stores")
    for name, config in (("short", TINY), ("long", LONG)):
        Store(root / name).run(config)
    return root


def numbers(store, config):
    """All that is known of a run but times, with the digits of its history."""
    run = store.find(config)
    rows = [*run.history.to_dict("records"), run.metrics]
    return [{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items() if "seconds" not in k} for row in rows]


def check(action, number, stores, folder):
    """Let a process die at a point, do the same again, and see that all is as if it had not died; whether it died."""
    source = stores / ("long" if action == "merge" else "short")
    if action != "run":
        shutil.copytree(stores / "short", folder)
    died = dies(action, number, folder, source if action == "merge" else folder.parent / "p")
    store = Store(folder)
    if action == "run":
        ACTIONS["run"](store, None)
    elif action == "grow":
        assert numbers(store, TINY) == numbers(Store(stores / "short"), TINY)
        ACTIONS["grow"](store, None)
        assert numbers(store, LONG) == numbers(Store(stores / "long"), LONG)
    elif action == "merge":
        assert numbers(store, TINY) == numbers(Store(stores / "short"), TINY)
        store.merge(source)
        assert numbers(store, LONG) == numbers(Store(stores / "long"), LONG)
    else:
        store.pack(folder.parent / "p.tar")
        Store(folder.parent / "there").merge(folder.parent / "p.tar")
        assert numbers(Store(folder.parent / "there"), TINY) == numbers(store, TINY)
    assert numbers(store, TINY) == numbers(Store(stores / "short"), TINY)
    assert not left_over(folder.parent)
    return died


@pytest.mark.parametrize("action, number", [("run", 3), ("run", 9), ("grow", 6), ("merge", 2), ("merge", 8), ("pack", 1)])
def test_killed_here_and_there(action, number, stores, tmp_path):
    assert check(action, number, stores, tmp_path / "store")


@pytest.mark.nightly
@pytest.mark.parametrize("action", ACTIONS)
def test_killed_between_any_two_writes(action, stores, tmp_path):
    number = 1
    while check(action, number, stores, tmp_path / str(number) / "store"):
        number += 1
    assert number > 3


TRAINING = """
import sys
from gonlib.runs.store import Store
from gonlib.training.config import Config
for seed in range(3):
    Store(sys.argv[1]).run(Config(**eval(sys.argv[2])).replace(seed=seed, epochs=30), save_every=0.0)
"""


@pytest.mark.nightly
def test_reading_packing_and_merging_beside_a_training(stores, tmp_path):
    store = Store(tmp_path / "store")
    store.root.mkdir()
    command = [sys.executable, "-c", TRAINING, str(store.root), str(TINY.to_dict())]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    looks, until = 0, time.monotonic() + 200
    while process.poll() is None and time.monotonic() < until:
        for run in store.runs():
            numbers(store, run.config)
            assert run.snapshots is not None
            looks += 1
        assert [store.find(TINY.replace(seed=seed)) for seed in range(3)]
        for name in store.pack(tmp_path / "p.tar"):
            assert len(name) == 16
        report = Store(tmp_path / f"there-{looks}").merge(tmp_path / "p.tar")
        assert not report.damaged, str(report)
        report = Store(tmp_path / f"here-{looks}").merge(store.root)
        assert not report.damaged, str(report)
        report = store.merge(stores / "long")
        assert not (report.damaged or report.conflicts), str(report)
    assert process.wait(60) == 0 and looks > 10
    for seed in range(3):
        assert store.find(TINY.replace(seed=seed, epochs=30)).complete
    assert not left_over(store.root)


def test_a_disk_that_refuses_is_told_and_what_is_there_stays(stores, tmp_path, monkeypatch):
    shutil.copytree(stores / "short", tmp_path / "store")
    store = Store(tmp_path / "store")
    before = numbers(store, TINY)

    def refuse(*_):
        raise OSError(30, "Read-only file system", str(tmp_path / "store" / "x"))

    monkeypatch.setattr(os, "replace", refuse)
    for use in (lambda: store.run(LONG), lambda: store.merge(stores / "long"), lambda: store.pack(tmp_path / "p.tar")):
        with pytest.raises(UserError, match="is on a disk that cannot be written to"):
            use()
    monkeypatch.undo()
    assert numbers(store, TINY) == before and not left_over(tmp_path)
