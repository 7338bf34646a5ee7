"""What is measured beside a run on its weights at some point: other statistics, other fits of GLO. Never a training."""

from ..data.datasets import Dataset
from ..errors import UserError
from ..method.model import Model
from ..method.models import build
from ..training.config import Config
from ..training.evaluation import Evaluation
from ..training.forms import arithmetic
from .run import Run


def buildable(config: Config, data: Dataset) -> Model:
    """The model of a config, untrained; `UserError` if there is none, or it cannot be measured as the config says."""
    try:
        return build(config, data.channels, classes=1 + int(data.train_labels.max()))
    except ValueError as error:
        raise UserError(f"this configuration has no model: {error}.") from error


def measure(run: Run, data: Dataset, device: str) -> dict:
    """The errors of a run's model at the asked point, measured as its config says: a row for the table beside the run.

    Errors of training images are left out for a rule whose latents of them are not stored (GLO).
    """
    config, model = run.config, run.load_model(device, run.asked.steps)
    some, named = min(len(data.train), len(data.test)), model.classifier is not None
    parts = {"test": (data.test, data.test_labels)}
    if not model.inference.not_stored:
        parts = {"train": (data.train[:some], data.train_labels[:some])} | parts
    row = {"epoch": run.asked.epochs, "step": run.asked.steps,
           "evaluation": config.look[0], "free_steps": config.look[1]}
    with arithmetic():  # as in training
        for part, (images, labels) in parts.items():
            measured = Evaluation(model, images, config, labels=labels if named else None)()
            row |= {f"{part}_{key}": value for key, value in measured.items()}
    return row
