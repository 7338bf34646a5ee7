"""What holds for every model that can be built: `check` is run on random configurations and on every new variant."""

import copy
import pickle

import torch

import gonlib
from gonlib.method.models import build
from gonlib.method.normalisation import batchnorms
from gonlib.training.config import Config

SMALL = {"size": 8, "filters": 2, "hidden": 4, "layers": 2, "latents": 4, "free_steps": 3}
IMAGES = 5


def small(**fields):
    return Config.from_dict(SMALL | fields)


def made(config, channels=1):
    """A model in float64 in training mode, away from its start (where second derivatives may not be defined)."""
    torch.manual_seed(0)
    model = build(config, channels, images=IMAGES, classes=3).double()
    model.generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in batchnorms(model):
            layer.weight.uniform_(0.5, 1.5)
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def images(channels=1, n=IMAGES, seed=2):
    levels = torch.randint(0, 256, (n, channels, 8, 8), generator=torch.Generator().manual_seed(seed))
    return levels.double() / 255


def loss_of(model, x):
    labels = torch.arange(len(x)) % 3 if model.task.classifies else None
    model.generator.manual_seed(3)
    return model.loss(x, torch.arange(len(x)), labels)


def check(config, folder, channels=1):
    """Assert every property of the model of a configuration; a combination that does not exist is said in a sentence."""
    try:
        model = made(config, channels)
    except ValueError as fault:
        assert len(str(fault).split()) > 5
        return
    x = images(channels)
    gradients_reach_every_parameter(model, x)
    the_fast_form_is_the_reference(model, x)
    using_it_changes_nothing(model, x)
    an_image_alone_is_encoded_as_in_company(model, x)
    it_can_be_copied_saved_and_loaded(model, x, folder)


def gradients_reach_every_parameter(model, x):
    losses = loss_of(model, x)
    assert losses.shape == (len(x),) and losses.isfinite().all()
    losses.mean().backward()
    if not model.task.draws and getattr(model.inference, "detach", False):
        return  # then only the classifier learns
    through_decoder = model.task.draws or "detach" in model.inference.settings  # an encoder's classifier decodes nothing
    for name, parameter in model.named_parameters():
        if not through_decoder and not name.startswith(("classifier.", "inference.")):
            continue
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def the_fast_form_is_the_reference(model, x):
    if "exact" not in model.inference.settings:
        return
    found = []
    for exact in (True, False):
        model.zero_grad()
        with model.inferring(exact=exact, steps=1):  # further steps are the definition in both, and may amplify rounding
            loss_of(model, x).sum().backward()
            z = model.encode(x).detach()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((z, gradient))
    for fast, reference in zip(*found, strict=True):
        assert (fast - reference).norm() <= 1e-8 * reference.norm() + 1e-12


def using_it_changes_nothing(model, x):
    for use in (model, copy.deepcopy(model).ready()):
        state, training = {k: v.clone() for k, v in use.state_dict().items()}, use.training
        drawn, chance = use.generator.get_state(), torch.get_rng_state()
        first = use.encode(x), use.reconstruct(x)
        with torch.no_grad(), use.evaluating("batch"):
            use.reconstruct(x)
        again = use.encode(x), use.reconstruct(x)
        with torch.inference_mode():
            bare = use.encode(x), use.reconstruct(x)
        for one, other, without_graph in zip(first, again, bare, strict=True):
            assert one.isfinite().all() and torch.equal(one, other)
            torch.testing.assert_close(without_graph, one.detach(), rtol=1e-9, atol=1e-12)  # autograd rounds in its way
        assert use.training == training
        assert torch.equal(use.generator.get_state(), drawn) and torch.equal(torch.get_rng_state(), chance)
        assert all(torch.equal(value, state[name]) for name, value in use.state_dict().items())


def an_image_alone_is_encoded_as_in_company(model, x):
    if model.no_population():
        return
    model.mean_image.copy_(images(model.image[0], seed=4).mean(0))
    with torch.no_grad(), model.evaluating("population"):
        together, alone = model.encode(x), model.encode(x[:1])
        torch.testing.assert_close(alone, together[:1], rtol=1e-7, atol=1e-10)
        torch.testing.assert_close(model.decode(together)[:1], model.decode(together[:1]), rtol=1e-7, atol=1e-10)


def it_can_be_copied_saved_and_loaded(model, x, folder):
    model.ready().save(folder / "model.safetensors")
    z = model.encode(x)
    for other in (gonlib.load_model(folder / "model.safetensors"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert torch.equal(other.encode(x), z) and torch.equal(other.decode(z), model.decode(z))
