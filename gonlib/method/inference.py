"""What an inference rule is: a module that gives a model's latents of images, and what the training asks of it."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

if TYPE_CHECKING:
    from .model import Model

BLOCK = 256  # rows of noise that are drawn together


class FixedNoise:
    """The random numbers of an evaluation, one row per image: the same for the i-th image of any batch.

    Attributes:
        origin: standard normal numbers (n, k) of random origins.
        inner: those of the stochastic layer in the inner loss, (n, k).
        outer: those of the stochastic layer in the outer loss, (n, k).
    """

    def __init__(self, origin: Float[Tensor, "n k"], inner: Float[Tensor, "n k"], outer: Float[Tensor, "n k"]) -> None:
        self.origin, self.inner, self.outer = origin, inner, outer

    @classmethod
    def draw(cls, n: int, k: int, like: Tensor) -> "FixedNoise":
        """For n images and k latents, on the device and of the type of `like`."""
        return cls(*(fixed_normal(n, k, seed).to(like) for seed in range(3)))

    def __getitem__(self, index: Int[Tensor, " m"] | slice) -> "FixedNoise":
        """The rows of some of the images."""
        return FixedNoise(self.origin[index], self.inner[index], self.outer[index])


def fixed_normal(n: int, k: int, seed: int = 0) -> Float[Tensor, "n k"]:
    """Standard normal numbers whose i-th row does not depend on n."""
    generator, blocks = torch.Generator(), []
    for first in range(0, n, BLOCK):
        generator.manual_seed(16 * first + seed)  # only 32 bits of it count
        blocks.append(torch.randn(BLOCK, k, generator=generator, dtype=torch.float64))
    return torch.cat(blocks)[:n] if blocks else torch.zeros(0, k, dtype=torch.float64)


class InferenceRule(nn.Module):
    """How a model finds the latents of images; a rule overrides what differs from these answers.

    Attributes:
        fields: names of a configuration's fields that are the rule's own; without them every field counts.
        settings: names of attributes that `Model.inferring` may change for a while.
        not_stored: names of the rule's buffers that are not stored with a trained model.
        costly: whether unseen images take an optimisation each, so that evaluations are rare.
        sees_images: whether latents are computed from the image; else there is no source or class to infer from.
        compiles: whether `forward` may be compiled.
    """

    fields: tuple[str, ...]
    settings: tuple[str, ...] = ()
    not_stored: tuple[str, ...] = ()
    costly, sees_images, compiles = False, True, True

    @classmethod
    def from_config(cls, config, decoder: nn.Module, channels: int, images: int) -> "InferenceRule":
        """The rule of a configuration, for a decoder, images with so many channels, and so many training images."""
        return cls()

    def forward(self, model: "Model", x: Float[Tensor, "n c *grid"], index: Int[Tensor, " n"] | None = None,
                shared: Any = None, noise: FixedNoise | None = None) -> Float[Tensor, "n k"]:
        """Latents of images.

        Args:
            model: the model whose rule this is.
            x: images.
            index: the numbers of training images, if they are that.
            shared: what `prepare` gave, if it was called.
            noise: the random numbers to use; without them a rule draws, in training, from `model.noise`.
        """
        raise NotImplementedError

    @property
    def random(self) -> bool:
        """Whether latents depend on random numbers of the rule's own."""
        return False

    def prepare(self, model: "Model") -> Any:
        """What is the same for all batches of an evaluation, to be computed once; None for nothing."""
        return None

    def after_step(self, index: Int[Tensor, " n"]) -> None:
        """Called after each optimiser step on the training images numbered `index`."""

    def shares_origin(self, model: "Model") -> bool:
        """Whether the fast form of the origin gradient is used."""
        return False

    def differentiates_twice(self, model: "Model") -> bool:
        """Whether a training step runs autograd inside autograd, which no compiler takes."""
        return False

    def form(self, model: "Model") -> str:
        """How latents are found, in words."""
        return f"latents by {type(self).__name__}"

    def no_population(self, model: "Model") -> str | None:
        """Why `population` statistics are not defined for a model, in one sentence; None if they are."""
        return None
