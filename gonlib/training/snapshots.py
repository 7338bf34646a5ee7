"""Snapshots: what a model makes of the first test images while it trains (figure 8)."""

import math

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..data import as_bytes, as_float
from ..data.datasets import Dataset
from ..method.model import Model
from .config import Config
from .evaluation import evaluate

IMAGES = 16  # pictures in a snapshot
SCORED = 512  # test images whose error stands beside it


def is_point(step: int) -> bool:
    """Whether a snapshot is taken after so many steps: 0, 1, 2, 3, 6, 10, 18, 32, ..., four to a factor of ten."""
    return step == 0 or step == round(10 ** (round(4 * math.log10(step)) / 4))


def next_point(step: int) -> int:
    """The first step after `step` at which a snapshot is taken."""
    step += 1
    while not is_point(step):
        step += 1
    return step


class Snapshots:
    """The snapshots of one training: a row of numbers and a row of pictures for each.

    Steps do not depend on how long the training is to be, so a longer one has all snapshots of a shorter one.
    """

    def __init__(self, model: Model, data: Dataset, config: Config):
        self.model, self.config = model, config
        self.images, self.scored = data.test[:IMAGES], data.test[:SCORED]
        self.rows: list[dict] = []
        self.taken: list[UInt8[Tensor, "n c h w"]] = []

    @torch.no_grad()
    def take(self, step: int, seconds: float) -> None:
        """Keep reconstructions after `step` steps and `seconds` of training, and the error of the model now."""
        with self.model.evaluating(self.config.evaluation):
            self.taken.append(as_bytes(self.model.reconstruct(as_float(self.images))))
        constant = (as_float(self.scored) - self.model.mean_image).square().sum() / len(self.scored)
        self.rows.append({"step": step, "seconds": round(seconds, 3),
                          "test_error": evaluate(self.model, self.scored, self.config)["error"],
                          "mean_image_error": float(constant)})

    @property
    def pictures(self) -> UInt8[Tensor, "s n c h w"] | None:
        """All pictures kept so far, or None."""
        return torch.stack(self.taken) if self.taken else None
