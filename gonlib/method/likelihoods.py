"""p(x given z): squared error, Bernoulli and 256-level likelihoods, the KL term, bits per dimension.

A likelihood gives one number per image first, the negative log-likelihood in nats summed over pixels and channels
(for squared error: the summed squared error); how images are averaged is named where it is done. The 256-level ones
are distributions over the values a pixel can have, v / 255: only their bits/dim are lengths of a lossless code.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class Likelihood:
    """What a likelihood gives; a new one defines `nll`, `cotangent`, `mean` and a line in `LIKELIHOODS`.

    Attributes:
        outputs: decoder outputs per channel of the image.
        affine: whether the cotangent is affine in the image, so that the encoder of a GON is a matrix.
        nats: whether `nll` is in nats, so that bits/dim can be told.
        final: what the published convolutional decoder ends in, `identity` or `sigmoid`.
    """

    outputs, affine, nats, final = 1, False, True, "identity"

    def nll(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, " b"]:
        """Negative log-likelihood of each image x, summed over its pixels and channels.

        Args:
            params: the decoder's outputs, `outputs` per channel.
            x: images with values in [0, 1].
        """
        raise NotImplementedError

    def cotangent(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, "b cp *grid"]:
        """Derivative of `nll` with respect to the decoder's outputs; at the origin all images share one row of them."""
        raise NotImplementedError

    def mean(self, params: Float[Tensor, "n cp *grid"]) -> Float[Tensor, "n c *grid"]:
        """Expected image, values in [0, 1]."""
        raise NotImplementedError

    def published_scale(self, averaged_over: int) -> float:
        """What the published code multiplies a per-image loss with, at batch 64.

        Args:
            averaged_over: values of an image that the published code takes the mean over where it sums in nats.
        """
        return 1 / 64  # sum over the image, mean over the batch


class SquaredError(Likelihood):
    """Summed squared error per image: a Gaussian with fixed variance, up to constants (equation 8)."""

    affine, nats, final = True, False, "sigmoid"

    def nll(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, " b"]:
        """(N, C, ...) outputs and images to (N,) summed squared errors."""
        return (params - x).square().flatten(1).sum(1)

    def cotangent(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, "b cp *grid"]:
        """Derivative of `nll` with respect to the decoder's outputs, their shape."""
        return 2 * (params - x)

    def mean(self, params: Float[Tensor, "n cp *grid"]) -> Float[Tensor, "n c *grid"]:
        """Expected image, values in [0, 1]."""
        return params

    def published_scale(self, averaged_over: int) -> float:
        """The published code takes a mean where a likelihood in nats has a sum."""
        return 1 / (64 * averaged_over)


class Bernoulli(Likelihood):
    """Cross-entropy of pixels in [0, 1] with Bernoulli logits, as in the published variational code."""

    affine = True

    def nll(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, " b"]:
        """(N, C, ...) logits and images to (N,) nats."""
        return F.binary_cross_entropy_with_logits(params, x.expand_as(params), reduction="none").flatten(1).sum(1)

    def cotangent(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, "b cp *grid"]:
        """Derivative of `nll` with respect to the logits."""
        return torch.sigmoid(params) - x

    def mean(self, params: Float[Tensor, "n cp *grid"]) -> Float[Tensor, "n c *grid"]:
        """Expected image, values in [0, 1]."""
        return torch.sigmoid(params)


class Discretised(Likelihood):
    """A density over the line cut into 256 bins of width 1/255 about the levels; the outer two reach to infinity.

    Two outputs per channel: first those for the location, sigmoid(output), then those for the log-scale,
    5 tanh(output / 5) - 2. An untrained decoder is grey with a spread of 35 levels, and no output, however large,
    takes the scale below a quarter of a level. Source: Salimans et al. 2017 (PixelCNN++) for the bins.
    """

    outputs = 2

    def nll(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, " b"]:
        """(N, 2C, ...) outputs and (N, C, ...) images to (N,) nats."""
        return -self.log_mass(*_edges(params, x)[:2]).flatten(1).sum(1)

    def cotangent(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, "b cp *grid"]:
        """Derivative of `nll` with respect to the decoder's outputs, their shape."""
        low, high, shift, stretch = _edges(params, x)
        log_mass = self.log_mass(low, high)
        at_low, at_high = ((self.log_density(edge) - log_mass).exp() for edge in (low, high))
        return torch.cat([shift * (at_high - at_low), stretch * (high * at_high - low * at_low)], 1)

    def mean(self, params: Float[Tensor, "n cp *grid"]) -> Float[Tensor, "n c *grid"]:
        """Expected image but for the cutting: the location, in [0, 1]."""
        return torch.sigmoid(params.chunk(2, 1)[0])

    def log_density(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log of the standard density at t."""
        raise NotImplementedError

    def log_mass(self, low: Float[Tensor, "*shape"], high: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log of the probability between two points, exact in the tails."""
        raise NotImplementedError


def _edges(params, x):
    """Standardised edges of the bins of x (N, C, ...); how fast the outputs shift (-d/d output) and stretch them."""
    raw, bend = params.chunk(2, 1)
    location, bend = torch.sigmoid(raw), torch.tanh(bend / 5)
    scale, distance = torch.exp(5 * bend - 2), x - location
    low = ((distance - HALF) / scale).masked_fill(x <= 0, -FAR)
    high = ((distance + HALF) / scale).masked_fill(x >= 1, FAR)
    return low, high, location * (1 - location) / scale, 1 - bend.square()


class DiscretisedGaussian(Discretised):
    """Normal density in 256 bins."""

    def log_density(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log of the standard density at t."""
        return -0.5 * t.square() - 0.5 * math.log(2 * math.pi)

    def log_mass(self, low: Float[Tensor, "*shape"], high: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log of the probability between two points, exact in the tails: both are moved to the left of 0."""
        right = low + high > 0
        low, high = torch.where(right, -high, low), torch.where(right, -low, high)
        upper = torch.special.log_ndtr(high)
        return upper + torch.log(-torch.expm1(torch.special.log_ndtr(low) - upper))


class DiscretisedLogistic(Discretised):
    """Logistic density in 256 bins."""

    def log_density(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log of the standard density at t."""
        return F.logsigmoid(t) + F.logsigmoid(-t)

    def log_mass(self, low: Float[Tensor, "*shape"], high: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log of the probability between two points, by s(b) - s(a) = s(b) s(-a) (1 - exp(a - b))."""
        return F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(-torch.expm1(low - high))


class Categorical(Likelihood):
    """A free probability for each of the 256 levels: (N, 256 C, ...) logits, all channels of level 0 first."""

    outputs = 256

    def nll(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, " b"]:
        """Logits and (N, C, ...) images to (N,) nats."""
        logits, level = _levels(params, x)
        return F.cross_entropy(logits, level, reduction="none").flatten(1).sum(1)

    def cotangent(self, params: Float[Tensor, "n cp *grid"], x: Float[Tensor, "m c *grid"]) -> Float[Tensor, "b cp *grid"]:
        """Derivative of `nll` with respect to the logits: probabilities minus the level that occurred."""
        logits, level = _levels(params, x)
        minus = -torch.ones_like(level[:, None], dtype=params.dtype)
        return logits.softmax(1).scatter_add(1, level[:, None], minus).flatten(1, 2)

    def mean(self, params: Float[Tensor, "n cp *grid"]) -> Float[Tensor, "n c *grid"]:
        """Expected image, values in [0, 1]."""
        probability = params.unflatten(1, (256, -1)).softmax(1)
        level = torch.linspace(0, 1, 256, dtype=params.dtype, device=params.device)
        return torch.tensordot(level, probability, ([0], [1]))


def _levels(params, x):
    """Logits (N, 256, C, ...) and the level of each pixel, int64 (N, C, ...)."""
    logits, level = params.unflatten(1, (256, -1)), (255 * x).round().long()
    images = max(len(logits), len(level))  # at the origin all images share one row of logits
    return logits.expand(images, *logits.shape[1:]), level.expand(images, *level.shape[1:])


HALF = 0.5 / 255  # half the width of a bin
FAR = 1e4  # stands for infinity: no finite edge is further than 1,100 scales away
LIKELIHOODS: dict[str, Likelihood] = {  # name in a configuration: likelihood
    "squared_error": SquaredError(), "bernoulli": Bernoulli(), "gaussian": DiscretisedGaussian(),
    "logistic": DiscretisedLogistic(), "categorical": Categorical(),
}


def kl_to_standard_normal(mu: Float[Tensor, "n k"], logvar: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """KL(N(mu, exp(logvar)) || N(0, I)) of equation 5: (N, k) and (N, k) to (N,) nats."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)


def bits_per_dim(nats: float | Tensor, dimensions: int) -> float | Tensor:
    """Nats per image to bits per pixel and channel (Table 2)."""
    return nats / (dimensions * math.log(2))
