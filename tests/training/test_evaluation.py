"""What is measured of a model: its errors as computed by hand, in each mode of evaluation, and snapshots on the way."""

import math

import pytest
import torch
from tiny_trainings import tiny

from gonlib.data.datasets import load
from gonlib.method.models import MODELS
from gonlib.training.evaluation import evaluate, is_recorded
from gonlib.training.loop import Training, train
from gonlib.training.snapshots import is_point


def test_the_history_thins_out_at_points_that_do_not_depend_on_its_length():
    often = [epoch for epoch in range(1, 2001) if is_recorded(epoch)]
    assert often[:101] == [*range(1, 101), 105] and often[178:181] == [495, 500, 510] and often[-1] == 2000
    rarely = [epoch for epoch in range(1, 2001) if is_recorded(epoch, rarely=True)]
    assert rarely == [1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1000, 1500, 2000]


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
