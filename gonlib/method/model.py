"""A model = decoder x likelihood x inference rule (x stochastic layer)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from . import checks, saved
from .inference import FixedNoise, InferenceRule
from .likelihoods import LIKELIHOODS
from .normalisation import Statistics, batchnorms, evaluation, stock_norms
from .origin import OriginGradient, encoder_matrix
from .shared_origin import NOT_FAST, agrees_with_definition, can_linearise
from .stochastic import Stochastic
from .tasks import TASKS, Classifier, Task


class Model(nn.Module):
    """A decoder with a likelihood and a rule that infers latents: by default a GON.

    Images x are (n, C, H, W) floats in [0, 1], latents z (n, k); losses are per image, (n,). A new model is in training
    mode. `encode`, `decode`, `reconstruct` and `sample` may be called in any mode: they change nothing in the model and
    give the same result each time. In training mode they use the statistics of the batch.

    Args:
        decoder: any module from latents (n, k) to outputs (n, C * likelihood's outputs, H, W).
        latents: how many, k.
        likelihood: one of `LIKELIHOODS`, by name.
        image: shape (C, H, W) of the images.
        inference: the rule that infers latents; one origin-gradient step if left out.
        variational: whether a stochastic layer stands before the decoder (section 3.3).
        task: what is asked of the latents (section 3.5).
        classes: number of classes that a classifier tells apart.
        latent_scale: factor of the inner loss; 1 is the published scale at batch 64. The published code averages over
            batch and pixels, so that z shrinks with the batch; here the scale is explicit.
        fractions: shares of an implicit decoder's coordinates that a training step's inner and outer losses see.

    Raises:
        ValueError: for outputs of the wrong shape, or parts that do not fit together.
    """

    mean_image: Tensor
    kl_weight: Tensor

    def __init__(self, decoder: nn.Module, latents: int, likelihood: str = "squared_error",
                 image: tuple[int, int, int] = (1, 32, 32), inference: InferenceRule | None = None,
                 variational: bool = False, task: Task = TASKS["reconstruct"], classes: int = 0,
                 latent_scale: float = 1.0, fractions: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        inference = OriginGradient() if inference is None else inference
        checks.parts(decoder, latents, likelihood, image, inference, task, fractions)
        channels, height, width = self.image = (image[0], image[1], image[2])
        self.latents, self.task, self.fractions = latents, task, fractions
        self.decoder, self.likelihood, self.inference = decoder, LIKELIHOODS[likelihood], inference
        self.stochastic = Stochastic(latents) if variational else None
        self.classifier = Classifier(latents, classes) if task.classifies else None
        self.published_scale = self.likelihood.published_scale(getattr(decoder, "averaged_over", height * width))
        self.inner_scale = latent_scale * self.published_scale
        self.weight = 1.0  # of the log-likelihood, where it is summed over some of the coordinates
        self.generator: torch.Generator | None = None  # of the noise in training; a run owns one so that it can be resumed
        self.recipe: dict[str, Any] = {  # how the model is made, as far as a file can say
            "latents": latents, "likelihood": likelihood, "image": self.image, "variational": variational,
            "task": next((name for name, known in TASKS.items() if known == task), ""), "classes": classes,
            "latent_scale": latent_scale, "fractions": fractions, "inference": type(self.inference).__name__,
            "settings": {name: getattr(self.inference, name) for name in self.inference.settings},
        }
        self.register_buffer("mean_image", torch.zeros(channels, height, width))
        self.register_buffer("kl_weight", torch.ones(()), persistent=False)
        self.statistics = Statistics()  # one for the whole model
        for layer in batchnorms(self):
            layer.statistics = self.statistics
        self.normalised = bool(batchnorms(decoder) or stock_norms(decoder))
        self.alone = True  # whether it draws an image whatever else is in the batch, once it is in evaluation
        self.differentiable = True  # whether torch.func gives the fast form of a decoder that does not linearise itself
        self.steady = True  # whether it does in training, too: no chance there, but what a layer's type tells
        outputs = channels * self.likelihood.outputs, height, width
        if hasattr(decoder, "linearise"):
            checks.own_size(decoder, latents, outputs)
        else:
            self.alone = checks.try_decoder(decoder, latents, outputs)
            self.differentiable = self.alone and agrees_with_definition(decoder, latents)
            self.steady = self.differentiable and checks.steady_in_training(decoder, latents)
            self._say_which_form()

    # --- what a user calls
    def encode(self, x: Tensor) -> Float[Tensor, "n k"]:
        """Latents of images by the model's inference rule.

        Args:
            x: images (n, C, H, W), floats in [0, 1] or uint8 levels.
        """
        x = checks.images(x, self, values=True)
        with self._looking(x) as x:
            return self.inference(self, self.task.source(x), noise=self.fixed_noise(len(x)))

    def decode(self, z: Tensor, size: int | None = None) -> Float[Tensor, "n c h w"]:
        """Expected images of latents; in a variational model those of the posterior's mean.

        Args:
            z: latents (n, k).
            size: side of the images in pixels, any if the decoder is implicit; that of the training images if left out.
        """
        checks.latents(z, self)
        with self._looking(z) as z:
            z = z if self.stochastic is None else self.stochastic(z)[0]
            return self.likelihood.mean(self._draw(z, size))

    def reconstruct(self, x: Tensor) -> Float[Tensor, "n c h w"]:
        """Encode and decode images (n, C, H, W)."""
        return self.decode(self.encode(x))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n c h w"]:
        """Images of n latents from the prior N(0, I), which only a variational model has (figure 7).

        Without a `generator` they are the same ones each time.
        """
        if self.stochastic is None:
            raise ValueError("only a variational model has a prior to sample from")
        checks.count("the number of samples", n, least=0)
        device = self.mean_image.device
        generator = generator or torch.Generator(device).manual_seed(0)
        z = torch.randn(n, self.latents, generator=generator, device=device).to(self.mean_image.dtype)
        with self._looking(z) as z:
            return self.likelihood.mean(self.decoder(z))

    def encoder_matrix(self) -> tuple[Float[Tensor, "k pixels"], Float[Tensor, " k"]]:
        """(M, b) with z = M x + b: the encoder of a GON is one matrix and one offset (claim C22)."""
        return encoder_matrix(self)

    @contextmanager
    def evaluating(self, mode: str = "batch") -> Iterator["Model"]:
        """Within, the model is in evaluation with `batch`, `population` or `running` statistics."""
        with evaluation(self, self.statistics, mode):
            yield self

    @contextmanager
    def inferring(self, **settings: float | bool) -> Iterator["Model"]:
        """Within, the inference rule has other settings, such as `steps=10` or `exact=False`.

        Raises:
            ValueError: for a setting that the rule does not have, or a value that it cannot have.
        """
        rule = self.inference
        if unknown := [name for name in settings if name not in rule.settings]:
            known = ", ".join(rule.settings) or "none"
            raise ValueError(f"{type(rule).__name__} has no setting {unknown[0]!r}; it has: {known}")
        before = {name: getattr(rule, name) for name in settings}
        for name, value in settings.items():
            checks.setting(name, value, before[name])
        try:
            for name, value in settings.items():
                setattr(rule, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(rule, name, value)

    def ready(self) -> "Model":
        """Put the model into the mode in which it is used: evaluation, each image encoded alone where that is defined.

        The statistics are then `population`, elsewhere `batch`. `train()` goes back to training mode.
        """
        self.eval()
        self.statistics.mode = "batch" if self.no_population() else "population"
        return self

    def no_population(self) -> str | None:
        """Why this model cannot be evaluated with `population` statistics, in one sentence; None if it can."""
        if stock_norms(self):
            return ("population statistics ask for gonlib.method.normalisation.BatchNorm in place of torch's own "
                    "normalisation over a batch, so use evaluation='batch'")
        if not self.alone:
            return "this decoder draws an image by the others of its batch, or by chance, so use evaluation='batch'"
        return self.inference.no_population(self)

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file, which `gonlib.load_model` reads.

        Raises:
            OSError: if it cannot be written; an older file then stays as it was.
        """
        saved.save(self, path)

    def decoder_module(self) -> saved.DecoderModule:
        """The decoder as a plain module, latents to expected images, that `torch.export` and ONNX take."""
        return saved.DecoderModule(self)

    # --- what is stored of it
    def stored_state(self, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Tensors on the CPU by name, all but what the inference rule says is not stored.

        Args:
            state: an earlier `state_dict` of this model; the present one if left out.
        """
        left_out = {f"inference.{name}" for name in self.inference.not_stored}
        return {k: v.detach().cpu().contiguous() for k, v in (state or self.state_dict()).items() if k not in left_out}

    def load_stored(self, tensors: dict[str, Tensor]) -> "Model":
        """Take over what `stored_state` gave.

        Raises:
            ValueError: if a tensor is missing, unexpected or of another shape.
        """
        checks.same_tensors(tensors, self.stored_state())
        self.load_state_dict(tensors, strict=False)
        return self

    # --- losses
    def loss(self, x: Tensor, index: Int[Tensor, " n"] | None = None, labels: Int[Tensor, " n"] | None = None,
             ) -> Float[Tensor, " n"]:
        """Outer loss: negative log-likelihood at the inferred latent, plus the KL term if variational.

        With a classifier its cross-entropy comes on top, or instead (equation 13). In training both integrals of
        equation 12 may be estimated from random coordinates (see `sampling`).

        Args:
            x: images (n, C, H, W), floats in [0, 1] or uint8 levels.
            index: the numbers of the training images, which free latents (GLO) ask for.
            labels: the images' classes, which a classifier asks for.
        """
        x = checks.images(x, self)
        if not len(x):
            raise ValueError("the loss asks for at least one image")
        if self.classifier is not None and labels is None:
            raise ValueError("the loss of a classifier asks for the images' labels")
        inner, outer = self.fractions if self.training else (1.0, 1.0)
        noise = None if self.training else self.fixed_noise(len(x))
        with self.sampling(self.task.source(x), inner) as pixels:
            z = self.inference(self, pixels, index, noise=noise)
        named = None if self.classifier is None or labels is None else self.classifier.loss(z, labels)
        if named is not None and not self.task.draws:
            return named
        with self.sampling(x, outer) as pixels:
            drawn = self.loss_at(pixels, z)
        return drawn if named is None else drawn + named

    @contextmanager
    def sampling(self, x: Float[Tensor, "n c h w"], fraction: float, generator: torch.Generator | None = None,
                 ) -> Iterator[Tensor]:
        """Within, losses are Monte Carlo estimates from random coordinates; gives the pixels of x there, (n, C, P).

        A share `fraction` of an implicit decoder's grid is drawn without replacement, the same for all images, which so
        still share the origin; sums over it are divided by the share: unbiased. A fraction of 1 changes nothing.
        """
        every = x[0, 0].numel()
        count = max(1, round(fraction * every))
        if count == every:
            yield x
            return
        points = torch.randperm(every, generator=generator or self.generator, device=x.device)[:count]
        decoder: Any = self.decoder  # an implicit one
        decoder.points, self.weight = points, every / count
        try:
            yield x.flatten(2)[..., points]
        finally:
            decoder.points, self.weight = None, 1.0

    def loss_at(self, x: Float[Tensor, "n c *grid"], z: Float[Tensor, "n k"],
                noise: Float[Tensor, "n k"] | None = None) -> Float[Tensor, " n"]:
        """Outer loss at given latents; `noise` is what a stochastic layer uses, in training drawn if left out."""
        nll, kl = self._terms(x, z, noise)
        return nll if kl is None else nll + self.kl_weight * kl

    def inner_loss(self, x: Float[Tensor, "n c *grid"], z: Float[Tensor, "n k"],
                   noise: FixedNoise | None = None) -> Float[Tensor, " n"]:
        """Inner loss, scaled; the KL term has its full weight, as in the published code.

        Equation 9's prior adds nothing at the origin.
        """
        nll, kl = self._terms(x, z, noise.inner if noise is not None and self.noisy_origin else None)
        return self.inner_scale * (nll if kl is None else nll + kl)

    def inner_cotangent(self, outputs: Float[Tensor, "m cp *grid"], x: Float[Tensor, "n c *grid"],
                        ) -> Float[Tensor, "n cp *grid"]:
        """Derivative of the inner loss with respect to the decoder's outputs."""
        return self.inner_scale * self.weight * self.likelihood.cotangent(outputs, x)

    def _terms(self, x, z, noise):
        """Negative log-likelihood and KL term, (n,) each; the KL term is None without a stochastic layer."""
        kl = None
        if self.stochastic is not None:
            z, kl = self.stochastic(z, self.noise(z) if self.noisy and noise is None else noise)
        return self.weight * self.likelihood.nll(self.decoder(z), x), kl

    # --- noise
    @property
    def noisy(self) -> bool:
        """Whether passes draw noise."""
        return self.stochastic is not None and self.training

    @property
    def noisy_origin(self) -> bool:
        """Whether images differ at the origin, by noise: in training, and where batch normalisation has seen it there.

        At evaluation without it the variance that normalises the first layer would be 0, which it never was in
        training, and latents would be many times too large. The published code draws it anew, always; here the noise
        of evaluation is fixed, the same for the i-th image of any batch, so that evaluation can be repeated.
        """
        return self.noisy or (self.stochastic is not None and not self.population and self.normalised)

    def noise(self, like: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Standard normal numbers for training, from the run's generator."""
        return torch.randn(like.shape, generator=self.generator, device=like.device, dtype=like.dtype)

    def fixed_noise(self, n: int) -> FixedNoise | None:
        """The random numbers of an evaluation of n images; None for a model that needs none."""
        if self.stochastic is None and not self.inference.random:
            return None
        return FixedNoise.draw(n, self.latents, self.mean_image)

    # --- modes
    @property
    def population(self) -> bool:
        """Whether the model is in evaluation with `population` statistics: every image is encoded alone."""
        return not self.training and self.statistics.mode == "population"

    @property
    def form(self) -> str:
        """How latents are found in the present mode, in words."""
        if self.training:
            return self.inference.form(self)
        with self.evaluating(self.statistics.mode):
            return self.inference.form(self)

    @contextmanager
    def _looking(self, tensor: Tensor) -> Iterator[Tensor]:
        """Within, passes change nothing and draw nothing; gives the tensor as autograd can use it."""
        mode = "batch" if self.training else self.statistics.mode
        with checks.enough_images(), evaluation(self, self.statistics, mode):
            if not (torch.is_inference_mode_enabled() or tensor.is_inference()):
                yield tensor
                return
            enabled = torch.is_grad_enabled()
            with torch.inference_mode(False), torch.set_grad_enabled(enabled):
                yield tensor.clone()

    def _say_which_form(self) -> None:
        if getattr(self.inference, "exact", False) and not can_linearise(self):
            warnings.warn(f"this decoder {NOT_FAST}: latents are found by the reference form, which takes more time",
                          stacklevel=3)

    def _draw(self, z, size):
        side = self.image[-1] if self.image[1] == self.image[2] else None
        if size in (None, side):
            return self.decoder(z)
        checks.count("size", size)
        if not getattr(self.decoder, "resizable", False):
            raise ValueError(f"this decoder has one size, {self.image[1]} x {self.image[2]}; an implicit one decodes at any")
        return self.decoder(z, size)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"{self.latents} latents, images {self.image}, {self.form}"
