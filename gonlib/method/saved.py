"""A model as a file of its own, and its decoder as a plain module for other runtimes."""

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from ..errors import UserError
from . import tensors as proven
from .normalisation import stock_norms

if TYPE_CHECKING:
    from .model import Model

KEY = "gonlib"  # of the recipe, in the file's metadata


class DecoderModule(nn.Module):
    """A model's decoder, its mean and nothing else, in evaluation: latents (n, k) to expected images (n, C, H, W).

    `torch.export` and `torch.onnx.export` take it. It is a copy, whose batch normalisations use `population`
    statistics, so that each latent is decoded alone; torch's own use those of the batch, as in the model.
    """

    def __init__(self, model: "Model") -> None:
        super().__init__()
        twin = copy.deepcopy(model).eval()
        twin.statistics.mode = "population"
        for layer in stock_norms(twin.decoder):
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
        self.decoder, self.likelihood = twin.decoder, twin.likelihood
        self.mu = None if twin.stochastic is None else twin.stochastic.mu
        self.eval()

    def forward(self, z: Float[Tensor, "n k"]) -> Float[Tensor, "n c h w"]:
        """Expected images of latents."""
        return self.likelihood.mean(self.decoder(z if self.mu is None else self.mu(z)))


def save(model: "Model", path: str | Path) -> None:
    """Write a model's tensors and how it is made to a safetensors file, in place of an older one."""
    proven.write(Path(path), model.stored_state(), **{KEY: json.dumps(model.recipe, sort_keys=True)})


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `save` wrote: the recipe and the tensors; `UserError` for a file that is missing, damaged or another kind."""
    if not Path(path).is_file():
        raise UserError(f"there is no file {path}; `model.save` writes one.")
    try:
        tensors, texts = proven.read(Path(path))
        return dict(json.loads(texts[KEY])), tensors
    except KeyError:
        raise UserError(f"{path} does not say how its model is made: it was not written by `model.save`.") from None
    except OSError as fault:
        raise UserError(f"{path} cannot be read: {fault}.") from fault
    except (SafetensorError, ValueError, TypeError, RuntimeError) as fault:
        raise UserError(f"{path} is damaged ({next(iter(str(fault).splitlines()), '')}): save the model again.") from fault


def filled(model: "Model", tensors: dict[str, Tensor], path: str | Path) -> "Model":
    """A model with the tensors of a file, ready for use; `UserError` if they are not its own."""
    try:
        dtype = next((t.dtype for t in tensors.values() if t.is_floating_point()), torch.float32)
        return model.to(dtype).load_stored(tensors).ready()
    except ValueError as fault:
        raise UserError(f"{path} does not fit this model: {fault}.") from fault
