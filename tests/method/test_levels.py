"""Likelihoods over 256 levels: probabilities, extreme outputs, expected images, and what they do in a GON."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gonlib.method.likelihoods import LIKELIHOODS, bits_per_dim
from gonlib.method.models import build
from gonlib.method.normalisation import BatchNorm
from gonlib.training.config import Config

torch.set_num_threads(1)
LEVELS = (torch.arange(256, dtype=torch.float64) / 255).view(256, 1, 1, 1)
every = pytest.mark.parametrize("name", [name for name in LIKELIHOODS if not LIKELIHOODS[name].affine])


def images(n, channels=1, side=2):
    """Random images on the 256 levels, the darkest and the lightest among them."""
    x = torch.randint(0, 256, (n, channels, side, side), generator=torch.Generator().manual_seed(0)) / 255
    x.view(-1)[0], x.view(-1)[1] = 0, 1
    return x.double()


@every
@given(seed=st.integers(0, 1000), spread=st.sampled_from([0.0, 0.3, 3.0, 30.0]))
@settings(max_examples=20, deadline=None)
def test_probabilities_sum_to_one(name, seed, spread):
    shape = 1, LIKELIHOODS[name].outputs, 1, 1
    params = spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    nll = LIKELIHOODS[name].nll(params.expand(256, -1, -1, -1), LEVELS)
    assert nll.shape == (256,) and nll.isfinite().all() and nll.min() >= 0
    assert float((-nll).exp().sum()) == pytest.approx(1, abs=1e-9)


def test_a_bernoulli_is_no_distribution_over_levels():
    nll = LIKELIHOODS["bernoulli"].nll(torch.zeros(256, 1, 1, 1, dtype=torch.float64), LEVELS)
    assert float((-nll).exp().sum()) == pytest.approx(128)  # probabilities of 128 in all: its "bits/dim" are too few


def test_a_uniform_categorical_costs_exactly_8_bits_per_dimension():
    x = images(3, channels=3, side=4)
    nll = LIKELIHOODS["categorical"].nll(torch.zeros(3, 256 * 3, 4, 4, dtype=torch.float64), x)
    assert bits_per_dim(nll, x[0].numel()).tolist() == pytest.approx([8, 8, 8], abs=1e-12)


@pytest.mark.parametrize("name, cdf", [("gaussian", torch.special.ndtr), ("logistic", torch.sigmoid)])
def test_a_bin_holds_the_mass_between_its_edges(name, cdf):
    raw = 5 * math.atanh((math.log(0.1) + 2) / 5)  # a scale of 0.1 about 1/2
    params = torch.tensor([0.0, raw], dtype=torch.float64).view(1, 2, 1, 1).expand(256, -1, -1, -1)
    edges = cdf((LEVELS.flatten()[1:] - 0.5 / 255 - 0.5) / 0.1)
    expected = torch.diff(edges, prepend=torch.zeros(1), append=torch.ones(1))
    assert torch.allclose((-LIKELIHOODS[name].nll(params, LEVELS)).exp(), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "logistic"])
def test_extreme_outputs_stay_finite_in_single_precision(name):
    x = torch.tensor([0.0, 0.2, 1.0]).view(3, 1, 1, 1)
    for location in (-100.0, -5.0, 0.5, 100.0):
        for raw in (-100.0, 0.0, 100.0):
            params = torch.tensor([location, raw]).view(1, 2, 1, 1).repeat(3, 1, 1, 1).requires_grad_()
            nll, cotangent = LIKELIHOODS[name].nll(params, x), LIKELIHOODS[name].cotangent(params, x)
            (gradient,) = torch.autograd.grad(cotangent.sum(), params)
            assert all(t.isfinite().all() for t in (nll, cotangent, gradient))


def test_the_expected_image_of_a_sure_model_is_the_image():
    x = images(2, channels=3)
    sure = torch.cat([x.logit(1e-12), torch.full_like(x, -50)], 1)
    assert torch.allclose(LIKELIHOODS["gaussian"].mean(sure), x)
    logits = torch.zeros(2, 256, 3, 2, 2, dtype=torch.float64)
    logits.scatter_(1, (x * 255).round().long()[:, None], 1000.0)
    assert torch.allclose(LIKELIHOODS["categorical"].mean(logits.flatten(1, 2)), x)


def gon(name, **changes):
    """A small model in float64, its affine parameters away from the kink of ELU, and images for it."""
    torch.manual_seed(0)
    model = build(Config(**{"likelihood": name, "size": 8, "latents": 6, "filters": 2, **changes}), channels=1).double()
    for layer in model.modules():
        if isinstance(layer, BatchNorm):
            nn.init.normal_(layer.weight, 1, 0.3)
            nn.init.normal_(layer.bias, 0, 0.3)
    return model, images(5, side=8)


@pytest.mark.parametrize("latents", [3, 9])  # fewer and more than images: columns of J, and cotangents
@every
def test_the_fast_form_of_the_origin_gradient_equals_the_reference(name, latents):
    found = []
    for exact in (True, False):
        model, x = gon(name, latents=latents)
        with model.inferring(exact=exact):
            z = model.inference(model, x)
            model.loss(x).sum().backward()
        found.append([z, *(p.grad for p in model.parameters())])
    scale = max(float(b.detach().abs().max()) for b in found[1])
    assert all(torch.allclose(a, b, rtol=1e-7, atol=1e-9 * scale) for a, b in zip(*found, strict=True))


def test_population_statistics_need_an_affine_likelihood():
    model, x = gon("gaussian")
    with model.evaluating("population"), pytest.raises(ValueError, match="evaluation='batch'"):
        model.encode(x)
    with pytest.raises(ValueError, match="evaluation='batch'"):
        gon("categorical", evaluation="population")


def test_population_statistics_do_where_images_are_encoded_alone_anyway():
    model, x = gon("gaussian", batchnorm=False)
    with model.evaluating("population"):
        assert torch.allclose(model.encode(x)[:1], model.encode(x[:1]))
    gon("categorical", inference="encoder", evaluation="population")
