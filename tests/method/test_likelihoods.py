"""Likelihoods: per-image sums against torch's own, cotangents against autograd, the KL term, bits per dimension."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from gonlib.method.likelihoods import LIKELIHOODS, bits_per_dim, kl_to_standard_normal

every = pytest.mark.parametrize("name", LIKELIHOODS)
N, SIZE = 5, 4


def drawn(name, channels=3, seed=0):
    """Random decoder outputs (N, outputs * channels, H, W) and images whose values are levels k / 255, float64."""
    random = torch.Generator().manual_seed(seed)
    params = torch.randn(N, LIKELIHOODS[name].outputs * channels, SIZE, SIZE, generator=random, dtype=torch.float64)
    return params, levels(channels, random)


def levels(channels, random, highest=255):
    return torch.randint(highest + 1, (N, channels, SIZE, SIZE), generator=random).double() / 255


@every
@pytest.mark.parametrize("channels", [1, 3])
def test_one_number_per_image(name, channels):
    likelihood, (params, x) = LIKELIHOODS[name], drawn(name, channels)
    nll = likelihood.nll(params, x)
    assert nll.shape == (N,) and nll.isfinite().all()
    alone = torch.cat([likelihood.nll(params[i : i + 1], x[i : i + 1]) for i in range(N)])
    torch.testing.assert_close(alone, nll)


@every
def test_the_cotangent_is_the_derivative(name):
    likelihood, (params, x) = LIKELIHOODS[name], drawn(name)
    params.requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood.nll(params, x).sum(), params)
    torch.testing.assert_close(likelihood.cotangent(params, x), gradient, rtol=1e-9, atol=1e-10)


@every
def test_the_cotangent_is_itself_differentiable(name):
    """The exact form differentiates the cotangent at the origin: the second derivative has to be right as well."""
    likelihood, (params, x) = LIKELIHOODS[name], drawn(name)
    params.requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood.nll(params, x).sum(), params, create_graph=True)
    probe = torch.randn_like(params)
    seen = [torch.autograd.grad((g * probe).sum(), params)[0] for g in (likelihood.cotangent(params, x), gradient)]
    torch.testing.assert_close(*seen, rtol=1e-8, atol=1e-9)


@every
def test_one_set_of_outputs_serves_many_images(name):
    """At the origin all images share the decoder's output."""
    likelihood, (params, x) = LIKELIHOODS[name], drawn(name)
    one = params[:1]
    torch.testing.assert_close(likelihood.cotangent(one, x), likelihood.cotangent(one.expand_as(params), x))


@every
def test_affine_says_whether_the_cotangent_is_affine_in_x(name):
    likelihood, (params, _) = LIKELIHOODS[name], drawn(name)
    random = torch.Generator().manual_seed(1)
    a, b = 2 * levels(3, random, 127), 2 * levels(3, random, 127)  # even levels, so that the middle is a level too
    ends = 0.5 * (likelihood.cotangent(params, a) + likelihood.cotangent(params, b))
    middle = likelihood.cotangent(params, 0.5 * (a + b))
    assert torch.allclose(ends, middle, rtol=1e-10, atol=1e-12) == likelihood.affine


@every
def test_mean_is_an_image(name):
    likelihood, (params, x) = LIKELIHOODS[name], drawn(name)
    mean = likelihood.mean(params)
    assert mean.shape == x.shape
    if name != "squared_error":  # there the decoder's own output layer keeps values in [0, 1]
        assert mean.min() >= 0 and mean.max() <= 1


def test_squared_error_is_a_sum_over_pixels_and_channels():
    params, x = drawn("squared_error")
    nll = LIKELIHOODS["squared_error"].nll(params, x)
    torch.testing.assert_close(nll[2], F.mse_loss(params[2], x[2], reduction="sum"))
    gaussian = -Independent(Normal(params, math.sqrt(0.5)), 3).log_prob(x)  # variance 1/2: equal up to constants
    torch.testing.assert_close(gaussian - gaussian[0], nll - nll[0])


def test_bernoulli_is_that_of_torch():
    params, x = drawn("bernoulli")
    theirs = -Independent(Bernoulli(logits=params, validate_args=False), 3).log_prob(x)
    torch.testing.assert_close(LIKELIHOODS["bernoulli"].nll(params, x), theirs)
    torch.testing.assert_close(LIKELIHOODS["bernoulli"].mean(params), Bernoulli(logits=params).mean)


def test_kl_is_that_of_torch():
    mu, logvar = torch.randn(2, 7, 4, dtype=torch.float64)
    posterior = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    torch.testing.assert_close(kl_to_standard_normal(mu, logvar), kl_divergence(posterior, prior))
    assert kl_to_standard_normal(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_bits_per_dim():
    uniform = 3 * 8 * 8 * math.log(256)  # nats of an image of independent uniform bytes
    assert bits_per_dim(uniform, 3 * 8 * 8) == pytest.approx(8)
    assert bits_per_dim(math.log(2), 1) == pytest.approx(1)
