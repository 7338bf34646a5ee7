"""F in the paper: a decoder maps latents to the parameters of p(x given z), and nothing else.

Two decoders: transposed convolutions (section 4) and an implicit network over coordinates, a SIREN (section 3.4).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

# name: (function, its derivative). The derivative is written out because the exact form of the origin
# gradient (origin.py) is ordinary code that autograd differentiates once more: f'' comes from here.
ACTIVATIONS = {
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
OUTPUTS = {"identity": None, "sigmoid": (torch.sigmoid, lambda x: torch.sigmoid(x) * (1 - torch.sigmoid(x)))}


class Activation(nn.Module):
    """A pointwise function together with its derivative."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.function, self.derivative = ACTIVATIONS.get(name) or OUTPUTS[name]

    def forward(self, x):
        return self.function(x)

    def extra_repr(self):
        return self.name


class BatchNorm(nn.Module):
    """Batch normalisation of (N, C, H, W) that can tell the inner passes of a GON from its latent pass.

    `statistics` names whose mean and variance normalise: those of the `batch` (as published), the running
    averages of the latent passes only (`population`), or the running averages of every pass (`running`, stock
    behaviour, which ruins a GON because at the origin the network is another one). Training always uses the
    batch and updates both averages; `inner` marks a pass that only serves to find the latents.
    Source: Ioffe & Szegedy 2015; the modes are this book's section "Batch normalisation at the origin".
    """

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.statistics, self.inner = "batch", False
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        for kind in ("running", "latent"):
            self.register_buffer(f"{kind}_mean", torch.zeros(channels))
            self.register_buffer(f"{kind}_var", torch.ones(channels))

    def forward(self, x):
        if self.training:
            # momentum 1 leaves the batch's own mean and (unbiased) variance in these two
            mean, var = self.latent_mean.new_zeros(len(self.bias)), self.latent_var.new_ones(len(self.bias))
            out = F.batch_norm(x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
            self.record(mean, var, self.inner)
            return out
        if self.statistics == "batch":
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        kind = "latent" if self.statistics == "population" else "running"
        mean, var = getattr(self, f"{kind}_mean"), getattr(self, f"{kind}_var")
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)

    @torch.no_grad()
    def record(self, mean, var, inner):
        """Move the running averages towards one pass's mean and unbiased variance, (C,) each."""
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)
        if not inner:
            self.latent_mean.lerp_(mean, self.momentum)
            self.latent_var.lerp_(var, self.momentum)

    def extra_repr(self):
        return f"{len(self.bias)}, eps={self.eps}, statistics={self.statistics}"


def batchnorms(module):
    """Every batch normalisation in `module`."""
    return [layer for layer in module.modules() if isinstance(layer, BatchNorm)]


def set_statistics(module, mode):
    """Choose the statistics (`batch`, `population` or `running`) of every batch normalisation in `module`."""
    for layer in batchnorms(module):
        layer.statistics = mode


class ConvDecoder(nn.Module):
    """Transposed convolutions from latents (N, k) to outputs (N, C, size, size); section 4.

    At 32 px there are 4 as published, with 4f, 2f, f and C channels; each doubling of the size adds one block.
    `spatial` > 1 lays the latents out as (k / spatial^2, spatial, spatial) and leaves out the blocks that would
    have led there (figure 10a). Raises ValueError for a size that the blocks cannot reach.
    """

    def __init__(self, latents=32, filters=16, channels=1, size=32, spatial=1, activation="elu", batchnorm=True,
                 bn_eps=1e-5, output="sigmoid"):
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
        layers, width = [], self.latent_shape[0]
        for i, wide in enumerate(widths):
            stride, padding = (1, 0) if spatial == 1 and i == 0 else (2, 1)
            layers.append(nn.ConvTranspose2d(width, wide, 4, stride, padding))
            if i < len(widths) - 1:
                layers += [BatchNorm(wide, bn_eps)] if batchnorm else []
                layers.append(Activation(activation))
            width = wide
        if output != "identity":
            layers.append(Activation(output))
        self.layers = nn.Sequential(*layers)

    def forward(self, z, size=None):
        if size not in (None, self.size):
            raise ValueError(f"this convolutional decoder has one size, {self.size}; an implicit one decodes at any")
        return self.layers(z.view(-1, *self.latent_shape))


class ImplicitDecoder(nn.Module):
    """A SIREN over coordinates and latents, (N, k) to (N, C, H, W); equations 11-12.

    F(c, z) = W_L sin(omega ... sin(omega (W_c c + W_z z + b))). The first layer is split: coordinates are
    projected once, latents once, and their sum is broadcast. Source: Sitzmann et al. 2020 for the initialisation.
    """

    def __init__(self, latents=32, channels=1, size=28, hidden=256, layers=4, omega=30.0):
        super().__init__()
        self.latents, self.channels, self.size, self.omega = latents, channels, size, omega
        self.points = None  # numbers (P,) of the training grid's points to work on; None: all of them
        widths = [2 + latents] + [hidden] * layers + [channels]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        for i, layer in enumerate(self.layers):
            bound = 1 / widths[0] if i == 0 else math.sqrt(6 / widths[i]) / omega
            nn.init.uniform_(layer.weight, -bound, bound)

    def coordinates(self, size=None):
        """Grid of `size` x `size` points in [-1, 1]^2, row then column: (size^2, 2).

        Without a size it is the grid of the training images, or what `points` leaves of it.
        """
        weight = self.layers[0].weight
        side = torch.linspace(-1, 1, size or self.size, device=weight.device, dtype=weight.dtype)
        grid = torch.cartesian_prod(side, side)
        return grid if size or self.points is None else grid[self.points]

    def project(self, coordinates):
        """W_c c + b of the first layer: (P, 2) to (P, hidden)."""
        first = self.layers[0]
        return F.linear(coordinates, first.weight[:, :2], first.bias)

    def at(self, z, coordinates):
        """Outputs (N, C, P) at any coordinates (P, 2)."""
        h = self.project(coordinates) + F.linear(z, self.layers[0].weight[:, 2:])[:, None]
        for layer in self.layers[1:]:
            h = layer(torch.sin(self.omega * h))
        return h.mT

    def forward(self, z, size=None):
        return self.arranged(self.at(z, self.coordinates(size)), size)

    def arranged(self, outputs, size=None):
        """Outputs (N, C, size^2) at the points of a grid as images; (N, C, P) at fewer points stay as they are."""
        whole = size or self.points is None
        return outputs.unflatten(-1, (size or self.size, -1)) if whole else outputs


def count_parameters(module):
    """Number of trainable numbers in `module`."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
