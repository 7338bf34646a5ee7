"""A trained GON as numbers for `elements/gon.js`: the encoder as one matrix, the decoder as its weights."""

import base64
from functools import singledispatch
from typing import Any

from torch import Tensor, nn

from ..method.decoders import ConvDecoder, ImplicitDecoder
from ..method.likelihoods import SquaredError
from ..method.model import Model
from ..method.normalisation import BatchNorm
from ..method.origin import encoder_matrix

ACTIVATIONS = ("identity", "elu", "relu", "leaky_relu", "tanh", "sigmoid")  # those that gon.js knows


def packed(tensor: Tensor) -> dict[str, Any]:
    """A tensor for gon.js: half-precision numbers as base64, after division by the largest magnitude among them."""
    values = tensor.detach().cpu().float()
    scale = values.abs().max().item() or 1.0
    data = base64.b64encode((values / scale).numpy().astype("<f2").tobytes()).decode()
    return {"scale": scale, "data": data}


def folded(decoder: ConvDecoder) -> list[dict[str, Any]]:
    """A convolutional decoder as transposed convolutions alone, its batch normalisations folded into their weights.

    Each has `weight` (in, out, 4, 4), `bias` (out,), `stride`, `padding` and the name of its `activation`. The
    statistics are those of `population`, fixed numbers with which every latent is decoded alone.
    """
    steps = []
    for layer in decoder.layers:
        if isinstance(layer, nn.ConvTranspose2d):
            steps.append({"weight": layer.weight, "bias": layer.bias, "stride": layer.stride[0],
                          "padding": layer.padding[0], "activation": "identity"})
        elif isinstance(layer, BatchNorm):
            scale = layer.weight * (layer.latent_var + layer.eps).rsqrt()
            steps[-1]["weight"] = steps[-1]["weight"] * scale[:, None, None]
            steps[-1]["bias"] = (steps[-1]["bias"] - layer.latent_mean) * scale + layer.bias
        else:
            steps[-1]["activation"] = layer.name
    return steps


def exported(model: Model) -> dict[str, Any]:
    """A trained GON for gon.js: the encoder as one matrix and one offset, the decoder as numbers.

    Raises:
        ValueError: if its encoder is not a matrix, or it has a part that gon.js does not know.
    """
    if model.stochastic is not None or not isinstance(model.likelihood, SquaredError):
        raise ValueError("gon.js knows only models of squared errors without a stochastic layer.")
    matrix, offset = encoder_matrix(model)
    return {"encoder": {"matrix": packed(matrix), "offset": packed(offset)}, **decoder_numbers(model.decoder)}


@singledispatch
def decoder_numbers(decoder: nn.Module) -> dict[str, Any]:
    """A decoder for gon.js, which has a class for each kind registered here."""
    raise ValueError(f"gon.js does not know the decoder {type(decoder).__name__}.")


@decoder_numbers.register
def _(decoder: ImplicitDecoder) -> dict[str, Any]:
    layers = [{"weight": packed(layer.weight), "bias": packed(layer.bias)} for layer in decoder.layers]
    return {"omega": decoder.omega, "layers": layers}


@decoder_numbers.register
def _(decoder: ConvDecoder) -> dict[str, Any]:
    layers = folded(decoder)
    for layer in layers:
        if layer["activation"] not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"gon.js does not know the activation {layer['activation']}; known: {known}.")
        layer.update(weight=packed(layer["weight"]), bias=packed(layer["bias"]), kernel=4)
    return {"side": decoder.latent_shape[-1], "layers": layers}
