"""Batch normalisation that can tell the inner passes of a GON, at the origin, from its latent pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

# A layer at one input: its output, and what it makes of tangents (push) and of cotangents (pull).
LayerMap = tuple[Tensor, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]

MODES = ("batch", "population", "running")


class Statistics:
    """Which statistics normalise at evaluation, and whether the present pass is an inner one.

    A model has one such object and all its batch normalisations share it, so a mode is set in one place.

    Attributes:
        mode: `batch`, the statistics of the batch itself (as published); `population`, running averages of the latent
            passes only; or `running`, running averages of every pass (stock behaviour, which ruins a GON, because at
            the origin the network is another one). Training always uses the batch.
        inner: whether the present pass only serves to find latents.
    """

    def __init__(self) -> None:
        self.mode, self.inner = "batch", False

    def __repr__(self) -> str:
        return self.mode


class BatchNorm(nn.Module):
    """Batch normalisation of (n, channels, h, w) with separate running averages for latent passes.

    In training it normalises by the batch and updates both averages. At evaluation `statistics.mode` chooses.

    Source: Ioffe & Szegedy 2015; the modes are this book's section "Batch normalisation at the origin".
    """

    running_mean: Tensor
    running_var: Tensor
    latent_mean: Tensor
    latent_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.statistics = Statistics()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        for kind in ("running", "latent"):
            self.register_buffer(f"{kind}_mean", torch.zeros(channels))
            self.register_buffer(f"{kind}_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalise each channel, then scale and shift it."""
        if self.training:
            # momentum 1 leaves the batch's own mean and (unbiased) variance in these two
            mean, var = self.latent_mean.new_zeros(len(self.bias)), self.latent_var.new_ones(len(self.bias))
            out = F.batch_norm(x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
            self.record(mean, var, self.statistics.inner)
            return out
        if self.statistics.mode == "batch":
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        kind = "latent" if self.statistics.mode == "population" else "running"
        mean, var = getattr(self, f"{kind}_mean"), getattr(self, f"{kind}_var")
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)

    @torch.no_grad()
    def record(self, mean: Float[Tensor, " c"], var: Float[Tensor, " c"], inner: bool) -> None:
        """Move the running averages towards the mean and unbiased variance of one pass."""
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)
        if not inner:
            self.latent_mean.lerp_(mean, self.momentum)
            self.latent_var.lerp_(var, self.momentum)

    @property
    def own_statistics(self) -> bool:
        """Whether a pass at the origin is normalised by its own mean and variance."""
        return self.training or self.statistics.mode != "running"

    def linearise(self, x: Float[Tensor, "1 c h w"], copies: int) -> "LayerMap":
        """Output at one input that `copies` images share, and the layer's linear map there: (output, push, pull).

        With statistics of its own, `push` holds them fixed, and `pull` does so for all rows but the last: that row is
        the mean cotangent, the only one that feels how the statistics move (see `SharedOrigin`).
        """
        if not self.own_statistics:
            scale = (self.weight * (self.running_var + self.eps).rsqrt())[:, None, None]
            return self(x), scale.mul, scale.mul
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        if self.training:  # the unbiased factor of all the images' pixels, as if each had passed
            n = copies * x[0, 0].numel()
            self.record(mean.flatten(), var.flatten() * n / max(n - 1, 1), inner=True)
        inverse = (var + self.eps).rsqrt()
        scale, normal = self.weight[:, None, None] * inverse, (x - mean) * inverse

        def pull(u):
            last = u[-1:]
            coupled = last - last.mean((2, 3), keepdim=True) - normal * (last * normal).mean((2, 3), keepdim=True)
            return scale * (coupled if len(u) == 1 else torch.cat([u[:-1], coupled]))

        return normal * self.weight[:, None, None] + self.bias[:, None, None], scale.mul, pull

    def extra_repr(self) -> str:
        """What `print(layer)` shows."""
        return f"{len(self.bias)}, eps={self.eps}, statistics={self.statistics}"


def batchnorms(module: nn.Module) -> list[BatchNorm]:
    """Every `BatchNorm` in `module`."""
    return [layer for layer in module.modules() if isinstance(layer, BatchNorm)]


def stock_norms(module: nn.Module) -> list[_NormBase]:
    """Every normalisation of torch's own in `module` whose statistics are a batch's or running averages."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)
            or (isinstance(layer, _InstanceNorm) and layer.track_running_stats)]


def mixes_images(module: nn.Module) -> bool:
    """Whether an image's output depends, in the present mode, on the other images of its batch or on chance."""
    ours = any(layer.own_statistics for layer in batchnorms(module))
    stock = any(layer.training or layer.running_mean is None for layer in stock_norms(module))
    chance = any(isinstance(layer, _DropoutNd) and layer.training and layer.p > 0 for layer in module.modules())
    return ours or stock or chance


@contextmanager
def evaluation(module: nn.Module, statistics: Statistics, mode: str) -> Iterator[None]:
    """Within, `module` is in evaluation with the given statistics, and no pass changes it; puts everything back.

    Torch's own batch normalisations know two of the modes, `batch` and `running`; for `population` they do `batch`.
    """
    if mode not in MODES:
        raise ValueError(f"unknown statistics {mode!r}; known: {', '.join(MODES)}")
    training, mode_before = [(layer, layer.training) for layer in module.modules()], statistics.mode
    stock = [] if mode == "running" else [layer for layer in stock_norms(module) if layer.track_running_stats]
    averages = [(layer.running_mean, layer.running_var) for layer in stock]
    module.eval()
    statistics.mode = mode
    for layer in stock:  # without running averages they use the batch's own statistics
        layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    try:
        yield
    finally:
        for layer, (mean, var) in zip(stock, averages, strict=True):
            layer.track_running_stats, layer.running_mean, layer.running_var = True, mean, var
        for part, was in training:
            part.training = was
        statistics.mode = mode_before


@contextmanager
def inner_pass(statistics: Statistics) -> Iterator[None]:
    """Within, passes only serve to find latents: batch normalisation keeps their statistics apart."""
    was, statistics.inner = statistics.inner, True
    try:
        yield
    finally:
        statistics.inner = was
