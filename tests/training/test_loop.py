"""The loop: a model learns, its history says what it should, and the same seed gives the same numbers."""

import json
from pathlib import Path

import pytest
import torch
from tiny_trainings import STEPS, assert_same, timeless, tiny

from gonlib.data.datasets import load
from gonlib.errors import UserError
from gonlib.method.model import Model
from gonlib.method.models import MODELS
from gonlib.training import loop
from gonlib.training.config import Config
from gonlib.training.evaluation import evaluate
from gonlib.training.loop import Training, train


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


def test_progress(digits):
    seen = []
    train(tiny(), digits, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] > 0 and fractions[-1] == 1
    assert f"step {STEPS} of {STEPS}" in seen[-1][1]


def test_the_weight_of_the_kl_term_grows(digits, monkeypatch):
    weights, real = [], Training.begin_epoch
    monkeypatch.setattr(Training, "begin_epoch", lambda self: (real(self), weights.append(self.model.kl_weight.item())))
    train(tiny("VAE", epochs=6, kl_anneal=5, batch_size=96), digits)
    assert weights == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    weights.clear()
    train(tiny("VAE", batch_size=96), digits)
    assert weights == [1.0, 1.0, 1.0]


def test_data_of_another_size_and_a_device_that_is_not_there_are_told(digits, monkeypatch):
    with pytest.raises(UserError, match="for images of 16 x 16 pixels, the data set's are 8 x 8: load it with size=16"):
        train(tiny(size=16), digits)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, message in (("cuda", "no CUDA device is available"), ("gpu", "unknown device 'gpu'")):
        with pytest.raises(UserError, match=message):
            train(tiny(), digits, device)
