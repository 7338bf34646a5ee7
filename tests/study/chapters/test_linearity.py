"""The counted costs of a step are those that the argument predicts, and float32 is judged against float64."""

import pytest
import torch
from study.fake_runs import table

from gonlib.data import as_float
from gonlib.data.datasets import load
from gonlib.method.models import build
from gonlib.method.normalisation import BatchNorm
from gonlib.study.chapters import gon, linearity
from gonlib.study.chapters.linearity import counted_costs, expected_costs, float32_errors
from gonlib.training.config import Config


@pytest.mark.parametrize("latents", [8, 16, 48])
def test_counted_costs_are_as_expected(latents):
    config = Config(latents=latents, filters=8, size=16)
    expected, counted = expected_costs(config, 32), counted_costs(config, batch=32)
    assert list(expected) == list(counted)
    for name, passes in expected.items():
        # outermost layers do a little less: nobody asks for the gradient of images
        assert counted[name] == pytest.approx(passes, rel=0.12), name


def test_float32_errors_judge_both_forms_and_leave_the_model_alone():
    torch.manual_seed(0)
    model = build(Config(latents=6, filters=4, size=16), 1)
    with torch.no_grad():  # at initialisation the second derivative of the ELU is asked for at its jump
        for layer in model.modules():
            if isinstance(layer, BatchNorm):
                layer.bias.uniform_(-1, 1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    errors = float32_errors(model, torch.rand(16, 1, 16, 16))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.inference.exact and not model.inference.detach
    for form in ("reference", "fast"):
        assert all(0 < error < 0.01 for error in errors[form].values())
    assert errors["fast"]["latents"] < errors["reference"]["latents"]


def test_the_encoder_agrees_with_its_matrix_and_pca_bounds_a_linear_decoder():
    data = load("digits", size=8, train_images=300, test_images=50)
    model = build(Config(size=8, filters=4, latents=4), 1).ready()
    agreed = linearity.agreement(model, as_float(data.test), 16)
    assert max(agreed) < 1e-3
    pca, linear_decoder, _ = linearity.decoders_compared(model, data)
    assert pca < linear_decoder * 1.05


def test_what_detaching_does_is_said_where_both_runs_are_there():
    runs = table({("GON", "mnist"): 0.5, ("1 step, detached", "mnist"): 2.0})
    said = gon.detaching(runs)
    assert "0.50" in said and "4.0 times" in said and "MNIST" in said
    assert gon.detaching(runs[runs.model == "GON"]) is None and len(gon.in_short(runs[:0], runs[:0])) == 1
