"""Equations 1-7 and 14-19, in float64, where the exact posterior mean is known by other means."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from gonlib.method.empirical_bayes import linear_gaussian, monte_carlo_mean, posterior_mean, score

EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture
def draw():
    """Standard normal numbers in float64, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def a_covariance(root):
    return root @ root.T / len(root) + 0.5 * torch.eye(len(root), dtype=root.dtype)


def condition(mean, covariance, k, tail):
    """Mean of the first k coordinates of a normal vector, given all the others: the textbook formula."""
    gain = covariance[:k, k:] @ torch.linalg.inv(covariance[k:, k:])
    return mean[:k] + (tail - mean[k:]) @ gain.T


def test_the_score_of_a_normal_density(draw):
    covariance, points = a_covariance(draw(3, 3)), draw(5, 3)
    found = score(MultivariateNormal(torch.zeros_like(points[0]), covariance).log_prob, points)
    torch.testing.assert_close(found, -points @ torch.linalg.inv(covariance), **EXACT)


def test_equation_4_is_the_exact_posterior_mean_of_a_gaussian(draw):
    d = 4
    mean, prior, noise, z0 = draw(d), a_covariance(draw(d, d)), a_covariance(draw(d, d)), draw(7, d)
    found = posterior_mean(MultivariateNormal(mean, prior + noise).log_prob, z0, noise)
    joint = torch.cat([torch.cat([prior, prior], 1), torch.cat([prior, prior + noise], 1)])
    torch.testing.assert_close(found, condition(torch.cat([mean, mean]), joint, d, z0), **EXACT)


def test_linear_gaussian_is_conditioning(draw):
    m, k, variance = 6, 3, 0.3
    W, b, x = draw(m, k), draw(m), draw(5, m)
    eye = torch.eye(k, dtype=W.dtype)
    joint = torch.cat([torch.cat([eye, W.T], 1), torch.cat([W, W @ W.T + variance * torch.eye(m).to(W)], 1)])
    expected = condition(torch.cat([torch.zeros_like(W[0]), b]), joint, k, x)
    torch.testing.assert_close(linear_gaussian(W, b, variance, x)[0], expected, **EXACT)


def test_equation_19_is_the_exact_posterior_mean_given_x(draw):
    m, k, variance = 6, 3, 0.3
    W, b, x, z0, noise = draw(m, k), draw(m), draw(m), draw(5, k), a_covariance(draw(k, k))
    mean, covariance = linear_gaussian(W, b, variance, x)
    found = posterior_mean(MultivariateNormal(mean, covariance + noise).log_prob, z0, noise)
    # z0 as k more observations of z
    A = torch.cat([W.T / variance, torch.linalg.inv(noise)], 1)
    precision = torch.eye(k).to(W) + W.T @ W / variance + torch.linalg.inv(noise)
    seen = torch.cat([(x - b).expand(5, m), z0], 1)
    torch.testing.assert_close(found, torch.linalg.solve(precision, A @ seen.T).T, **EXACT)


def test_equation_7_is_equation_6_if_the_likelihood_is_that_of_the_noisy_latent(draw):
    m, k, variance = 6, 3, 0.3
    W, b, x, z0, eye = draw(m, k), draw(m), draw(m), draw(5, k), torch.eye(3, dtype=torch.float64)
    mean, covariance = linear_gaussian(W, b, variance, x)
    six = posterior_mean(MultivariateNormal(mean, covariance + eye).log_prob, z0, eye)
    spread = W @ W.T / 2 + variance * torch.eye(m).to(W)  # of x given z0, as z given z0 is N(z0 / 2, I / 2)
    prior = MultivariateNormal(torch.zeros(k).to(W), 2 * eye)
    seven = posterior_mean(
        lambda z0: MultivariateNormal(z0 @ W.T / 2 + b, spread).log_prob(x) + prior.log_prob(z0), z0, eye)
    torch.testing.assert_close(six, seven, **EXACT)


def test_equation_9_adds_nothing_at_the_origin():
    prior = MultivariateNormal(torch.zeros(4), 2 * torch.eye(4))
    assert (score(prior.log_prob, torch.zeros(4)) == 0).all()
    assert (score(prior.log_prob, torch.ones(4)) == -0.5).all()


def test_monte_carlo_comes_near_the_score_formula_as_the_samples_grow(draw):
    eye, z0 = torch.eye(2, dtype=torch.float64), torch.tensor([[1.0, -0.5], [0.0, 2.0]], dtype=torch.float64)
    exact = posterior_mean(MultivariateNormal(torch.zeros(2).to(eye), 2 * eye).log_prob, z0, eye)
    errors = [(monte_carlo_mean(draw(n, 2), z0, eye) - exact).abs().max() for n in (100, 40_000)]
    assert errors[1] < 0.03 and errors[1] < errors[0]
