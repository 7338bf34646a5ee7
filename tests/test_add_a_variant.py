"""How to add a variant: one small class and one line in a registry, as here.

Each variant below is complete. In the library its class would stand in the file named beside it, and the line in the
registry there; a test adds the line for a while. `properties.check` then holds it to what every model must do: the
fast form equals the definition, gradients reach every parameter, using a model changes nothing, an image alone has the
latent that it has in company, and a saved model is the same when loaded.
"""

import pytest
import torch
from properties import check, small
from torch import nn

from gonlib.method import decoders, likelihoods, models, tasks
from gonlib.method.inference import InferenceRule
from gonlib.method.likelihoods import Likelihood
from gonlib.method.origin import descend


# --- a decoder (gonlib/method/decoders.py): an image is a weighted sum of learned templates
class Templates(nn.Module):
    def __init__(self, latents, channels, size):
        super().__init__()
        self.templates = nn.Parameter(torch.randn(latents, channels, size, size))

    @classmethod
    def from_config(cls, config, channels, final):
        return cls(config.latents, channels, config.size)

    def forward(self, z):
        return torch.einsum("nk,kchw->nchw", torch.sin(z), self.templates)


# --- an inference rule (gonlib/method/models.py has the registry): the origin gradient, squashed into (-1, 1)
class SquashedGradient(InferenceRule):
    def forward(self, model, x, index=None, shared=None, noise=None):
        z0 = x.new_zeros(len(x), model.latents)
        return torch.tanh(descend(model, x, z0, noise=noise))

    def differentiates_twice(self, model):
        return True

    def no_population(self, model):
        return "this rule has only the batch's statistics; use evaluation='batch'" if model.normalised else None


# --- a likelihood (gonlib/method/likelihoods.py): a smooth absolute error, which forgives outliers
class SmoothAbsolute(Likelihood):
    nats = False

    def nll(self, params, x):
        return ((params - x).square() + 0.01).sqrt().flatten(1).sum(1)

    def cotangent(self, params, x):
        return (params - x) / ((params - x).square() + 0.01).sqrt()

    def mean(self, params):
        return params


# --- a source to convert from (gonlib/method/tasks.py): the image in negative
def negative(x):
    return 1 - x


VARIANTS = {  # what it is: registry, name, and the line's value
    "decoder": (decoders.DECODERS, "templates", Templates),
    "inference": (models.RULES, "squashed", SquashedGradient),
    "likelihood": (likelihoods.LIKELIHOODS, "smooth_absolute", SmoothAbsolute()),
    "task": (tasks.TASKS, "from_negative", tasks.Task(negative)),
}


@pytest.mark.parametrize("others", [{}, {"decoder": "siren"}, {"variational": True}, {"batchnorm": False, "inner_steps": 3}])
@pytest.mark.parametrize("field", VARIANTS)
def test_a_variant_is_a_class_and_a_line(field, others, tmp_path, monkeypatch):
    registry, name, value = VARIANTS[field]
    monkeypatch.setitem(registry, name, value)
    check(small(**others | {field: name}), tmp_path)
