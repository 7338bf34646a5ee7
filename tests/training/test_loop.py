"""Training: it learns, it can be stopped at any moment and goes on to the same result, and it says when it fails."""

import functools
import itertools
import json
import math
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from gonlib.data.datasets import load
from gonlib.errors import UserError
from gonlib.method.model import Model
from gonlib.method.models import MODELS
from gonlib.training import checkpoint, loop
from gonlib.training.config import Config
from gonlib.training.evaluation import evaluate, is_recorded
from gonlib.training.loop import OutOfTime, Training, TrainingFailed, train
from gonlib.training.snapshots import is_point

TINY = Config(size=8, filters=4, latents=4, hidden=8, layers=2, train_images=96, test_images=40, batch_size=16, epochs=3,
              learning_rate=1e-2, free_steps=3)
STEPS = 18  # 6 in each of 3 epochs


def tiny(name="GON", **changes):
    return TINY.replace(**(MODELS[name] | changes))


@pytest.fixture(scope="module")
def digits():
    return load("digits", 8, 96, 40)


@pytest.fixture(scope="module")
def trained(digits):
    """Name of the registry, and what is changed -> its trained model; each is trained once."""
    return functools.cache(lambda name, **changes: train(tiny(name, **changes), digits))


def timeless(row):
    return {k: v for k, v in row.items() if "seconds" not in k}


def assert_same(one, two):
    """The same result, bit for bit; only times may differ."""
    assert [*map(timeless, one.history)] == [*map(timeless, two.history)]
    assert timeless(one.metrics) == timeless(two.metrics)
    mine, theirs = one.model.state_dict(), two.model.state_dict()
    assert mine.keys() == theirs.keys()
    assert [k for k in mine if not torch.equal(mine[k], theirs[k])] == []
    assert [*map(timeless, one.snapshot_history)] == [*map(timeless, two.snapshot_history)]
    assert (one.snapshots is None) == (two.snapshots is None)
    assert one.snapshots is None or torch.equal(one.snapshots, two.snapshots)
    assert torch.equal(one.model.kl_weight, two.model.kl_weight)


# --- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns(name, trained):
    history = trained(name).history
    assert history[-1]["train_loss"] < 0.9 * history[0]["train_loss"]
    assert trained(name).metrics["test_error"] < history[0]["test_error"]


@pytest.mark.slow
def test_a_gon_beats_the_mean_image_and_goes_on_learning(digits, trained):
    gon = trained("GON", epochs=20)
    constant = (digits.test / 255 - digits.train.float().mean(0) / 255).square().sum() / 40
    assert gon.metrics["test_error"] < 0.8 * constant
    losses = [row["train_loss"] for row in gon.history]
    assert losses[-1] < losses[5] < losses[0]


def test_history_and_metrics(trained):
    gon, variational = trained("GON"), trained("VGON")
    assert [(row["epoch"], row["step"]) for row in gon.history] == [(1, 6), (2, 12), (3, 18)]
    assert set(gon.history[0]) == {"epoch", "step", "seconds", "train_loss", "train_error", "test_error"}
    seconds = [row["seconds"] for row in gon.history]
    assert seconds == sorted(seconds) and seconds[0] > 0
    expected = {"epochs": 3, "steps": STEPS, "images": 96, "channels": 1, "test_error": gon.history[-1]["test_error"],
                "parameters": sum(p.numel() for p in gon.model.parameters())}
    assert {k: gon.metrics[k] for k in expected} == expected
    assert {"train_bits", "test_bits", "train_kl", "test_kl"} <= set(variational.history[0]) & set(variational.metrics)


@pytest.mark.parametrize("changes, epochs, steps", [
    ({"steps": 15}, 3, 15), ({"steps": 12}, 2, 12), ({"steps": 1000}, 3, 18), ({"epochs": 1}, 1, 6),
    ({"batch_size": 40}, 3, 6), ({"batch_size": 500}, 3, 3), ({"batch_size": 96}, 3, 3),
])
def test_epochs_and_steps(changes, epochs, steps, digits):
    trained = train(tiny(**changes), digits)
    assert (trained.metrics["epochs"], trained.metrics["steps"]) == (epochs, steps)
    assert trained.history[-1]["step"] == steps and len(trained.history) == epochs


def test_every_image_is_seen_once_in_an_epoch(digits, monkeypatch):
    seen, real = [], Model.loss
    monkeypatch.setattr(Model, "loss", lambda self, x, index, *labels: seen.append(index.clone()) or real(self, x, index))
    train(tiny(epochs=2), digits)
    first, second = torch.cat(seen[:6]), torch.cat(seen[6:])
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(96))
    assert not torch.equal(first, second)


def test_free_latents_are_evaluated_at_some_epochs_only(digits):
    trained = train(tiny("GLO", epochs=25, steps=49, batch_size=48), digits)
    assert [row["epoch"] for row in trained.history] == [1, 2, 5, 10, 20, 25]
    assert all("test_error" in row for row in trained.history) and "inference.table" not in trained.weights()
    assert (trained.model.inference.visits > 15).all()


def test_the_history_thins_out_at_points_that_do_not_depend_on_its_length():
    often = [epoch for epoch in range(1, 2001) if is_recorded(epoch)]
    assert often[:101] == [*range(1, 101), 105] and often[178:181] == [495, 500, 510] and often[-1] == 2000
    rarely = [epoch for epoch in range(1, 2001) if is_recorded(epoch, rarely=True)]
    assert rarely == [1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1000, 1500, 2000]


# --- the same numbers again ------------------------------------------------------------------------------------------


def test_deterministic_given_the_seed_alone(digits):
    torch.manual_seed(1)
    one = train(tiny("VGON", epochs=2), digits)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = train(tiny("VGON", epochs=2), digits)
    assert_same(one, two)
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's random numbers are used up
    other = train(tiny("VGON", epochs=2, seed=1), digits)
    assert other.metrics["test_error"] != one.metrics["test_error"]


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


# --- growing ---------------------------------------------------------------------------------------------------------


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


def test_looking_changes_nothing_in_the_training(digits):
    """Random origins at evaluation and in snapshots are not drawn from the training's random numbers."""
    changes = {"origin_sd": 0.3, "batchnorm": False, "steps": 17}
    seldom = train(tiny(**changes), digits)
    often = train(tiny(snapshots=True, **changes), digits)
    assert [*map(timeless, seldom.history)] == [*map(timeless, often.history)]
    training = Training(tiny(**changes), digits)
    before = training.generator.get_state()
    training.on_test()
    evaluate(training.model, digits.test, tiny(**changes))
    training.snapshots.take(0, 0.0)
    assert torch.equal(before, training.generator.get_state())


NUMBERS = Path(__file__).with_name("numbers.json")


@pytest.mark.parametrize("name", MODELS)
def test_numbers_move_only_when_they_are_said_to(name):
    """If this fails, a change moved the numbers of runs: raise loop.NUMERICS, and write the file anew."""
    config = Config(size=16, train_images=256, test_images=64, epochs=2, filters=4, latents=8, hidden=16, layers=2,
                    **MODELS[name])
    metrics, expected = train(config, load("digits", 16, 256, 64)).metrics, json.loads(NUMBERS.read_text())
    assert expected["NUMERICS"] == loop.NUMERICS
    for key, value in expected[name].items():
        assert metrics[key] == pytest.approx(value, rel=1e-4), key


def test_a_deadline_without_a_checkpoint(digits):
    with pytest.raises(OutOfTime):
        train(tiny(), digits, deadline=time.monotonic() - 1)
    assert train(tiny(), digits, deadline=time.monotonic() + 600).metrics["steps"] == STEPS


def test_progress(digits):
    seen = []
    train(tiny(), digits, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] > 0 and fractions[-1] == 1
    assert f"step {STEPS} of {STEPS}" in seen[-1][1]


# --- bad checkpoints, and losses that are no numbers -----------------------------------------------------------------


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


# --- snapshots -------------------------------------------------------------------------------------------------------


def test_snapshots(digits, trained):
    run = train(tiny(snapshots=True), digits)
    assert [row["step"] for row in run.snapshot_history] == [0, 1, 2, 3, 6, 10, 18]
    assert run.snapshots.shape == (7, 16, 1, 8, 8) and run.snapshots.dtype == torch.uint8
    errors = [row["test_error"] for row in run.snapshot_history]
    assert all(map(math.isfinite, errors)) and {"step", "seconds", "test_error"} <= set(run.snapshot_history[0])
    assert errors[-1] == run.metrics["test_error"] < errors[0]
    assert trained("GON").metrics["test_error"] == run.metrics["test_error"]  # looking on changes nothing


def test_snapshots_stand_at_steps_that_do_not_depend_on_the_length():
    steps = [step for step in range(2000) if is_point(step)]
    assert steps == [0, 1, 2, 3, 6, 10, 18, 32, 56, 100, 178, 316, 562, 1000, 1778]


# --- evaluation ------------------------------------------------------------------------------------------------------


def by_hand(model, images, config):
    """Summed squared error per image, in batches as in training."""
    total, noise = 0.0, model.fixed_noise(len(images))  # a row of noise per image, whatever the batches
    with model.evaluating(config.evaluation), torch.no_grad():
        for start in range(0, len(images), config.batch_size):
            x = images[start : start + config.batch_size].float() / 255
            z = model.inference(model, x, noise=None if noise is None else noise[start : start + config.batch_size])
            for picture, image in zip(model.decode(z), x, strict=True):
                total += ((picture - image).double() ** 2).sum().item()
    return total / len(images)


@pytest.mark.parametrize("name, mode", [(name, mode) for name in MODELS for mode in ("batch", "population", "running")
                                        if (name, mode) != ("VGON", "population")])
def test_the_error_is_that_of_a_hand_computation(name, mode, digits, trained):
    config, model = tiny(name, evaluation=mode), trained(name).model
    for images in (digits.test, digits.train[:7]):  # the last batch is smaller
        assert evaluate(model, images, config)["error"] == pytest.approx(by_hand(model, images, config), rel=1e-5)
    assert not model.training


def test_training_images_keep_their_own_free_latents(digits, trained):
    model, config = trained("GLO").model, tiny("GLO")
    index = torch.arange(40)
    known = evaluate(model, digits.train[:40], config, index)["error"]
    x = digits.train[:40].float() / 255
    with model.evaluating("batch"), torch.no_grad():
        parts = [(model.decode(model.inference.table[i]) - x[i]).square().sum() for i in index.split(16)]
    assert known == pytest.approx(sum(parts).item() / 40, rel=1e-5)
    assert known != evaluate(model, digits.train[:40], config)["error"]


def test_bits_are_those_of_the_whole_elbo(digits):
    """Annealing weighs the KL term in training; what is reported is the bound itself."""
    config = tiny("VGON", kl_anneal=100, epochs=1)
    model = train(config, digits).model
    assert model.kl_weight < 0.1
    annealed, last = evaluate(model, digits.test, config), model.kl_weight.clone()
    assert torch.equal(model.kl_weight, last)
    model.kl_weight.fill_(1.0)
    assert evaluate(model, digits.test, config) == pytest.approx(annealed, rel=1e-6)
    nll = annealed["bits"] * 64 * math.log(2) - annealed["kl"]
    assert nll > 0 and annealed["kl"] > 0


def test_the_weight_of_the_kl_term_grows(digits, monkeypatch):
    weights, real = [], Training.begin_epoch
    monkeypatch.setattr(Training, "begin_epoch", lambda self: (real(self), weights.append(self.model.kl_weight.item())))
    train(tiny("VAE", epochs=6, kl_anneal=5, batch_size=96), digits)
    assert weights == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    weights.clear()
    train(tiny("VAE", batch_size=96), digits)
    assert weights == [1.0, 1.0, 1.0]


def test_population_does_not_depend_on_the_batch_size(digits, trained):
    config, model = tiny(evaluation="population"), trained("GON").model
    errors = [evaluate(model, digits.test, config.replace(batch_size=b))["error"] for b in (1, 7, 16, 64)]
    assert errors == pytest.approx([errors[0]] * 4, rel=1e-5)
    batch = [evaluate(model, digits.test, tiny(batch_size=b))["error"] for b in (4, 40)]
    assert batch[0] != pytest.approx(batch[1], rel=1e-3)  # as published it does


def test_evaluation_modes_are_all_the_same_without_normalisation(digits):
    for name, changes in (("GON", {"batchnorm": False}), ("implicit GON", {})):
        model = train(tiny(name, epochs=1, **changes), digits).model
        modes = ("batch", "population", "running")
        errors = [evaluate(model, digits.test, tiny(name, evaluation=mode, **changes))["error"] for mode in modes]
        assert errors == pytest.approx([errors[0]] * 3, rel=1e-5)


@pytest.mark.slow
def test_running_statistics_ruin_a_gon():
    some, errors = load("digits", 8, 512, 128), {}
    config = tiny(train_images=512, test_images=128, batch_size=32, learning_rate=3e-3, epochs=20)
    model = train(config, some).model
    for mode in ("batch", "population", "running"):
        errors[mode] = evaluate(model, some.test, config.replace(evaluation=mode))["error"]
    assert errors["population"] < 1.2 * errors["batch"]
    assert errors["running"] > 1.5 * errors["batch"]


def test_the_mean_image_is_the_training_set_s(digits):
    model = Training(tiny(), digits).model
    torch.testing.assert_close(model.mean_image, digits.train.float().mean(0) / 255)


def test_data_of_another_size_and_a_device_that_is_not_there_are_told(digits, monkeypatch):
    with pytest.raises(UserError, match="for images of 16 x 16 pixels, the data set's are 8 x 8: load it with size=16"):
        train(tiny(size=16), digits)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, message in (("cuda", "no CUDA device is available"), ("gpu", "unknown device 'gpu'")):
        with pytest.raises(UserError, match=message):
            train(tiny(), digits, device)
