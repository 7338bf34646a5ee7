"""The encoders that the paper compares GONs with: an autoencoder's, and one tied to the decoder."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from .decoders import Activation, TransposedConvolution
from .inference import FixedNoise, InferenceRule
from .normalisation import BatchNorm

if TYPE_CHECKING:
    from .model import Model

NO_TRANSPOSE = "a tied encoder transposes the convolutional decoder; an implicit decoder has no transpose"


class Encoder(InferenceRule):
    """Mirror image of the convolutional decoder, convolutions from (n, C, H, W) to latents (n, k); the row AE.

    Args:
        decoder: a `ConvDecoder`, whose blocks are mirrored.
        channels: channels of the images.
        activation: one of `ACTIVATIONS`.
        batchnorm: whether there is a `BatchNorm` after a convolution.
        bn_eps: what it adds to the variance.

    Raises:
        ValueError: for a decoder without blocks to mirror.

    Source: section 4, Table 1.
    """

    fields = ("encoder_batchnorm",)

    def __init__(self, decoder: nn.Module, channels: int, activation: str = "elu", batchnorm: bool = True,
                 bn_eps: float = 1e-5) -> None:
        super().__init__()
        blocks = blocks_of(decoder, "an encoder mirrors the convolutional decoder; an implicit decoder has no mirror image")
        layers: list[nn.Module] = []
        width = channels
        for i, block in enumerate(blocks):
            layers.append(nn.Conv2d(width, block.in_channels, 4, block.stride, block.padding))
            width = block.in_channels
            if i < len(blocks) - 1:
                layers += [BatchNorm(width, bn_eps)] if batchnorm else []
                layers.append(Activation(activation))
        self.layers = nn.Sequential(*layers)

    @classmethod
    def from_config(cls, config, decoder: nn.Module, channels: int, images: int) -> "Encoder":
        """The encoder of a configuration."""
        return cls(decoder, channels, config.activation, config.batchnorm and config.encoder_batchnorm, config.bn_eps)

    def forward(self, model: "Model", x: Float[Tensor, "n c h w"], index: Int[Tensor, " n"] | None = None,
                shared: None = None, noise: FixedNoise | None = None) -> Float[Tensor, "n k"]:
        """Latents of images."""
        return self.layers(x).flatten(1)


class TiedEncoder(InferenceRule):
    """The decoder's own weights, transposed, with biases and normalisation of their own; the row Tied AE.

    Args:
        decoder: a `ConvDecoder` with as many channels as the images.
        channels: channels of the images.
        activation: one of `ACTIVATIONS`.
        batchnorm: whether there is a `BatchNorm` after a convolution.
        bn_eps: what it adds to the variance.

    Raises:
        ValueError: for a decoder that cannot be transposed, or whose outputs are more than the image's channels.

    Source: section 4, Table 1.
    """

    fields = ("encoder_batchnorm",)

    def __init__(self, decoder: nn.Module, channels: int, activation: str = "elu", batchnorm: bool = True,
                 bn_eps: float = 1e-5) -> None:
        super().__init__()
        blocks = blocks_of(decoder, NO_TRANSPOSE)
        if blocks[0].out_channels != channels:
            raise ValueError("a tied encoder transposes a decoder with one output per value of the image; for a "
                             "likelihood with several outputs per value use another inference rule")
        widths = [block.in_channels for block in blocks]
        self.biases = nn.ParameterList(torch.zeros(width) for width in widths)
        self.norms = nn.ModuleList(BatchNorm(width, bn_eps) if batchnorm else nn.Identity() for width in widths[:-1])
        self.activation = Activation(activation)

    @classmethod
    def from_config(cls, config, decoder: nn.Module, channels: int, images: int) -> "TiedEncoder":
        """The encoder of a configuration."""
        return cls(decoder, channels, config.activation, config.batchnorm and config.encoder_batchnorm, config.bn_eps)

    def forward(self, model: "Model", x: Float[Tensor, "n c h w"], index: Int[Tensor, " n"] | None = None,
                shared: None = None, noise: FixedNoise | None = None) -> Float[Tensor, "n k"]:
        """Latents of images."""
        for i, (block, bias) in enumerate(zip(blocks_of(model.decoder, NO_TRANSPOSE), self.biases, strict=True)):
            x = F.conv2d(x, block.weight, bias, block.stride, block.padding)
            if i < len(self.norms):
                x = self.activation(self.norms[i](x))
        return x.flatten(1)


def blocks_of(decoder: nn.Module, otherwise: str) -> list[TransposedConvolution]:
    """The blocks of a convolutional decoder, from the image to the latents; ValueError(otherwise) if it has none."""
    blocks = getattr(decoder, "blocks", None)
    if not isinstance(blocks, list):
        raise ValueError(otherwise)
    return blocks[::-1]
