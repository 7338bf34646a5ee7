"""Checks of what a user hands to a model: one sentence naming what is wrong and what is wanted."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .decoders import ConvDecoder, ImplicitDecoder
from .inference import InferenceRule
from .likelihoods import LIKELIHOODS
from .tasks import TASKS, Task

if TYPE_CHECKING:
    from .model import Model


def images(x: Tensor, model: "Model", values: bool = False) -> Tensor:
    """Images (n, C, H, W) for a model as floats in [0, 1]: uint8 levels are divided by 255; ValueError if they are none.

    `values` asks for values that can be meant as [0, 1], too; on a GPU that would have to wait, so it is left out there.
    """
    wanted = f"(n, {', '.join(map(str, model.image))})"
    if not isinstance(x, Tensor):
        raise ValueError(f"images must be a torch tensor of shape {wanted}, not {type(x).__name__}")
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise ValueError(f"images must be floats in [0, 1] or uint8 levels, not {_name(x.dtype)}")
    if x.layout != torch.strided:
        raise ValueError(f"images must be a dense tensor, not one of layout {x.layout}")
    if x.ndim != 4 or tuple(x.shape[1:]) != model.image:
        hint = "; add a first dimension for the batch: x[None]" if tuple(x.shape) == model.image else ""
        raise ValueError(f"images must have the shape {wanted}, not {tuple(x.shape)}{hint}")
    if x.dtype == torch.uint8:
        x = x.to(model.mean_image.dtype) / 255
    _same_kind(x, model, "images")
    if values and x.device.type == "cpu" and x.numel() and not (x.amax() <= 1.5 and x.amin() >= -0.5):
        raise ValueError(f"images must have values in [0, 1], not from {x.amin():.4g} to {x.amax():.4g}")
    return x


def parts(decoder: nn.Module, k: int, likelihood: str, image: Sequence[int], rule: InferenceRule, task: Task,
          fractions: tuple[float, float]) -> None:
    """Raise ValueError unless a model can be made of these parts; see `Model`."""
    if not isinstance(decoder, nn.Module):
        raise ValueError(f"the decoder must be a torch.nn.Module, not {type(decoder).__name__}")
    count("latents", k)
    if not isinstance(image, Sequence) or len(image) != 3 or not all(type(side) is int and side > 0 for side in image):
        raise ValueError(f"image must be the shape (C, H, W) of the images, not {image!r}")
    if likelihood not in [*LIKELIHOODS]:
        raise ValueError(f"unknown likelihood {likelihood!r}; known: {', '.join(LIKELIHOODS)}")
    for what, part, kind in (("inference", rule, InferenceRule), ("task", task, Task)):
        if not isinstance(part, kind):
            raise ValueError(f"{what} must be of the class {kind.__name__}, not {part!r}")
    if fractions != (1.0, 1.0) and not (hasattr(decoder, "points") and all(0 < share <= 1 for share in fractions)):
        raise ValueError("only an implicit decoder has coordinates to sample, a share above 0 and of at most 1")
    if task != TASKS["reconstruct"] and not rule.sees_images:
        raise ValueError("free latents know neither a source nor a class; their task is to reconstruct")


def own_size(decoder: nn.Module, k: int, shape: tuple[int, ...]) -> None:
    """Raise ValueError if one of gonlib's own decoders has other latents or outputs; it need not be tried for that."""
    if isinstance(decoder, ConvDecoder | ImplicitDecoder):
        its = decoder.channels, decoder.size, decoder.size
        if (decoder.latents, its) != (k, shape):
            raise ValueError(f"the decoder maps {decoder.latents} latents to outputs {its}; this model asks for {k} latents "
                             f"and outputs {shape}")


def count(what: str, value: int, least: int = 1) -> None:
    """Raise ValueError unless `value` is a whole number of at least `least`."""
    if type(value) is not int or value < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, not {value!r}")


def setting(name: str, value: float | bool, before: float | bool) -> None:
    """Raise ValueError unless `value` can stand in place of an inference rule's setting."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(before, bool):
        right, wanted = isinstance(value, bool), "True or False"
    elif isinstance(before, int):
        right, wanted = number and isinstance(value, int) and value >= 1, "a whole number of at least 1"
    else:
        right, wanted = number and value >= 0, "a number of at least 0"
    if not right:
        raise ValueError(f"the setting {name} must be {wanted}, not {value!r}")


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
            both, again = decoder(z), decoder(z)
            try:
                alone = decoder(z[:1])
            except ValueError:  # it normalises an image by the others
                alone = None
    except RuntimeError as fault:
        raise ValueError(f"the decoder cannot decode latents of shape (n, {k}): {fault}") from fault
    finally:
        for layer, training in was:
            layer.training = training
    if tuple(both.shape) != (2, *shape):
        raise ValueError(f"the decoder must map latents (n, {k}) to outputs (n, {', '.join(map(str, shape))}); it maps "
                         f"(2, {k}) to {tuple(both.shape)}")
    return alone is not None and _same(both, again) and _same(both[:1], alone)


@contextmanager
def enough_images() -> Iterator[None]:
    """Says in gonlib's words what torch says of a batch normalisation without an image to compare with."""
    try:
        yield
    except ValueError as fault:
        if "more than 1 value per channel" not in str(fault):
            raise
        raise ValueError("this decoder normalises an image by the others of its batch: give two images or more at "
                         "once") from fault


@torch.no_grad()
def steady_in_training(decoder: nn.Module, k: int) -> bool:
    """Whether a decoder in training mode draws each image alone and the same again, as far as a look at two can tell.

    It is a copy that is tried, because a pass in training may change a module.
    """
    twin = copy.deepcopy(decoder).train()
    like = next(decoder.parameters(), torch.zeros(()))
    z = torch.randn(2, k, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(like)
    try:
        with torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
            both, again, alone = twin(z), twin(z), twin(z[:1])
    except (RuntimeError, ValueError):  # such as batch normalisation of a single image
        return False
    return _same(both, again) and _same(both[:1], alone)


def _same(outputs: Tensor, others: Tensor) -> bool:
    return torch.allclose(outputs, others, rtol=1e-3, atol=1e-4 * outputs.abs().max().item())
