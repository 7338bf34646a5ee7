"""Every model of the registry: shapes, gradients, weights that survive a round trip, and what is no model."""

import pytest
import torch

from gonlib.data.datasets import load
from gonlib.errors import UserError
from gonlib.method.likelihoods import kl_to_standard_normal
from gonlib.method.models import MODELS, build
from gonlib.method.normalisation import batchnorms
from gonlib.training.config import Config
from gonlib.training.loop import Trained, Training

SMALL = {"size": 8, "filters": 4, "latents": 5, "hidden": 8, "layers": 2, "free_steps": 5}
# what a decoder without a mirror image can be combined with, besides what the registry names
IMPLICIT = {f"implicit {name}": fields | {"decoder": "siren"} for name, fields in MODELS.items()
            if fields.get("inference", "origin") in ("origin", "free") and "decoder" not in fields}
ALL = MODELS | IMPLICIT
every = pytest.mark.parametrize("name", ALL)


def make(name, channels=1, **changes):
    torch.manual_seed(0)
    model = build(Config(**(SMALL | ALL[name] | changes)), channels, images=12)
    model.generator = torch.Generator().manual_seed(1)
    return model


def images(n=6, channels=1):
    return torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(2))


def modes(name):
    """The evaluation modes that a model has: noise at the origin and normalisation leave no population statistics."""
    return [mode for mode in ("batch", "population", "running") if name != "VGON" or mode != "population"]


@every
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_values(name, channels):
    model, x = make(name, channels), images(channels=channels)
    index = torch.arange(6)
    for training in (True, False):
        model.train(training)
        z = model.encode(x)
        assert z.shape == (6, 5)
        loss = model.loss(x, index)
        assert loss.shape == (6,) and loss.isfinite().all()
        for pictures in (model.decode(z), model.reconstruct(x)):
            assert pictures.shape == x.shape and pictures.isfinite().all()
            if model.decoder.__class__.__name__ == "ConvDecoder" or model.stochastic is not None:
                assert pictures.min() >= 0 and pictures.max() <= 1


@every
def test_the_outer_loss_reaches_every_parameter(name):
    model = make(name)
    model.loss(images(), torch.arange(6)).mean().backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), label
        if parameter.ndim > 1:  # a bias in front of a batch normalisation has no effect
            assert parameter.grad.abs().max() > 0, label


@every
def test_weights_survive_a_round_trip(name):
    model, x = make(name), images()
    for _ in range(2):
        model.loss(x, torch.arange(6))  # so that statistics are not the initial ones
    model.mean_image.copy_(x.mean(0))
    weights = Trained(model, [], {}).weights()
    assert all(w.device.type == "cpu" and w.is_contiguous() for w in weights.values())
    torch.manual_seed(99)
    again = build(Config(**(SMALL | ALL[name])), 1)
    again.load_stored(weights)
    for mode in modes(name):
        with model.evaluating(mode), again.evaluating(mode):
            assert torch.equal(model.encode(x), again.encode(x))
            assert torch.equal(model.reconstruct(x), again.reconstruct(x))


@pytest.mark.parametrize("name", [name for name in ALL if not ALL[name].get("variational")])  # those draw noise
def test_batch_statistics_at_evaluation_give_what_training_gave(name):
    model, x = make(name), images()
    z = model.inference(model, x).detach()
    picture = model.likelihood.mean(model.decoder(z)).detach()
    with model.evaluating("batch"):
        torch.testing.assert_close(model.encode(x), z, rtol=1e-3, atol=1e-4 * z.abs().max().item())
        torch.testing.assert_close(model.reconstruct(x), picture, rtol=1e-3, atol=1e-3)


@every
def test_the_same_seed_gives_the_same_model_and_loss(name):
    x, index = images(), torch.arange(6)
    one, two = make(name), make(name)
    assert one.state_dict().keys() == two.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert torch.equal(one.loss(x, index), two.loss(x, index))


@every
def test_evaluation_changes_nothing(name):
    model, x = make(name), images()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for mode in modes(name):
        with model.evaluating(mode), torch.no_grad():
            first = model.reconstruct(x)
            assert torch.equal(model.reconstruct(x), first)
    assert model.training and not model.population
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@every
def test_a_model_can_be_read(name):
    model = make(name)
    assert "Decoder" in repr(model) and type(model.inference).__name__ in repr(model)


@every
def test_double_precision(name):
    model, x = make(name).double(), images().double()
    assert model.encode(x).dtype == model.reconstruct(x).dtype == model.loss(x, torch.arange(6)).dtype == torch.float64


# --- evaluation modes ------------------------------------------------------------------------------------------------


def test_evaluating_puts_everything_back():
    model = make("GON").eval()
    with pytest.raises(RuntimeError), model.evaluating("population"):
        assert model.population and {layer.statistics.mode for layer in batchnorms(model)} == {"population"}
        with model.evaluating("running"):
            assert not model.population
        assert model.population and {layer.statistics.mode for layer in batchnorms(model)} == {"population"}
        raise RuntimeError
    assert not model.training and not model.population
    assert {layer.statistics.mode for layer in batchnorms(model)} == {"batch"}


def test_the_mode_reaches_encoders_too():
    model, x = make("AE"), images()
    for _ in range(3):
        model.loss(x)
    with torch.no_grad():
        with model.evaluating("population"):
            torch.testing.assert_close(model.encode(x[:1]), model.encode(x)[:1])
        with model.evaluating("batch"):
            assert not torch.allclose(model.encode(x[:2]), model.encode(x)[:2], atol=1e-3)


# --- the variational models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["VGON", "VAE"])
def test_the_outer_loss_is_minus_the_elbo(name):
    model, x = make(name), images()
    with torch.no_grad():
        z, noise = model.encode(x), torch.randn(6, 5)
        with model.evaluating():
            mu, logvar = model.stochastic.mu(z), model.stochastic.logvar(z)
            sample = mu + (logvar / 2).exp() * noise
            nll, kl = model.likelihood.nll(model.decoder(sample), x), kl_to_standard_normal(mu, logvar)
            torch.testing.assert_close(model.loss_at(x, z, noise), nll + kl)
            model.kl_weight.fill_(0.25)  # annealing
            torch.testing.assert_close(model.loss_at(x, z, noise), nll + 0.25 * kl)
            torch.testing.assert_close(model.decode(z), torch.sigmoid(model.decoder(mu)))


def test_noise_comes_from_the_run_s_generator():
    model, x = make("VGON"), images()
    first = model.loss(x)
    assert not torch.equal(model.loss(x), first)
    model.generator.manual_seed(1)
    torch.manual_seed(123)
    assert torch.equal(model.loss(x), first)


def test_samples_from_the_prior():
    model = make("VGON", 3).eval()
    pictures = [model.sample(4, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert pictures[0].shape == (4, 3, 8, 8) and pictures[0].min() >= 0 and pictures[0].max() <= 1
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])
    with pytest.raises(ValueError, match="variational"):
        make("GON").sample(4)


# --- sizes, and what is no model -------------------------------------------------------------------------------------


def test_only_an_implicit_decoder_decodes_at_any_size():
    z = torch.randn(2, 5)
    assert make("implicit GON").decode(z, size=20).shape == (2, 1, 20, 20)
    assert make("GON").decode(z, size=8).shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match="8.*implicit"):
        make("GON").decode(z, size=16)


NO_MODEL = [
    {"decoder": "siren", "inference": "encoder"}, {"decoder": "siren", "inference": "tied_encoder"}, {"size": 12},
    {"spatial": 2}, {"spatial": 4, "latents": 20}, {"inner_fraction": 0.5},
    {"likelihood": "gaussian", "evaluation": "population"},
]


@pytest.mark.parametrize("changes", NO_MODEL)
def test_what_is_no_model_is_said_before_training(changes):
    config = Config(**(SMALL | changes))
    with pytest.raises(ValueError) as fault:  # noqa: PT011 (looked at below)
        build(config, 1)
    with pytest.raises(UserError) as told:
        Training(config, load("digits", config.size, 20, 10))
    assert str(fault.value) in str(told.value)
