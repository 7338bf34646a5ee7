"""Checks of what a user hands to a model: one sentence naming what is wrong and what is wanted."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .models import Model


def images(x: Tensor, model: "Model", values: bool = False) -> Tensor:
    """Images (n, C, H, W) for a model as floats in [0, 1]: uint8 levels are divided by 255; ValueError if they are none.

    `values` asks for values that can be meant as [0, 1], too; on a GPU that would have to wait, so it is left out there.
    """
    wanted = f"(n, {', '.join(map(str, model.image))})"
    if not isinstance(x, Tensor):
        raise ValueError(f"images must be a torch tensor of shape {wanted}, not {type(x).__name__}")
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise ValueError(f"images must be floats in [0, 1] or uint8 levels, not {_name(x.dtype)}")
    if x.ndim != 4 or tuple(x.shape[1:]) != model.image:
        hint = "; add a first dimension for the batch: x[None]" if tuple(x.shape) == model.image else ""
        raise ValueError(f"images must have the shape {wanted}, not {tuple(x.shape)}{hint}")
    if x.dtype == torch.uint8:
        x = x.to(model.mean_image.dtype) / 255
    _same_kind(x, model, "images")
    if values and x.device.type == "cpu" and x.numel() and (x.amax() > 2 or x.amin() < -1):
        raise ValueError(f"images must have values in [0, 1], not from {x.amin():.4g} to {x.amax():.4g}")
    return x


def latents(z: Tensor, model: "Model") -> None:
    """Raise ValueError unless z are latents (n, k) for a model."""
    if not isinstance(z, Tensor) or not z.is_floating_point() or z.ndim != 2 or z.shape[1] != model.latents:
        seen = f"{_name(z.dtype)} of shape {tuple(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(f"latents must be floats of shape (n, {model.latents}), not {seen}")
    _same_kind(z, model, "latents")


def _same_kind(tensor: Tensor, model: "Model", what: str) -> None:
    if tensor.dtype != model.mean_image.dtype or tensor.device != model.mean_image.device:
        mine = f"{_name(model.mean_image.dtype)} on {model.mean_image.device}"
        raise ValueError(f"{what} are {_name(tensor.dtype)} on {tensor.device}, but the model is {mine}")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def same_tensors(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise ValueError unless the tensors have the names and shapes of the wanted ones."""
    if missing := sorted(wanted.keys() - found.keys()):
        raise ValueError(f"the weights lack {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
    if unexpected := sorted(found.keys() - wanted.keys()):
        raise ValueError(f"the weights hold {unexpected[0]}, which this model does not have")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise ValueError(f"the weights hold {name} of shape {tuple(found[name].shape)}, not {tuple(tensor.shape)}")


@torch.no_grad()
def try_decoder(decoder: nn.Module, k: int, shape: tuple[int, ...]) -> bool:
    """Decode two latents once: raise ValueError for outputs of another shape; say whether each image stands alone."""
    like = next(decoder.parameters(), torch.zeros(()))
    z = torch.randn(2, k, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(like)
    was = [(layer, layer.training) for layer in decoder.modules()]
    decoder.eval()
    try:
        with torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
            both, again, alone = decoder(z), decoder(z), decoder(z[:1])
    except RuntimeError as fault:
        raise ValueError(f"the decoder cannot decode latents of shape (n, {k}): {fault}") from fault
    finally:
        for layer, training in was:
            layer.training = training
    if tuple(both.shape) != (2, *shape):
        raise ValueError(f"the decoder must map latents (n, {k}) to outputs (n, {', '.join(map(str, shape))}); it maps "
                         f"(2, {k}) to {tuple(both.shape)}")
    close = {"rtol": 1e-3, "atol": 1e-4 * both.abs().max().item()}
    return torch.allclose(both, again, **close) and torch.allclose(both[:1], alone, **close)
