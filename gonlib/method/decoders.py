"""F in the paper: a decoder maps latents to the parameters of p(x given z), and nothing else.

Two decoders: transposed convolutions (section 4) and an implicit network over coordinates, a SIREN (section 3.4).
Any other module from (n, k) to (n, C, H, W) is a decoder too. What it may offer besides `forward`:

* `linearise(start, copies)`: itself linearised at one latent, a `Linearised`. Without it `shared_origin` uses
  `torch.func` where that is exact, and elsewhere the definition.
* `resizable = True`, if `forward(z, size)` draws images of any size.
* `points`, the numbers of the points of its grid to work on, if it can work on some of them (see `Model.sampling`).
* `averaged_over`, what the published code divides a squared error by (see `SquaredError.published_scale`).
* `from_config(config, channels, final)` and a line in `DECODERS`, to be named in a configuration; `fields` names those
  of the configuration that are its own, so that the others rename no run. Without it every field counts.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .normalisation import BatchNorm, LayerMap

# name: (function, its derivative). The derivative is written out because the exact form of the origin
# gradient (shared_origin.py) is ordinary code that autograd differentiates once more: f'' comes from here.
Pointwise = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
ACTIVATIONS: dict[str, Pointwise] = {
    "elu": (F.elu, lambda x: x.clamp(max=0).exp()),
    "relu": (F.relu, lambda x: (x > 0).to(x.dtype)),
    "leaky_relu": (F.leaky_relu, lambda x: torch.full_like(x, 0.01).masked_fill(x > 0, 1.0)),
    "silu": (F.silu, lambda x: torch.sigmoid(x) * (1 + x * (1 - torch.sigmoid(x)))),
    "gelu": (
        F.gelu,
        lambda x: 0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "softplus": (F.softplus, torch.sigmoid),
    "tanh": (torch.tanh, lambda x: 1 - torch.tanh(x) ** 2),
    "sine": (torch.sin, torch.cos),
}
OUTPUTS: dict[str, Pointwise] = {"sigmoid": (torch.sigmoid, lambda x: torch.sigmoid(x) * (1 - torch.sigmoid(x)))}


class Linearised(NamedTuple):
    """A decoder at one latent: what all images that start there share.

    Attributes:
        output: the decoder's output there, (1, C, H, W).
        columns: gives the columns of the Jacobian J, (k, C, H, W), any statistics held fixed.
        pull: J^T u for cotangents u (n, C, H, W), as (n, k); None if only the columns are to be used. With a
            `BatchNorm` using its own statistics, the last row of u is the mean cotangent.
    """

    output: Tensor
    columns: Callable[[], Tensor]
    pull: Callable[[Tensor], Tensor] | None


class Activation(nn.Module):
    """A pointwise function together with its derivative.

    Args:
        name: one of `ACTIVATIONS`, or `sigmoid`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The function of each number."""
        return (ACTIVATIONS | OUTPUTS)[self.name][0](x)

    def derivative(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Its derivative at each number."""
        return (ACTIVATIONS | OUTPUTS)[self.name][1](x)

    def linearise(self, x: Float[Tensor, "*shape"], copies: int) -> LayerMap:
        """(output, push, pull) at x: tangents and cotangents are multiplied by the slope."""
        slope = self.derivative(x)
        return self(x), slope.mul, slope.mul

    def extra_repr(self) -> str:
        """What `print(layer)` shows."""
        return self.name


class TransposedConvolution(nn.ConvTranspose2d):
    """A block of the convolutional decoder, 4 x 4, which can be linearised."""

    bias: Tensor  # these three are never what else torch allows
    stride: tuple[int, int]
    padding: tuple[int, int]

    def __init__(self, wide: int, narrow: int, stride: int, padding: int) -> None:
        super().__init__(wide, narrow, 4, stride, padding)

    def linearise(self, x: Float[Tensor, "1 c h w"], copies: int) -> LayerMap:
        """(output, push, pull) at x: the map without its bias, and its transpose."""
        if x.shape[2:] == (1, 1) and self.padding == (0, 0):  # from a single pixel it is a matrix product
            matrix, sides = self.weight.flatten(1), self.weight.shape[1:]
            output = torch.addmm(self.bias.repeat_interleave(sides[1:].numel()), x.flatten(1), matrix).unflatten(1, sides)
            return output, lambda t: (t.flatten(1) @ matrix).unflatten(1, sides), lambda u: u.flatten(1) @ matrix.T

        def push(t):
            return F.conv_transpose2d(t, self.weight, None, self.stride, self.padding)

        def pull(u):
            return F.conv2d(u, self.weight, None, self.stride, self.padding)

        return self(x), push, pull


class ConvDecoder(nn.Module):
    """Transposed convolutions from latents (n, k) to outputs (n, channels, size, size).

    At 32 pixels there are 4 blocks as published, with 4f, 2f, f and C channels; each doubling of the size adds one.

    Args:
        latents: how many, k.
        filters: f, the channels of the last block but one.
        channels: channels of the output.
        size: side of the output in pixels.
        spatial: above 1, latents are laid out as (k / spatial^2, spatial, spatial), and the blocks that would have led
            there are left out (figure 10a).
        activation: one of `ACTIVATIONS`.
        batchnorm: whether there is a `BatchNorm` between a block and its activation.
        bn_eps: what it adds to the variance.
        final: `sigmoid` for outputs in [0, 1], or `identity`.

    Raises:
        ValueError: for a size that the blocks cannot reach.

    Source: section 4 and the published code.
    """

    fields = ("filters", "spatial", "activation", "batchnorm", "bn_eps")

    def __init__(self, latents: int = 32, filters: int = 16, channels: int = 1, size: int = 32, spatial: int = 1,
                 activation: str = "elu", batchnorm: bool = True, bn_eps: float = 1e-5, final: str = "sigmoid") -> None:
        super().__init__()
        self.latents, self.channels, self.size = latents, channels, size
        if latents % spatial**2:
            raise ValueError(f"latents ({latents}) must be a multiple of spatial^2 ({spatial**2})")
        self.latent_shape = (latents // spatial**2, spatial, spatial)
        first = 4 if spatial == 1 else 2 * spatial  # side after the first block
        doublings = math.log2(size / first)
        if spatial in (2, 3) or doublings != int(doublings) or doublings < 0:
            raise ValueError(f"a convolutional decoder reaches sizes {first} * 2^n from spatial {spatial}, not {size}")
        widths = [filters * 2**i for i in reversed(range(int(doublings)))] + [channels]
        layers: list[nn.Module] = []
        width = self.latent_shape[0]
        for i, wide in enumerate(widths):
            stride, padding = (1, 0) if spatial == 1 and i == 0 else (2, 1)
            layers.append(TransposedConvolution(width, wide, stride, padding))
            if i < len(widths) - 1:
                layers += [BatchNorm(wide, bn_eps)] if batchnorm else []
                layers.append(Activation(activation))
            width = wide
        if final != "identity":
            layers.append(Activation(final))
        self.layers = nn.Sequential(*layers)
        self.averaged_over = size**2  # the published convolutional code takes the mean over the pixels

    @classmethod
    def from_config(cls, config, channels: int, final: str) -> "ConvDecoder":
        """The decoder of a configuration, with `channels` output channels."""
        return cls(config.latents, config.filters, channels, config.size, config.spatial, config.activation,
                   config.batchnorm, config.bn_eps, final)

    @property
    def blocks(self) -> list[TransposedConvolution]:
        """The transposed convolutions, from the latents to the image."""
        return [layer for layer in self.layers if isinstance(layer, TransposedConvolution)]

    def forward(self, z: Float[Tensor, "n k"]) -> Float[Tensor, "n c h w"]:
        """Latents to outputs."""
        return self.layers(z.view(-1, *self.latent_shape))

    def linearise(self, start: Float[Tensor, "1 k"], copies: int) -> Linearised:
        """The decoder at the latent `start` that `copies` images share: its layers' linear maps, one after the other."""
        x, pushes, pulls = start.view(1, *self.latent_shape), [], []
        layer: Any  # all of them can be linearised
        for layer in self.layers:
            x, push, pull = layer.linearise(x, copies)
            pushes.append(push)
            pulls.append(pull)

        def columns():
            t = torch.eye(self.latents, dtype=x.dtype, device=x.device).view(-1, *self.latent_shape)
            for push in pushes:
                t = push(t)
            return t

        def pull_back(u):
            for pull in reversed(pulls):
                u = pull(u)
            return u.flatten(1)

        return Linearised(x, columns, pull_back)


class ImplicitDecoder(nn.Module):
    """A SIREN over coordinates and latents, (n, k) to (n, C, H, W).

    F(c, z) = W_L sin(omega ... sin(omega (W_c c + W_z z + b))). The first layer is split: coordinates are projected
    once, latents once, and their sum is broadcast.

    Args:
        latents: how many, k.
        channels: channels of the output.
        size: side of the training images in pixels; the decoder can draw others.
        hidden: width of the hidden layers.
        layers: number of hidden layers.
        omega: frequency of the sines.

    Source: equations 11-12; Sitzmann et al. 2020 for the initialisation.
    """

    resizable = True
    fields = ("hidden", "layers", "omega")

    def __init__(self, latents: int = 32, channels: int = 1, size: int = 28, hidden: int = 256, layers: int = 4,
                 omega: float = 30.0) -> None:
        super().__init__()
        self.latents, self.channels, self.size, self.omega = latents, channels, size, omega
        self.points: Tensor | None = None  # numbers (P,) of the training grid's points to work on; None: all of them
        self.averaged_over = channels  # the published implicit code takes the mean over the channels
        widths = [2 + latents] + [hidden] * layers + [channels]
        linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.layers = cast(Sequence[nn.Linear], linears)
        for i, layer in enumerate(self.layers):
            bound = 1 / widths[0] if i == 0 else math.sqrt(6 / widths[i]) / omega
            nn.init.uniform_(layer.weight, -bound, bound)

    @classmethod
    def from_config(cls, config, channels: int, final: str) -> "ImplicitDecoder":
        """The decoder of a configuration, with `channels` output channels; its outputs are not squashed."""
        return cls(config.latents, channels, config.size, config.hidden, config.layers, config.omega)

    def coordinates(self, size: int | None = None) -> Float[Tensor, "p 2"]:
        """Grid of `size` x `size` points in [-1, 1]^2, row then column.

        Without a size it is the grid of the training images, or what `points` leaves of it.
        """
        weight = self.layers[0].weight
        side = torch.linspace(-1, 1, size or self.size, device=weight.device, dtype=weight.dtype)
        grid = torch.cartesian_prod(side, side)
        return grid if size or self.points is None else grid[self.points]

    def project(self, coordinates: Float[Tensor, "p 2"]) -> Float[Tensor, "p hidden"]:
        """W_c c + b of the first layer."""
        first = self.layers[0]
        return F.linear(coordinates, first.weight[:, :2], first.bias)

    def at(self, z: Float[Tensor, "n k"], coordinates: Float[Tensor, "p 2"]) -> Float[Tensor, "n c p"]:
        """Outputs at any coordinates."""
        h = self.project(coordinates) + F.linear(z, self.layers[0].weight[:, 2:])[:, None]
        for layer in self.layers[1:]:
            h = layer(torch.sin(self.omega * h))
        return h.mT

    def forward(self, z: Float[Tensor, "n k"], size: int | None = None) -> Float[Tensor, "n c *grid"]:
        """Outputs on the training images' grid, or on one of `size` x `size` points."""
        return self.arranged(self.at(z, self.coordinates(size)), size)

    def arranged(self, outputs: Float[Tensor, "n c p"], size: int | None = None) -> Float[Tensor, "n c *grid"]:
        """Outputs at the points of a grid as images (n, c, h, w); outputs at fewer points stay (n, c, p)."""
        whole = size or self.points is None
        return outputs.unflatten(-1, (size or self.size, -1)) if whole else outputs

    def linearise(self, start: Float[Tensor, "1 k"], copies: int) -> Linearised:
        """The decoder at the latent `start`; J takes one reverse pass per channel over the grid, whatever the batch."""
        weight_z, omega = self.layers[0].weight[:, 2:], self.omega
        h = self.project(self.coordinates()) + F.linear(start, weight_z)
        slopes = []
        for layer in self.layers[1:]:
            slopes.append(omega * torch.cos(omega * h))
            h = layer(torch.sin(omega * h))

        def columns():
            u = self.layers[-1].weight[:, None] * slopes[-1]  # (C, P, hidden): one reverse pass per channel
            for layer, slope in zip(reversed(self.layers[1:-1]), reversed(slopes[:-1]), strict=True):
                u = (u @ layer.weight) * slope
            return self.arranged((u @ weight_z).permute(2, 0, 1))

        return Linearised(self.arranged(h.mT[None]), columns, None)


DECODERS: dict[str, Any] = {"conv": ConvDecoder, "siren": ImplicitDecoder}  # name in a configuration: class


def count_parameters(module: nn.Module) -> int:
    """Number of trainable numbers in `module`."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
