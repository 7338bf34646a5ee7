"""What comes of a training: a trained model with its history, or why it stopped before its end."""

from dataclasses import dataclass, field

from jaxtyping import UInt8
from torch import Tensor

from ..method.model import Model


class TrainingFailed(Exception):
    """The loss became NaN or infinite; `trained` is the last good state."""

    def __init__(self, message: str, trained: "Trained"):
        super().__init__(message)
        self.trained = trained


class OutOfTime(Exception):
    """The deadline passed; the checkpoint holds everything done so far."""


@dataclass
class Trained:
    """What training gives.

    Attributes:
        model: the trained model.
        history: a row for each recorded epoch (`evaluation.is_recorded`), and one for the end.
        metrics: the numbers at the last row, how far it is (`epochs`, `steps`), and facts about model and data.
        state: the model's tensors at that row; None where training went on from a checkpoint that is past it.
        snapshots: pictures (S, 16, C, H, W) kept while training, or None.
        snapshot_history: a row of numbers for each of them.
        ends_between: whether the end is none of the recorded epochs, so that a longer training has no such row.
    """

    model: Model
    history: list[dict]
    metrics: dict
    state: dict[str, Tensor] | None = None
    snapshots: UInt8[Tensor, "s n c h w"] | None = None
    snapshot_history: list[dict] = field(default_factory=list)
    ends_between: bool = False

    def weights(self) -> dict[str, Tensor]:
        """Tensors to load the model from, on the CPU; the training images' free latents (GLO) are left out."""
        return self.model.stored_state(self.state)
