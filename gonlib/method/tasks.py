"""Section 3.5: what is asked of the latents besides the image itself: its class, or the image from a source made of it.

Classification is a linear layer on the origin gradient, trained with cross-entropy (equation 13). In modality
conversion the inner loss sees a source made from the image, the outer loss the image itself. A source has the shape of
the image, so that the decoder's output at the origin can be compared with both. What a source does not show is black;
by linearity of the encoder that adds the same vector to every latent.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

RED, GREEN, BLUE = 0.299, 0.587, 0.114  # ITU-R BT.601


def grey(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Brightness of images (N, C, H, W), repeated for every channel."""
    if x.shape[1] != 3:
        return x
    red, green, blue = x.unbind(1)
    return (RED * red + GREEN * green + BLUE * blue)[:, None].expand_as(x)


def edges(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Strength of the edges in [0, 1]: a quarter of the length of Sobel's gradient, so that a full step is 1."""
    padded = F.pad(grey(x)[:, :1], (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 2:] - padded[..., :-2], padded[..., 2:, :] - padded[..., :-2, :]
    across = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4
    down = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 4
    # a tiny number under the root keeps its derivative finite
    return (across.square() + down.square() + 1e-12).sqrt().clamp(max=1).expand_as(x)


def left(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """The left half of images, the right half black."""
    half = x.shape[-1] // 2
    return torch.cat([x[..., :half], torch.zeros_like(x[..., half:])], -1)


def image(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """The image itself: no conversion."""
    return x


@dataclass(frozen=True)
class Task:
    """What is asked of the latents.

    Args:
        source: what is encoded, made from images (n, C, H, W), of their shape.
        classifies: whether a classifier names the latents' classes.
        draws: whether the outer loss is about the image.
    """

    source: Callable[[Tensor], Tensor] = image
    classifies: bool = False
    draws: bool = True


TASKS = {  # name in a configuration: task
    "reconstruct": Task(), "classify": Task(classifies=True, draws=False), "both": Task(classifies=True),
    "from_edges": Task(edges), "from_grey": Task(grey), "from_left": Task(left),
}


class Classifier(nn.Module):
    """f of equation 13: latents (n, k) to logits (n, classes); the softmax is in the loss."""

    def __init__(self, latents: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(latents, classes)

    def forward(self, z: Float[Tensor, "n k"]) -> Float[Tensor, "n classes"]:
        """Logits of the classes."""
        return self.linear(z)

    def loss(self, z: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Cross-entropy in nats of images whose latents are z."""
        return F.cross_entropy(self.linear(z), labels, reduction="none")

    def hits(self, z: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Int[Tensor, ""]:
        """Number of latents whose most probable class is their label."""
        return (self.linear(z).argmax(1) == labels).sum()


def mean_source(source: Callable[[Tensor], Tensor], images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "c h w"]:
    """Mean of the sources of images: what population statistics are about."""
    total = sum((source(part.float() / 255).double().sum(0) for part in images.split(4096)), torch.zeros(()))
    return (total / len(images)).float()
