"""A model = decoder x likelihood x inference rule (x stochastic layer); the paper's models are combinations of these."""

from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import nn

from .classifier import TASKS, Classifier
from .conversion import SOURCES, image
from .decoders import ConvDecoder, ImplicitDecoder, batchnorms, set_statistics
from .encoders import Encoder, FreeLatents, TiedEncoder
from .likelihoods import LIKELIHOODS, kl_to_standard_normal
from .origin import OriginGradient, check_population, encoder_matrix

# The paper's names as changes to the default configuration, which is a convolutional GON.
MODELS = {
    "GON": {},
    "AE": {"inference": "encoder"},
    "Tied AE": {"inference": "tied_encoder"},
    "1 step, detached": {"detach": True},
    "10 steps, detached": {"detach": True, "inner_steps": 10, "step_size": 0.1},
    "10 steps": {"inner_steps": 10, "step_size": 0.1},
    "GLO": {"inference": "free"},
    "VGON": {"variational": True, "likelihood": "bernoulli"},
    "VAE": {"variational": True, "likelihood": "bernoulli", "inference": "encoder"},
    "implicit GON": {"decoder": "siren"},
}


class Stochastic(nn.Module):
    """Section 3.3: linear maps to mu and log-variance, then the reparameterisation trick; (N, k) to (N, k)."""

    def __init__(self, latents):
        super().__init__()
        self.mu, self.logvar = nn.Linear(latents, latents), nn.Linear(latents, latents)

    def forward(self, z, noise=None):
        """The decoder's input (the mean without `noise`) and the KL term in nats, (N,)."""
        mu, logvar = self.mu(z), self.logvar(z)
        sample = mu if noise is None else mu + (0.5 * logvar).exp() * noise
        return sample, kl_to_standard_normal(mu, logvar)

    def kl_gradient(self):
        """Derivative of the KL term at z0 = 0, (k,)."""
        return self.mu.bias @ self.mu.weight + 0.5 * (self.logvar.bias.exp() - 1) @ self.logvar.weight


class Model(nn.Module):
    """Images x are (N, C, H, W) floats in [0, 1], latents z (N, k); losses are per image, (N,).

    `inner_scale` multiplies the per-image inner loss. The published code averages over batch and pixels, so that z
    shrinks with the batch; here the scale is explicit and its default is the published one at batch 64.
    """

    def __init__(self, decoder, likelihood, inference, stochastic, inner_scale, channels):
        super().__init__()
        self.decoder, self.likelihood, self.inference, self.stochastic = decoder, likelihood, inference, stochastic
        self.inner_scale, self.channels = inner_scale, channels
        self.source, self.classifier = image, None  # what is encoded; a layer that names the latent's class
        self.draws = True  # whether the outer loss is about the image (equation 13's is not)
        self.fractions = 1.0, 1.0  # of the coordinates that a training step's inner and outer losses see
        self.weight = 1.0  # of the log-likelihood, where it is summed over some of the coordinates
        self.population = False  # evaluation mode: every image is encoded alone
        self.generator = None  # of the noise in training; a run owns one so that it can be resumed
        self.register_buffer("mean_image", torch.zeros(channels, decoder.size, decoder.size))
        self.register_buffer("kl_weight", torch.ones(()), persistent=False)

    # --- what a user calls
    def encode(self, x):
        """Latents of images by the model's inference rule."""
        return self.inference(self, self.source(x))

    def decode(self, z, size=None):
        """Expected images of latents (of the posterior's mean, in a variational model); any `size` if implicit."""
        return self.likelihood.mean(self._outputs(z, size=size)[0])

    def reconstruct(self, x):
        """Encode and decode."""
        return self.decode(self.encode(x))

    def sample(self, n, generator=None):
        """Images of latents from the prior N(0, I), which only a variational model has (figure 7)."""
        if self.stochastic is None:
            raise ValueError("only a variational model has a prior to sample from")
        z = torch.randn(n, self.decoder.latents, generator=generator, device=self.mean_image.device)
        return self.likelihood.mean(self.decoder(z.to(self.mean_image.dtype)))

    def encoder_matrix(self):
        """(M, b) with z = M x + b: the encoder of a GON is one matrix and one offset (claim C22)."""
        return encoder_matrix(self)

    @contextmanager
    def evaluating(self, mode="batch"):
        """Within, the model is in evaluation with `batch`, `population` or `running` statistics."""
        was = self.training, self.population, [layer.statistics for layer in batchnorms(self)]
        self.eval()
        set_statistics(self, mode)
        self.population = mode == "population"
        try:
            yield self
        finally:
            self.train(was[0])
            self.population = was[1]
            for layer, statistics in zip(batchnorms(self), was[2], strict=True):
                layer.statistics = statistics

    # --- losses
    def loss(self, x, index=None):
        """Outer loss (N,): negative log-likelihood at the inferred latent, plus the KL term if variational.

        With a classifier its cross-entropy for the training images `index` comes on top, or instead (equation 13).
        In training both integrals of equation 12 may be estimated from random coordinates (see `sampling`).
        """
        inner, outer = self.fractions if self.training else (1.0, 1.0)
        with self.sampling(self.source(x), inner) as pixels:
            z = self.inference(self, pixels, index)
        loss = 0.0 if self.classifier is None else self.classifier.loss(z, index)
        if not self.draws:
            return loss
        with self.sampling(x, outer) as pixels:
            return self.loss_at(pixels, z) + loss

    @contextmanager
    def sampling(self, x, fraction):
        """Within, losses are Monte Carlo estimates from random coordinates; gives the pixels of x there, (N, C, P).

        A share `fraction` of an implicit decoder's grid is drawn without replacement, the same for all images, which so
        still share the origin; sums over it are divided by the share: unbiased. A fraction of 1 changes nothing.
        """
        every = x[0, 0].numel()
        count = max(1, round(fraction * every))
        if count == every:
            yield x
            return
        points = torch.randperm(every, generator=self.generator, device=x.device)[:count]
        self.decoder.points, self.weight = points, every / count
        try:
            yield x.flatten(2)[..., points]
        finally:
            self.decoder.points, self.weight = None, 1.0

    def loss_at(self, x, z, noise=None):
        """Outer loss (N,) at given latents; `noise` (N, k) is what a stochastic layer uses instead of drawing."""
        outputs, kl = self._outputs(z, noise)
        nll = self.weight * self.likelihood.nll(outputs, x)
        return nll if kl is None else nll + self.kl_weight * kl

    def inner_loss(self, x, z):
        """Inner loss (N,), scaled; with the KL term as in the published code (equation 9's prior adds nothing at 0)."""
        fixed = self.noisy_origin and not self.noisy
        outputs, kl = self._outputs(z, fixed_noise(*z.shape, z.device, z.dtype) if fixed else None)
        nll = self.weight * self.likelihood.nll(outputs, x)
        return self.inner_scale * (nll if kl is None else nll + kl)

    @property
    def noisy(self):
        """Whether passes draw noise."""
        return self.stochastic is not None and self.training

    @property
    def noisy_origin(self):
        """Whether images differ at the origin, by noise: in training, and where batch normalisation has seen it there.

        At evaluation without it the variance that normalises the first layer would be 0, which it never was in
        training, and latents would be many times too large. The published code draws it anew, always; here the noise
        of evaluation is fixed, the same for the i-th image of any batch, so that evaluation can be repeated.
        """
        return self.noisy or (self.stochastic is not None and not self.population and bool(batchnorms(self.decoder)))

    def noise(self, like):
        """Standard normal numbers from the run's generator."""
        return torch.randn(like.shape, generator=self.generator, device=like.device, dtype=like.dtype)

    def _outputs(self, z, noise=None, size=None):
        kl = None
        if self.stochastic is not None:
            z, kl = self.stochastic(z, self.noise(z) if self.noisy and noise is None else noise)
        return self.decoder(z, size), kl

    # --- the shared origin (origin.py): what surrounds the decoder there
    def origin_input(self):
        """The decoder's input at z0 = 0, (1, k): zero, or the stochastic layer's mean."""
        zero = self.mean_image.new_zeros(1, self.decoder.latents)
        return zero if self.stochastic is None else self.stochastic.mu(zero)

    def inner_cotangent(self, outputs, x):
        """Derivative of the inner loss with respect to the decoder's outputs, (N, ...)."""
        return self.inner_scale * self.weight * self.likelihood.cotangent(outputs, x)

    def origin_gradient(self, gradient):
        """From the gradient at the decoder's input to the one at z0, (N, k)."""
        if self.stochastic is None:
            return gradient
        return gradient @ self.stochastic.mu.weight + self.inner_scale * self.stochastic.kl_gradient()

    def origin_matrix(self, columns):
        """The same for the columns of J, (k, outputs)."""
        return columns if self.stochastic is None else self.stochastic.mu.weight.T @ columns


@lru_cache(maxsize=4)
def fixed_noise(n, k, device, dtype):
    """The same standard normal numbers every time, (n, k)."""
    return torch.randn(n, k, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(device, dtype)


def build(config, channels, images=1, classes=0):
    """The model of a configuration for images with `channels` channels; `images` is the number of training images.

    A classifier tells `classes` classes apart.
    Raises ValueError for a combination that does not exist, such as an encoder for an implicit decoder.
    """
    likelihood = LIKELIHOODS[config.likelihood]
    squared = config.likelihood == "squared_error"
    if config.decoder == "conv":
        decoder = ConvDecoder(config.latents, config.filters, channels * likelihood.outputs, config.size, config.spatial,
                              config.activation, config.batchnorm, config.bn_eps, "sigmoid" if squared else "identity")
    else:
        decoder = ImplicitDecoder(
            config.latents, channels * likelihood.outputs, config.size, config.hidden, config.layers, config.omega
        )
    batchnorm = config.batchnorm and config.encoder_batchnorm
    rule = {
        "origin": lambda: OriginGradient(
            config.inner_steps, config.step_size, config.detach, config.origin_sd, config.add_origin
        ),
        "encoder": lambda: Encoder(decoder, channels, config.activation, batchnorm, config.bn_eps),
        "tied_encoder": lambda: TiedEncoder(decoder, config.activation, batchnorm, config.bn_eps),
        "free": lambda: FreeLatents(images, config.latents, config.free_learning_rate, config.free_steps),
    }[config.inference]()
    stochastic = Stochastic(config.latents) if config.variational else None
    inner_scale = config.latent_scale * published_scale(config, channels)
    model = Model(decoder, likelihood, rule, stochastic, inner_scale, channels)
    if config.evaluation == "population":
        check_population(model)  # before the training, not after its first epoch
    model.fractions = config.inner_fraction, config.outer_fraction
    if config.decoder == "conv" and model.fractions != (1.0, 1.0):
        raise ValueError("only an implicit decoder has coordinates to sample")
    _set_task(model, config, classes)
    return model


def _set_task(model, config, classes):
    """Section 3.5: a classifier beside or instead of the outer loss, or a source that is encoded in the image's place."""
    if config.task != "reconstruct" and config.inference == "free":
        raise ValueError("free latents know neither a source nor a class; their task is to reconstruct")
    if config.task == "classify" and config.snapshots:
        raise ValueError("a classifier alone draws no pictures to keep")
    model.source, model.draws = SOURCES.get(config.task, image), config.task != "classify"
    if config.task in TASKS:
        model.classifier = Classifier(config.latents, classes)


def published_scale(config, channels):
    """What the published code multiplies a per-image loss with, at batch 64: its mean over batch and pixels."""
    if config.likelihood != "squared_error":
        return 1 / 64  # sum over pixels, mean over the batch
    return 1 / (64 * config.size**2) if config.decoder == "conv" else 1 / (64 * channels)
