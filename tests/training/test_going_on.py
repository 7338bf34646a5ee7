"""A training goes on: stopped anywhere, or asked for more, it gives the result of one made at once, bit for bit."""

import itertools
import time
from types import SimpleNamespace

import pytest
import torch
from tiny_trainings import STEPS, assert_same, tiny

from gonlib.method.models import MODELS
from gonlib.training import loop
from gonlib.training.loop import OutOfTime, train

RESUMED = {
    "GON": {}, "AE": {"evaluation": "population", "snapshots": True}, "VGON": {"kl_anneal": 3, "snapshots": True}, "GLO": {},
    "VAE": {"kl_anneal": 3}, "10 steps": {"steps": 15, "inner_steps": 2},
    "1 step, detached": {"origin_sd": 0.3, "snapshots": True},
    "implicit GON": {"inner_fraction": 0.5, "evaluation": "running"}, "Tied AE": {"batch_size": 500},
}


@pytest.mark.parametrize("name", RESUMED)
def test_stopped_anywhere_it_goes_on_to_the_same_result(name, digits, tmp_path, monkeypatch):
    config, path = tiny(name, **RESUMED[name]), tmp_path / "checkpoint.safetensors"
    straight = train(config, digits)
    # a clock that gives every call of `train` three steps
    clock = SimpleNamespace(perf_counter=itertools.count(step=0.1).__next__, monotonic=time.monotonic)
    monkeypatch.setattr(loop, "time", clock)
    done = []
    for _ in range(2 * STEPS):
        torch.manual_seed(len(done))  # chance outside has no say
        try:
            resumed = train(config, digits, checkpoint=path, deadline=0.0)
            break
        except OutOfTime as stop:
            assert path.exists() and "step" in str(stop)
            done.append(str(stop))
    assert len(done) >= (4 if config.batch_size == 16 else 2)
    assert_same(straight, resumed)
    assert {p.name for p in tmp_path.iterdir()} == {path.name}


def test_a_checkpoint_of_a_finished_run_is_its_result(digits, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    config = tiny("VGON", snapshots=True, kl_anneal=3)
    straight = train(config, digits, checkpoint=path, save_every=0.0)
    assert path.exists()
    assert_same(straight, train(config, digits, checkpoint=path))


def test_a_checkpoint_is_written_at_its_time_and_at_the_end(digits, tmp_path):
    path, seen = tmp_path / "checkpoint.safetensors", []
    train(tiny(), digits, checkpoint=path, publish=lambda trained: seen.append(trained.metrics["steps"]))
    assert (seen, [p.name for p in tmp_path.iterdir()]) == ([STEPS], [path.name])
    path.unlink()
    train(tiny(), digits, checkpoint=path, save_every=0.0, publish=lambda trained: seen.append(trained.metrics["steps"]))
    assert seen[-1] == STEPS and len(seen) > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_grown_in_two_goes_it_is_the_run_made_at_once(name, digits, tmp_path):
    path, more = tmp_path / "checkpoint.safetensors", {"kl_anneal": 4} if "V" in name else {}
    at_once = train(tiny(name, epochs=5, **more), digits)
    train(tiny(name, epochs=2, **more), digits, checkpoint=path)
    assert_same(train(tiny(name, epochs=5, **more), digits, checkpoint=path), at_once)


@pytest.mark.parametrize("stops", [(1, 18), (7, 9, 15), (15, 18), (6, 12, 13)])
def test_stopped_in_the_middle_of_an_epoch_it_grows_too(stops, digits, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    for stop in stops:
        grown = train(tiny(steps=stop, snapshots=True), digits, checkpoint=path)
        assert_same(grown, train(tiny(steps=stop, snapshots=True), digits))
        assert grown.history[-1]["step"] == stop and [row["step"] for row in grown.history[:-1]] == [
            step for step in (6, 12) if step < stop]  # the ends of earlier goes are no part of the history


def test_a_deadline_without_a_checkpoint(digits):
    with pytest.raises(OutOfTime):
        train(tiny(), digits, deadline=time.monotonic() - 1)
    assert train(tiny(), digits, deadline=time.monotonic() + 600).metrics["steps"] == STEPS
