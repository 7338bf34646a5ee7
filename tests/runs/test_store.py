"""The run store: a run is trained once, found by its name, and says where it came from."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import TINY, assert_same

from gonlib.errors import UserError
from gonlib.runs import provenance, store
from gonlib.runs import run as runs
from gonlib.runs.store import Store, find_run
from gonlib.training import loop
from gonlib.training.evaluation import evaluate
from gonlib.training.forms import check_device

BAD = TINY.replace(variational=True, likelihood="bernoulli", learning_rate=100.0)  # its loss becomes NaN


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

    model, images = trained.find(TINY).load_model(), load("digits", 8, train_images=128, test_images=64).test
    error = evaluate(model, images, TINY)["error"]
    assert error == pytest.approx(trained.find(TINY).metrics["test_error"], rel=1e-6)


def test_free_latents_are_not_stored_but_the_model_loads(tmp_path):
    run = Store(tmp_path).run(TINY.replace(inference="free", epochs=1, free_steps=2))
    assert run.load_model().encode(torch.rand(3, 1, 8, 8)).shape == (3, 4)


def test_snapshots_are_kept(uninterrupted):
    images, table = uninterrupted.snapshots
    assert images.shape == (len(table), 16, 1, 8, 8)
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


def test_a_run_goes_on_where_nobody_can_watch_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GONLIB_PROGRESS", str(tmp_path / "nowhere"))
    assert Store(tmp_path / "store").run(TINY.replace(epochs=1, train_images=32)).status == "done"
