"""One frozen configuration: what is trained, how far, and how it is looked at; what can change a weight is its name."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..data.registry import check_name
from ..errors import UserError, unknown
from ..method.decoders import ACTIVATIONS, DECODERS
from ..method.likelihoods import LIKELIHOODS
from ..method.models import RULES
from ..method.normalisation import MODES
from ..method.tasks import TASKS


def _choice(default: str, names: Collection[str], asked: bool = False) -> Any:
    """A field with one of `names`; a registry's are looked up when a value is checked."""
    return field(default=default, metadata={"choices": names, "asked": asked})


def _number(default: int | float, low: int | float, high: int | float = math.inf, asked: bool = False) -> Any:
    return field(default=default, metadata={"range": (low, high), "asked": asked})


@dataclass(frozen=True)
class Config:
    """What is to be trained; raises `UserError` for a value of the wrong type or out of range.

    Most fields can change the weights, and so name the run (`hash`). Five only ask something of it, how far it is to
    be trained and how it is looked at (`ASKED`): they are no part of its name, because a run grows.
    A field at its default is left out of the canonical JSON, so a new field renames no recorded run;
    in return, a default is never changed.
    """

    # data
    dataset: str = "digits"  # a name of gonlib.data, or folder:PATH
    size: int = _number(32, 4, 1024)  # side of the square image, pixels
    train_images: int = _number(0, 0)  # use the first so many training images; 0: all
    test_images: int = _number(0, 0)
    # the model: decoder x likelihood x inference rule (x stochastic layer)
    decoder: str = _choice("conv", DECODERS)
    likelihood: str = _choice("squared_error", LIKELIHOODS)
    inference: str = _choice("origin", RULES)
    variational: bool = False  # a stochastic layer in front of the decoder (section 3.3)
    latents: int = _number(32, 1, 65536)
    # convolutional decoder
    filters: int = _number(16, 1, 4096)  # base filters f; the blocks have ... 4f, 2f, f
    spatial: int = _number(1, 1, 64)  # side of the latent; 4, 8, 16 leave out blocks (figure 10a)
    activation: str = _choice("elu", ACTIVATIONS)
    batchnorm: bool = True
    bn_eps: float = _number(1e-5, 1e-12, 1.0)
    # implicit decoder
    hidden: int = _number(256, 1, 65536)
    layers: int = _number(4, 1, 64)
    omega: float = _number(30.0, 1e-3, 1e4)
    # inference at the origin
    inner_steps: int = _number(1, 1, 1000)
    step_size: float = _number(1.0, 0.0, 1e6)
    detach: bool = False  # no gradient through the latent
    origin_sd: float = _number(0.0, 0.0, 1e6)  # z0 ~ N(0, origin_sd^2 I), figure 11
    add_origin: bool = False  # z = z0 - grad instead of z = -grad, figure 11b
    latent_scale: float = _number(1.0, 1e-12, 1e12)  # 1: the published scale at batch 64
    encoder_batchnorm: bool = True  # of the encoder that GONs are compared with
    # share of the coordinates that a training step sees, for implicit decoders (equation 12 by Monte Carlo)
    inner_fraction: float = _number(1.0, 1e-6, 1.0)
    outer_fraction: float = _number(1.0, 1e-6, 1.0)
    # training
    batch_size: int = _number(64, 1, 65536)
    learning_rate: float = _number(1e-4, 0.0, 100.0)
    kl_anneal: int = _number(0, 0)  # epochs over which the weight of the KL term grows from 0 to 1
    free_learning_rate: float = _number(1e-2, 0.0, 100.0)  # GLO: Adam on the latents
    # what is asked of the latents: the image, its class (equation 13), both, or the image from a source made of it
    task: str = _choice("reconstruct", TASKS)
    seed: int = _number(0, 0, 2**31)
    # what is asked of the run
    epochs: int = _number(10, 1, 100000, asked=True)  # of whole batches: the last, smaller batch is left out
    steps: int = _number(0, 0, asked=True)  # stop after so many optimiser steps; 0: all epochs
    evaluation: str = _choice("batch", MODES, asked=True)  # statistics
    free_steps: int = _number(100, 1, 100000, asked=True)  # GLO: Adam steps that fit the latents of unseen images
    snapshots: bool = field(default=False, metadata={"asked": True})  # keep reconstructions while training (figure 8)

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, check_field(f, getattr(self, f.name)))
        check_name(self.dataset)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """A config from a dictionary; `UserError` for an unknown name, the nearest suggested."""
        names = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise unknown("parameter", name, names)
        return cls(**values)

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed."""
        return type(self).from_dict({**dataclasses.asdict(self), **changes})

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}

    @property
    def json(self) -> str:
        """Canonical JSON: sorted keys, defaults left out."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """The run's name: 16 hexadecimal digits over what can change a weight."""
        return hashlib.sha256(self.trajectory.json.encode()).hexdigest()[:16]

    @cached_property
    def trajectory(self) -> "Config":
        """This configuration with what is only asked of a run, and what cannot matter here, at its default."""
        idle = ASKED | self.irrelevant()
        return self.replace(**{f.name: f.default for f in dataclasses.fields(self) if f.name in idle})

    @property
    def look(self) -> tuple[str, int]:
        """How numbers are measured: the statistics, and the steps that fit a latent to an unseen image (GLO)."""
        return self.evaluation, self.free_steps if "free_steps" not in self.irrelevant() else type(self).free_steps

    def end(self, images: int) -> tuple[int, int]:
        """Where this asks a training on so many images to end: (epochs begun, optimiser steps)."""
        per_epoch = images // min(self.batch_size, images)
        steps = min(self.steps or math.inf, self.epochs * per_epoch)
        return math.ceil(steps / per_epoch), int(steps)

    def irrelevant(self) -> set[str]:
        """The fields that cannot change anything in this configuration, whatever their value."""
        parts = DECODERS[self.decoder], RULES[self.inference]
        own = [{*part.fields} for registry in (DECODERS, RULES) for part in registry.values() if hasattr(part, "fields")]
        used = {*parts[0].fields, *parts[1].fields} if all(hasattr(part, "fields") for part in parts) else set().union(*own)
        idle = set().union(*own) - used
        if "batchnorm" in idle or not self.batchnorm:
            idle |= {"bn_eps", "encoder_batchnorm"}
        if "origin_sd" in idle or self.origin_sd == 0:
            idle |= {"add_origin"}
        return idle if self.variational else idle | {"kl_anneal"}


ASKED = {f.name for f in dataclasses.fields(Config) if f.metadata.get("asked")}


def check_field(f: dataclasses.Field, value: Any) -> Any:
    """`value` as the type of dataclass field `f`, or `UserError` naming what is allowed."""
    kind: Any = f.type
    integral = isinstance(value, int) and not isinstance(value, bool)
    if kind is float and (integral or isinstance(value, float)) and abs(value) < 1e300:
        value = float(value) + 0.0  # so that -0.0 and 0.0 are one run
    if not (integral if kind is int else isinstance(value, kind)):
        raise UserError(f"parameter {f.name} must be {_allowed(f)}, not {value!r}.")
    if "choices" in f.metadata and value not in f.metadata["choices"]:
        raise unknown(f"value of {f.name}", value, f.metadata["choices"])
    if "range" in f.metadata:
        low, high = f.metadata["range"]
        if not low <= value <= high:
            raise UserError(f"parameter {f.name} must be {_allowed(f)}, not {value!r}.")
    return value


_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _allowed(f: dataclasses.Field) -> str:
    kind = _KINDS[f.type]
    if "range" not in f.metadata:
        return kind
    low, high = f.metadata["range"]
    return f"{kind} of at least {low}" if high == math.inf else f"{kind} from {low} to {high}"
