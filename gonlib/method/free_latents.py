"""Latents that no encoder computes: one per training image, learned with the network (GLO)."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .inference import FixedNoise, InferenceRule

if TYPE_CHECKING:
    from .model import Model


class FreeLatents(InferenceRule):
    """A latent per training image, learned with the network; the row GLO.

    Latents start at N(0, 0.1^2 I) and follow Adam, row by row: only the rows of a batch move. Unseen images get
    theirs by `fit_steps` Adam steps from the origin with the network fixed. The paper leaves both schedules open.

    Args:
        images: number of training images.
        latents: how many, k.
        learning_rate: of Adam on the latents.
        fit_steps: Adam steps that fit the latents of unseen images.

    Source: Table 1; Bojanowski et al. 2018.
    """

    fields = ("free_learning_rate", "free_steps")
    settings = ("learning_rate", "fit_steps")
    not_stored = ("table", "moments", "visits")  # the training images' own latents
    costly, sees_images, compiles = True, False, False
    table: Tensor
    moments: Tensor
    visits: Tensor

    def __init__(self, images: int, latents: int, learning_rate: float = 1e-2, fit_steps: int = 100) -> None:
        super().__init__()
        self.learning_rate, self.fit_steps = learning_rate, fit_steps
        self.register_buffer("table", 0.1 * torch.randn(images, latents))
        self.register_buffer("moments", torch.zeros(2, images, latents))
        self.register_buffer("visits", torch.zeros(images, 1))
        self._rows: Tensor | None = None

    @classmethod
    def from_config(cls, config, decoder: nn.Module, channels: int, images: int) -> "FreeLatents":
        """The rule of a configuration."""
        return cls(images, config.latents, config.free_learning_rate, config.free_steps)

    def forward(self, model: "Model", x: Float[Tensor, "n c *grid"], index: Int[Tensor, " n"] | None = None,
                shared: None = None, noise: FixedNoise | None = None) -> Float[Tensor, "n k"]:
        """Latents of the training images numbered `index`; without it, latents fitted to x."""
        if index is None:
            return self.fit(model, x)
        self._rows = self.table[index].requires_grad_(torch.is_grad_enabled())
        return self._rows

    @torch.no_grad()
    def after_step(self, index: Int[Tensor, " n"]) -> None:
        """One Adam step on the rows that the last batch used."""
        rows = self._rows
        assert rows is not None and rows.grad is not None  # of that batch
        gradient, visits = rows.grad, self.visits[index] + 1
        first = self.moments[0, index].lerp(gradient, 0.1)
        second = self.moments[1, index].lerp(gradient.square(), 0.001)
        step = (first / (1 - 0.9**visits)) / ((second / (1 - 0.999**visits)).sqrt() + 1e-8)
        self.table[index] = rows - self.learning_rate * step
        self.moments[0, index], self.moments[1, index], self.visits[index] = first, second, visits

    def fit(self, model: "Model", x: Float[Tensor, "n c *grid"]) -> Float[Tensor, "n k"]:
        """Latents of unseen images: Adam on their loss, the network fixed."""
        with torch.enable_grad():
            z = x.new_zeros(len(x), self.table.shape[1]).requires_grad_()
            adam = torch.optim.Adam([z], lr=self.learning_rate, capturable=z.is_cuda)
            for _ in range(self.fit_steps):
                (z.grad,) = torch.autograd.grad(model.loss_at(x, z).sum(), z)
                adam.step()
        return z.detach()
