"""The encoder is a matrix: what a training step costs in operations, how exact it is in float32, and linearity itself.

`bench` measures time and memory.
"""

import copy

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ...data import as_float
from ...method.likelihoods import LIKELIHOODS
from ...method.models import build
from ...training.config import Config
from ..judging import MARKS, Finding, rule
from ..linear import pca_error
from ..numbers import Html, linked, say, with_claim

FORMS = {"reference": False, "fast": True}  # name: the inference rule's `exact`


def agreement(model, x, batch):
    """How far two encoders are from M x + b, in lengths of the latents: the library's, image by image, and the published.

    The published algorithm, autograd through a batch of zeros with that batch's statistics, knows nothing of M. Its offset
    is another for each batch, so there differences between the images of a batch are compared.
    """
    matrix, offset = model.encoder_matrix()
    with torch.no_grad():
        with model.evaluating("population"):
            z = model.encode(x)
        with model.evaluating("batch"), model.inferring(exact=False):
            published = model.encode(x[:batch])
    linear = x.flatten(1) @ matrix.T + offset
    within = [part - part.mean(0) for part in (published, linear[:batch])]
    return _relative(linear, z), _relative(*within)


@torch.no_grad()
def decoders_compared(model, data) -> pd.Series:
    """Test errors of PCA, of the GON's latents with the best linear decoder (least squares on the training images), and
    of the GON, as many latents each."""
    (matrix, offset), x = model.encoder_matrix(), as_float(data.test)
    train = as_float(data.train).flatten(1)
    inputs = [torch.cat([images @ matrix.T + offset, torch.ones(len(images), 1)], 1).double()
              for images in (train, x.flatten(1))]
    scale = inputs[0].std(0) + (inputs[0].std(0) == 0)
    best = torch.linalg.lstsq(inputs[0] / scale, train.double()).solution
    straight = (inputs[1] / scale @ best - x.flatten(1)).square().sum(1).mean()
    with model.evaluating("population"):
        own = (model.reconstruct(x) - x).square().sum((1, 2, 3)).mean()
    return pd.Series({"PCA: linear encoder, linear decoder": pca_error(data, len(matrix)),
                      "the GON's encoder, best linear decoder": straight.item(),
                      "the GON: the same encoder, its own decoder": own.item()})


def in_short(run: pd.DataFrame, agreed: tuple[float, float], compared: pd.Series) -> list[Html]:
    """What the encoder of a GON is, from `agreement` and `decoders_compared` of one run (a row of `collect`)."""
    config, (pca, _, own) = run.config.iloc[0], compared
    side, size = config.size, f"{config.latents} × {run.channels.iloc[0] * config.size**2:,.0f}"
    told = [
        say("The latent is z = Mx + b: one matrix and one offset. In this build ({}, {} × {} pixels) M has {} numbers, and "
            "Mx + b differs from what the library encodes by {} of its length, from the published algorithm by {}.",
            run.column.iloc[0], side, side, size, *(linked(f"{apart:.0e}", run) for apart in agreed)),
        say("As its encoder is linear, PCA with as many components is the yardstick: test error {} against the GON's {}.",
            f"{pca:.2f}", linked(f"{own:.2f}", run)),
        Html("An encoder is linear under likelihoods whose derivative is affine in the image, as the squared error's and "
             "the Bernoulli's are, and not under those over 256 levels."),
    ]
    return with_claim(told, "The paper says that in a mean-field model the latent is a linear function of the image (C22).")


def expected_costs(config, batch):
    """Cost of a training step in decoder passes over the batch, by the counting argument of the chapter: name -> number."""
    copies = min(config.latents, batch)
    return {"GON, reference": 9, "AE": 6, "GON, fast": 3 + 3 * copies / batch, "decoder alone": 3}


def counted_costs(config, channels=1, batch=64):
    """The same, counted by PyTorch while it does the step (matrix products and convolutions): name -> number.

    Source: `torch.utils.flop_counter`. The configuration is that of a convolutional GON.
    """
    x = torch.rand(batch, channels, config.size, config.size)
    gon, ae = build(config, channels), build(config.replace(inference="encoder"), channels)
    z = torch.rand(batch, config.latents)
    with torch.no_grad():
        one = _operations(lambda: gon.decoder(z))
    counts = {}
    for form, exact in FORMS.items():
        with gon.inferring(exact=exact):
            counts[f"GON, {form}"] = _operations(lambda: gon.loss(x).sum().backward()) / one
    counts["AE"] = _operations(lambda: ae.loss(x).sum().backward()) / one
    counts["decoder alone"] = _operations(lambda: gon.loss_at(x, z).sum().backward()) / one
    return {name: counts[name] for name in expected_costs(config, batch)}


class _Operations(TorchDispatchMode):
    """Adds up what PyTorch's own formulas say of each call. (Its FlopCounterMode also watches modules, and its hooks
    refuse a gradient with respect to the origin.)"""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function._overloadpacket)
        self.total += formula(*args, **(kwargs or {}), out_val=out) if formula else 0
        return out


def _operations(step):
    with _Operations() as counter:
        step()
    return counter.total


def float32_errors(model, x):
    """Relative errors in float32, against the reference form in float64: form -> {latents, gradient, through z}.

    `gradient` is that of the outer loss in the weights; `through z` its part that detaching would leave out. Biases
    right before a batch normalisation are left out: their gradient is 0, and what float32 makes of it is noise in
    either form. The model, in training mode, and images x (N, C, H, W) are not changed.
    """
    truth = _step(model, x, torch.float64, exact=False)
    whole = torch.cat(truth["gradient"]).norm()
    matters = [bool(part.norm() > 1e-9 * whole) for part in truth["gradient"]]
    errors = {}
    for form, exact in FORMS.items():
        found = _step(model, x, torch.float32, exact)
        errors[form] = {"latents": _relative(found.pop("latents"), truth["latents"])}
        for name, parts in found.items():
            pairs = [_kept(gradient, matters) for gradient in (parts, truth[name])]
            errors[form][name] = _relative(*pairs)
    return errors


def _kept(parts, matters):
    return torch.cat([part for part, keep in zip(parts, matters, strict=True) if keep])


def _relative(found, truth):
    return float((found - truth).norm() / truth.norm())


def _step(model, x, dtype, exact):
    """Latents, and gradients as a vector per parameter, of a training step on a copy of the model; all as float64."""
    model, x = copy.deepcopy(model).to(dtype).train(), x.to(dtype)
    gradients = []
    for detach in (False, True):
        with model.inferring(exact=exact, detach=detach):
            gradient = torch.autograd.grad(model.loss(x).mean(), list(model.parameters()))
        gradients.append([part.flatten().double() for part in gradient])
    whole, decoding = gradients
    with torch.no_grad(), model.inferring(exact=exact):
        z = model.encode(x)
    return {"latents": z.double(), "gradient": whole,
            "through z": [a - b for a, b in zip(whole, decoding, strict=True)]}


@rule("C22", exact=True, says="z of a sum of images is the sum of their z (to a millionth), for each of the library's "
      "likelihoods, all mean-field")
def c22():
    for name in LIKELIHOODS:
        departure = departure_from_affine(name)
        outcome = "holds" if departure < 1e-6 else "fails"
        yield Finding(outcome, say("{}, z off a linear function by {} {}", name.replace("_", " ").capitalize(),
                                   f"{departure:.0e}", MARKS[outcome]))


def departure_from_affine(likelihood: str) -> float:
    """|z(a + b) - z(a) - z(b) + z(0)| relative to |z(a) - z(0)| + |z(b) - z(0)|, of a random GON and dark images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(Config(likelihood=likelihood, latents=8, filters=4, size=8, batchnorm=False), 1).double().eval()
        a, b = (torch.randint(0, 128, (1, 1, 8, 8)).double() / 255 for _ in range(2))
    with torch.no_grad():
        sum_, one, two, none = (model.encode(x) for x in (a + b, a, b, torch.zeros_like(a)))
    return float((sum_ - one - two + none).norm() / ((one - none).norm() + (two - none).norm()))
