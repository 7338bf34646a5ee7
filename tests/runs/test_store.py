"""The run store: trained once, never half-written, resumed to the same result, merged without overwriting."""

import errno
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from gonlib import files
from gonlib.errors import UserError
from gonlib.runs import provenance, store
from gonlib.runs import run as runs
from gonlib.runs.store import Store, find_run
from gonlib.training import loop
from gonlib.training.config import Config
from gonlib.training.evaluation import evaluate
from gonlib.training.forms import check_device

TINY = Config(train_images=128, test_images=64, epochs=2, filters=2, latents=4)
LONG = TINY.replace(epochs=6, batch_size=16, snapshots=True)
BAD = TINY.replace(variational=True, likelihood="bernoulli", learning_rate=100.0)  # its loss becomes NaN
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


def result(run):
    """All that must not depend on interruptions: history without times, weights, numbers."""
    numbers = {k: v for k, v in run.metrics.items() if "seconds" not in k}
    return run.history.drop(columns=["seconds"]), load_file(run.weights_file), numbers


def assert_same(run, other):
    (history, weights, numbers), (history2, weights2, numbers2) = result(run), result(other)
    pd.testing.assert_frame_equal(history, history2, check_exact=True)
    assert numbers == numbers2
    assert weights.keys() == weights2.keys()
    assert all(torch.equal(weights[k], weights2[k]) for k in weights)
    assert run.same_result(other)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with one run, made once."""
    made = Store(tmp_path_factory.mktemp("store"))
    made.run(TINY)
    return made


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("long")).run(LONG)


def tree(root):
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(Path(root).rglob("*")) if p.is_file()}


def test_a_run_is_trained_once_and_found_again(trained, monkeypatch):
    run = trained.find(TINY)
    assert (run.status, run.hash, run.config, trained.state(TINY)) == ("done", TINY.hash, TINY, "done")
    assert sorted(p.name for p in run.folder.iterdir()) == [
        "checkpoint.safetensors", "config.json", "history.csv", "metrics.json", "provenance.json", "weights-4.safetensors"]
    assert (run.folder / "config.json").read_text() == TINY.trajectory.json + "\n"
    assert list(run.history.epoch) == [1, 2]
    assert run.metrics["test_error"] == pytest.approx(run.history.test_error.iloc[-1], rel=1e-6)  # seven digits
    monkeypatch.setattr(loop, "train", None)
    assert trained.run(TINY).metrics == run.metrics
    assert [r.hash for r in trained.runs()] == [TINY.hash]
    assert "digits, 4 steps in" in run.summary()


def test_a_stored_model_is_the_trained_one(trained):
    from gonlib.data.datasets import load

    model, images = trained.find(TINY).load_model(), load("digits", train_images=128, test_images=64).test
    error = evaluate(model, images, TINY)["error"]
    assert error == pytest.approx(trained.find(TINY).metrics["test_error"], rel=1e-6)


def test_free_latents_are_not_stored_but_the_model_loads(tmp_path):
    run = Store(tmp_path).run(TINY.replace(inference="free", epochs=1, free_steps=2))
    assert run.load_model().encode(torch.rand(3, 1, 32, 32)).shape == (3, 4)


def test_snapshots_are_kept(uninterrupted):
    images, table = uninterrupted.snapshots
    assert images.shape == (len(table), 16, 1, 32, 32)
    assert {"step", "seconds", "test_error"} <= set(table.columns)


def test_provenance_says_where_a_number_came_from_and_nothing_private(trained):
    made = trained.find(TINY).provenance
    assert made["source"] == provenance.source_hash()
    assert {name.split("/")[0] for name in made["source_files"]} == {"method", "data", "training"}
    assert {"method/origin.py", "data/datasets.py", "training/loop.py"} <= set(made["source_files"])
    assert made["versions"]["torch"] == torch.__version__
    assert len(made["data"]["checksum"]) == 64
    assert made["wall_seconds"] > 0
    text = json.dumps(made)
    import getpass
    import socket

    assert "/home" not in text
    assert str(Path.cwd()) not in text
    assert socket.gethostname() not in text
    assert f'"{getpass.getuser()}"' not in text


def test_the_commit_is_that_of_the_checkout_whatever_git_was_told(tmp_path, monkeypatch):
    """A hook of another repository names that in the environment."""
    provenance.git_commit.cache_clear()
    ours = provenance.git_commit()
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    provenance.git_commit.cache_clear()
    assert provenance.git_commit() == ours


def test_state_and_find_in_a_chain(trained, tmp_path):
    empty, other = Store(tmp_path), TINY.replace(seed=5)
    assert find_run(TINY, [empty, trained]).folder.parent == trained.root
    assert find_run(other, [empty, trained]) is None
    assert trained.state(other) == "missing"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_stopping_at_a_deadline_and_going_on_gives_the_same_result(tmp_path, uninterrupted):
    made, stops = Store(tmp_path), 0
    while True:
        try:
            run = made.run(LONG, deadline=time.monotonic() + 0.1)
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
    assert json.loads(seen.read_text())["run"].startswith("digits, seed 0 train_images=128")
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
    assert made.find(TINY) is None or made.find(TINY).same_result(trained.find(TINY))
    assert_same(made.run(TINY), trained.find(TINY))


def test_a_run_that_fails_is_kept_as_failed_and_others_go_on(tmp_path):
    made = Store(tmp_path)
    failed = made.run(BAD)
    assert (failed.status, made.state(BAD)) == ("failed", "failed")
    assert "NaN or infinite" in failed.message
    assert "learning_rate" in failed.message
    assert failed.has_weights
    assert all(w.isfinite().all() for w in load_file(failed.weights_file).values())
    assert len(failed.history) == 0
    json.loads((failed.folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert made.run(TINY).status == "done"


def test_a_full_disk_is_told_and_loses_nothing(tmp_path, monkeypatch, trained):
    made = Store(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(UserError, match="no space is left on the disk"):
            made.run(TINY)
    assert made.find(TINY) is None
    assert_same(made.run(TINY), trained.find(TINY))


def test_a_device_that_is_not_there_is_told_and_nothing_falls_back(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device is available; .*--device cpu"):
        Store(tmp_path).run(TINY, device="cuda")
    for wrong in ("gpu", "cuda:x", "cpu:1", ""):
        with pytest.raises(UserError, match="unknown device"):
            check_device(wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert check_device("cuda:0") == "cuda:0"
    with pytest.raises(UserError, match="no CUDA device number 1; there are 1"):
        check_device("cuda:1")
    assert list(tmp_path.iterdir()) == []


def copy(trained, into):
    """A copy of the trained run in another store."""
    made = Store(into)
    made.merge(trained.root)
    return made, into / TINY.hash


@pytest.mark.parametrize("name, text", [
    ("config.json", '{"seed":1}'), ("config.json", "{"), ("config.json", '{"sede":1}'), ("metrics.json", ""),
    ("metrics.json", "[]"), ("metrics.json", "{}"), ("provenance.json", None), ("history.csv", None),
    ("metrics.json", "\udcff"),
])
def test_a_damaged_run_is_named(trained, tmp_path, name, text):
    made, folder = copy(trained, tmp_path)
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=f"{TINY.hash} is damaged: delete that folder"):
        made.find(TINY)


def test_damaged_tables_and_weights_are_named_when_read(trained, tmp_path):
    made, folder = copy(trained, tmp_path)
    (folder / "history.csv").write_bytes(b"epoch,step\n1,2\n3,4,5,6\n")
    with pytest.raises(UserError, match="is damaged"):
        len(made.find(TINY).history)
    (folder / "history.csv").write_bytes((trained.folder(TINY) / "history.csv").read_bytes())
    weights = folder / "weights-4.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(UserError, match="is damaged"):
        made.find(TINY).load_model()
    weights.unlink()
    with pytest.raises(UserError, match="was stored without its weights"):
        made.find(TINY).load_model()


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


def test_merging_takes_what_is_missing_and_counts_the_rest(trained, tmp_path):
    made = Store(tmp_path)
    assert made.merge(trained.root).copied == [TINY.hash]
    assert_same(made.find(TINY), trained.find(TINY))
    before = tree(tmp_path)
    again = made.merge(trained.root)
    assert (again.copied, again.identical, again.clean) == ([], [TINY.hash], True)
    assert tree(tmp_path) == before
    assert made.merge(tmp_path).identical == [TINY.hash]  # itself


def test_merging_completes_a_run_that_is_here(trained, tmp_path):
    other, folder = copy(trained, tmp_path / "other")
    (folder / "diversity.csv").write_text("later")
    made, bare = Store(tmp_path / "here"), tmp_path / "here" / TINY.hash
    made.merge(trained.root, weights=False)
    assert made.merge(other.root, weights=False).identical == [TINY.hash]
    assert (bare / "diversity.csv").read_text() == "later" and not made.find(TINY).has_weights
    made.merge(other.root)
    assert made.find(TINY).has_weights and tree(bare) == tree(folder)


def test_a_different_result_is_reported_and_not_overwritten(trained, tmp_path):
    made, folder = copy(trained, tmp_path / "a")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(metrics | {"seconds": 1e6}))
    assert made.merge(trained.root).identical == [TINY.hash]
    (folder / "metrics.json").write_text(json.dumps(metrics | {"test_error": 1.0}))
    before = tree(tmp_path)
    report = made.merge(trained.root)
    assert report.conflicts == [TINY.hash]
    assert not report.clean
    assert f"{TINY.hash}: a different result is here, kept." in str(report)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["metrics.json", "provenance.json", "config.json"])
def test_a_damaged_run_elsewhere_is_reported_and_skipped(trained, tmp_path, name):
    other, folder = copy(trained, tmp_path / "a")
    (folder / name).write_text("{")
    report = Store(tmp_path / "b").merge(other.root)
    assert (report.damaged, report.copied) == ([TINY.hash], [])
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["runs.tar", "runs.tar.xz"])
def test_a_pack_carries_runs_and_checkpoints(trained, tmp_path, uninterrupted, name):
    made, _ = copy(trained, tmp_path / "a")
    with pytest.raises(loop.OutOfTime):
        made.run(LONG, deadline=time.monotonic())
    made.pack(tmp_path / name)
    with tarfile.open(tmp_path / name) as tar:
        assert all((m.uname, m.uid, m.mtime) == ("", 0, 0) for m in tar)
        assert not [m.name for m in tar if m.name.endswith(("lock", ".tmp"))]
    there = Store(tmp_path / "b")
    report = there.merge(tmp_path / name)
    assert (report.copied, report.begun) == ([TINY.hash], [LONG.hash])
    assert there.state(LONG) == "growing"
    assert_same(there.run(LONG), uninterrupted)
    assert there.merge(tmp_path / name).begun == []


def test_a_pack_without_weights_leaves_numbers_and_weights_can_follow(trained, tmp_path):
    trained.pack(tmp_path / "small.tar", [TINY, TINY.replace(seed=9)], weights=False)
    made = Store(tmp_path / "b")
    made.merge(tmp_path / "small.tar")
    assert not made.find(TINY).has_weights
    assert made.find(TINY).metrics == trained.find(TINY).metrics
    made.merge(trained.root, weights=False)
    assert not made.find(TINY).has_weights
    made.merge(trained.root)
    assert_same(made.find(TINY), trained.find(TINY))


def evil_tar(path):
    """A tar whose members try to leave the folder in every way; returns their names."""
    run = "0123456789abcdef"
    with tarfile.open(path, "w") as tar:
        outside = ("../escaped", "/tmp/escaped", f"{run}/../../escaped", f"{run}/sub/escaped", "escaped", f"{run}/..")
        for name in outside:
            entry = tarfile.TarInfo(name)
            entry.size = 4
            tar.addfile(entry, BytesIO(b"evil"))
        for name, kind in ((f"{run}/link", tarfile.SYMTYPE), (f"{run}/hard", tarfile.LNKTYPE), (run, tarfile.SYMTYPE),
                           (f"{run}/device", tarfile.CHRTYPE), (f"{run}/pipe", tarfile.FIFOTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "../../escaped"
            tar.addfile(entry)
        return tar.getnames()


def test_names_that_leave_the_folder_are_refused_and_reported(trained, tmp_path):
    names = evil_tar(tmp_path / "evil.tar")
    made, _ = copy(trained, tmp_path / "store")
    before = tree(made.root)
    report = made.merge(tmp_path / "evil.tar")
    assert report.refused == names
    assert "../escaped: refused: not a plain file of a run that can be read." in str(report)
    assert tree(made.root) == before
    assert not list(tmp_path.rglob("escaped"))


def test_links_in_a_folder_are_refused(trained, tmp_path):
    other, folder = copy(trained, tmp_path / "a")
    (tmp_path / "secret").write_text("secret")
    (folder / "picture.png").symlink_to(tmp_path / "secret")
    (other.root / "0123456789abcdef").symlink_to(tmp_path)
    report = Store(tmp_path / "b").merge(other.root)
    assert sorted(report.refused) == ["0123456789abcdef", f"{TINY.hash}/picture.png"]
    assert not list((tmp_path / "b").rglob("*.png"))


def test_what_is_not_a_pack_is_told(trained, tmp_path):
    (tmp_path / "no.tar").write_bytes(b"not a tar at all" * 100)
    trained.pack(tmp_path / "all.tar.xz")
    (tmp_path / "cut.tar.xz").write_bytes((tmp_path / "all.tar.xz").read_bytes()[:-2000])
    for name in ("no.tar", "cut.tar.xz", "absent.tar"):
        with pytest.raises(UserError, match=f"cannot read runs from .*{name}"):
            Store(tmp_path / "store").merge(tmp_path / name)
    assert list((tmp_path / "store").iterdir()) == []


def test_where_stores_are(monkeypatch, tmp_path):
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path))
    assert store.local_store().root == tmp_path
    monkeypatch.delenv("GONLIB_STORE")
    monkeypatch.chdir(tmp_path)
    assert store.local_store().root == provenance.repository_root() / "build" / "store"
    assert store.recorded_store().root == provenance.repository_root() / "book" / "results"


def test_a_store_whose_name_is_no_text_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(UserError, match=r"run store .*caf\\udce9 is not UTF-8; choose another folder") as told:
        Store(tmp_path / "caf\udce9")
    assert str(told.value).encode()


def test_progress_is_reported_to_who_asks(tmp_path):
    seen = []
    Store(tmp_path).run(TINY, progress=lambda fraction, text: seen.append((fraction, text)))
    assert seen[-1][0] == 1
    assert [fraction for fraction, _ in seen] == sorted(fraction for fraction, _ in seen)
    assert runs.Run(tmp_path / TINY.hash).status == "done"


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "provenance.json", "history.csv", "weights*"])
def test_what_may_not_be_read_is_not_called_damaged(trained, tmp_path, monkeypatch, name):
    made, folder = copy(trained, tmp_path)
    (it,) = folder.glob(name)

    def denied(path, *arguments):
        if Path(path) == it:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return open(path, *arguments)

    monkeypatch.setattr(files, "open", denied, raising=False)
    with pytest.raises(UserError, match=f"{it.name} cannot be read or written: permission denied") as told:
        made.find(TINY).load_model()
    assert "delete" not in str(told.value)


@pytest.mark.parametrize("name", ["config.json", "provenance.json", "history.csv"])
def test_a_pipe_in_a_run_is_damage_and_nothing_waits_for_it(trained, tmp_path, name):
    made, folder = copy(trained, tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match="is damaged"):
        made.find(TINY).load_model()


def test_json_nested_without_end_is_damage(trained, tmp_path):
    made, folder = copy(trained, tmp_path)
    (folder / "metrics.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is damaged"):
        made.find(TINY)
