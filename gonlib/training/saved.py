"""A model from the file that `model.save` wrote, without any store of runs."""

from pathlib import Path

from torch import nn

from ..errors import UserError
from ..method.inference import InferenceRule
from ..method.model import Model
from ..method.models import build
from ..method.origin import OriginGradient
from ..method.saved import filled, read
from ..method.tasks import TASKS
from .config import Config


def load_model(path: str | Path, decoder: nn.Module | None = None, inference: InferenceRule | None = None) -> Model:
    """The model in a file written by `model.save`, ready for use.

    Args:
        path: the file.
        decoder: a decoder like the one that was saved, for a model with a decoder of your own.
        inference: likewise, for an inference rule other than the origin gradient.

    Raises:
        UserError: for a file that is missing, damaged, or of another model.
    """
    recipe, tensors = read(path)
    try:
        if "config" in recipe:
            model = build(Config.from_dict(recipe["config"]), recipe["channels"], classes=recipe["classes"])
        elif decoder is None:
            raise UserError(f"{path} holds a model with a decoder of its own: load_model(path, decoder=...) asks for it.")
        else:
            model = _with_decoder(recipe, decoder, inference, path)
    except (KeyError, TypeError, ValueError, RuntimeError) as fault:
        raise UserError(f"{path} says of a model what cannot be built: {fault}.") from fault
    return filled(model, tensors, path)


def _with_decoder(recipe: dict, decoder: nn.Module, inference: InferenceRule | None, path: str | Path) -> Model:
    if inference is None and recipe["inference"] != "OriginGradient":
        raise UserError(f"{path} holds a model with the inference rule {recipe['inference']}: "
                        "load_model(path, decoder=..., inference=...) asks for it.")
    return Model(decoder, recipe["latents"], recipe["likelihood"], tuple(recipe["image"]),
                 inference or OriginGradient(**recipe["settings"]), recipe["variational"], TASKS[recipe["task"]],
                 recipe["classes"], recipe["latent_scale"], tuple(recipe["fractions"]))
