"""Bad checkpoints are named, and a loss that is no number stops a training in its last good state."""

import dataclasses
import itertools
import math
import re
import time
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_trainings import tiny

from gonlib.data.datasets import load
from gonlib.errors import UserError
from gonlib.method.model import Model
from gonlib.training import checkpoint, loop
from gonlib.training.config import Config
from gonlib.training.loop import OutOfTime, Training, TrainingFailed, train


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def further(path):
    """More steps than were done."""
    content = path.read_bytes()
    path.write_bytes(re.sub(rb'(\\"done\\": )\d', rb"\g<1>7", content))
    assert path.read_bytes() != content


def of_another_device(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\\"device\\": \\"cpu\\"', b'\\"device\\": \\"gpu\\"'))
    assert path.read_bytes() != content


def of_another_model(path):
    other = tiny(latents=6)
    path.unlink()
    with pytest.raises(OutOfTime):
        train(other, load("digits", 8, 96, 40), checkpoint=path, deadline=0.0)


DAMAGE = {
    "truncated": truncated, "empty": lambda path: path.write_bytes(b""), "text": lambda path: path.write_text("hello"),
    "a flipped bit": flipped, "altered": further, "device altered": of_another_device,
    "another model": of_another_model, "weights": lambda path: save_file({"x": torch.zeros(2)}, path),
    "incomplete": lambda path: save_file({"x": torch.zeros(2)}, path, {"state": "{}"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_named(damage, digits, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(OutOfTime):
        train(tiny(), digits, checkpoint=path, deadline=0.0)
    DAMAGE[damage](path)
    with pytest.raises(UserError, match="checkpoint.safetensors.*delete"):
        train(tiny(), digits, checkpoint=path)


def test_a_checkpoint_of_another_kind_of_device_is_kept_and_said(digits, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    train(tiny(), digits, checkpoint=path)
    tensors, meta = checkpoint.read(path)
    checkpoint.write(path, tensors, meta | {"device": "cuda"})
    content = path.read_bytes()
    with pytest.raises(UserError, match="was made on cuda, .* go on there with --device cuda; it is kept"):
        train(tiny(epochs=9), digits, checkpoint=path)
    assert path.read_bytes() == content


def spoil(monkeypatch, at, spoilt):
    """Replace the loss of call number `at` (from 1) and all that follow by `spoilt(model, loss)`."""
    calls, real = itertools.count(1), Model.loss
    monkeypatch.setattr(Model, "loss", lambda self, x, index, *labels: (
        spoilt if next(calls) >= at else lambda _, loss: loss)(self, real(self, x, index)))


def not_a_number(model, loss):
    return loss * math.nan


def bad_gradient(model, loss):
    """A finite loss whose gradient is not."""
    return loss + 0 * (0 * next(model.parameters())).sqrt().sum()


@pytest.mark.parametrize("spoilt, at", [
    (not_a_number, 15), (not_a_number, 13), (lambda model, loss: loss + math.inf, 18), (bad_gradient, 14),
    (bad_gradient, 18),
])
@pytest.mark.parametrize("name", ["GON", "GLO"])
def test_a_loss_that_is_no_number_stops_the_run_in_its_last_good_state(
        name, spoilt, at, digits, trained, monkeypatch):
    good = trained(name, epochs=2)
    spoil(monkeypatch, at, spoilt)
    with pytest.raises(TrainingFailed, match="NaN or infinite in epoch 3.*learning_rate") as fault:
        train(tiny(name, epochs=50), digits)
    kept = fault.value.trained
    assert [row["train_loss"] for row in kept.history] == [row["train_loss"] for row in good.history]
    for key, value in good.model.state_dict().items():
        assert torch.equal(kept.model.state_dict()[key], value), key
    assert kept.metrics["epochs"] == 2 and all(map(math.isfinite, kept.metrics.values()))


def test_failing_in_the_first_epoch_leaves_the_initial_state(digits, monkeypatch):
    spoil(monkeypatch, 2, not_a_number)
    with pytest.raises(TrainingFailed, match="epoch 1") as fault:
        train(tiny(), digits)
    start = Training(tiny(), digits).model.state_dict()
    assert fault.value.trained.history == [] and "test_error" not in fault.value.trained.metrics
    assert all(torch.equal(v, start[k]) for k, v in fault.value.trained.weights().items())


@pytest.mark.parametrize("spoilt", [not_a_number, bad_gradient])
def test_checkpoints_keep_a_good_state(spoilt, digits, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    clock = SimpleNamespace(perf_counter=itertools.count(step=0.3).__next__, monotonic=time.monotonic)
    monkeypatch.setattr(loop, "time", clock)  # a step at a time
    spoil(monkeypatch, 9, spoilt)
    with pytest.raises(TrainingFailed):
        train(tiny(), digits, checkpoint=path, save_every=0.0)
    tensors = load_file(path)
    assert all(tensor.float().isfinite().all() for tensor in tensors.values())
    assert tensors["position"] == 2  # eight good steps: an epoch of 6 and 2 more


def test_a_learning_rate_far_too_large(digits):
    with pytest.raises(TrainingFailed, match="try a smaller learning_rate than 50"):
        train(tiny("VAE", learning_rate=50.0, epochs=60), digits)


@pytest.mark.unchecked
@pytest.mark.parametrize("wrong", [(Config(), torch.zeros(4, 1, 8, 8)), ({"epochs": 1}, None)])
def test_what_is_no_data_set_is_refused_in_one_sentence(wrong):
    with pytest.raises(UserError, match="train takes a Config and a data set, as gonlib.load gives it, not"):
        train(*wrong)


@pytest.mark.unchecked
@pytest.mark.parametrize("change", [
    {"train": torch.zeros(4, 1, 16, 16)}, {"test": torch.zeros(4, 3, 16, 16, dtype=torch.uint8)},
    {"test": torch.zeros(0, 1, 16, 16, dtype=torch.uint8)}, {"train_labels": torch.zeros(2, dtype=torch.int64)},
    {"test_labels": torch.tensor([-1])}])
def test_a_data_set_of_ones_own_is_looked_at_when_it_is_made(digits, change):
    with pytest.raises(UserError, match=f"the {next(iter(change)).split('_')[0]} (images|labels) of a data set must be"):
        dataclasses.replace(digits, **change)


def test_a_checkpoint_in_no_folder_is_told_before_anything_is_trained(digits, tmp_path):
    with pytest.raises(UserError, match="there is no folder .*nowhere to write the checkpoint into"):
        train(tiny("GON"), digits, checkpoint=tmp_path / "nowhere" / "checkpoint.safetensors")
