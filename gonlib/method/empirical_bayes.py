"""Empirical Bayes (sections 2.1 and 3.1, appendix A): posterior means of latents from the score of noisy latents.

In all of this file z0 = z + N(0, Sigma), points are the rows of (..., d) tensors, and Sigma is a (d, d) `covariance`.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal


def score(log_density: Callable[[Tensor], Tensor], points: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Gradient of log_density, a function (..., d) to (...), at each of the points."""
    points = points.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(points).sum(), points)
    return gradient


def posterior_mean(log_density: Callable[[Tensor], Tensor], z0: Float[Tensor, "*n d"],
                   covariance: Float[Tensor, "d d"]) -> Float[Tensor, "*n d"]:
    """z0 + Sigma score(z0): E[z | z0] if log_density is log p(z0), E[z | z0, x] if it is log p(z0 | x).

    Source: equations 4 and 19.
    """
    return z0 + score(log_density, z0) @ covariance


def monte_carlo_mean(samples: Float[Tensor, "m d"], z0: Float[Tensor, "*n d"],
                     covariance: Float[Tensor, "d d"]) -> Float[Tensor, "*n d"]:
    """The same mean from samples of the prior p(z), or of p(z | x), weighted by N(z0; z, Sigma).

    Source: equations 1 and 14, both integrals over the same samples (self-normalised importance sampling).
    """
    noise = MultivariateNormal(samples.new_zeros(samples.shape[1]), covariance)
    weights = noise.log_prob(z0[..., None, :] - samples).softmax(-1)
    return weights @ samples


def linear_gaussian(W: Float[Tensor, "m k"], b: Float[Tensor, " m"], variance: float,
                    x: Float[Tensor, "*n m"]) -> tuple[Float[Tensor, "*n k"], Float[Tensor, "k k"]]:
    """Mean and covariance of p(z | x) for z ~ N(0, I) and x = W z + b + N(0, variance I).

    Source: Gaussian conditioning; the case in which appendix A can be checked.
    """
    covariance = torch.linalg.inv(torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / variance)
    return (x - b) @ W @ covariance / variance, covariance
