"""Any module is a decoder: the fast form by torch.func where it is exact, else the definition, and the model says so."""

import copy
import warnings

import pytest
import torch
from torch import nn

from gonlib.data import load
from gonlib.errors import UserError
from gonlib.method.likelihoods import LIKELIHOODS
from gonlib.method.model import Model
from gonlib.method.normalisation import BatchNorm
from gonlib.method.origin import OriginGradient
from gonlib.training.config import Config
from gonlib.training.loop import train


class Residual(nn.Module):
    """(n, 6) to (n, channels, 6, 10), with a residual block and whatever layer is put in its middle."""

    def __init__(self, channels=3, middle=None):
        super().__init__()
        self.first, self.inner = nn.Linear(6, 4 * 3 * 5), nn.Conv2d(4, 4, 3, padding=1)
        self.middle, self.last = middle or nn.Identity(), nn.ConvTranspose2d(4, channels, 4, 2, 1)

    def forward(self, z):
        h = self.first(z).view(-1, 4, 3, 5)
        return self.last(h + torch.tanh(self.middle(self.inner(nn.functional.silu(h)))))


def model_of(likelihood="bernoulli", middle=None, **options):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decoder = Residual(3 * LIKELIHOODS[likelihood].outputs, copy.deepcopy(middle))
        return Model(decoder, latents=6, likelihood=likelihood, image=(3, 6, 10), **options).double()


X = torch.randint(0, 256, (7, 3, 6, 10), generator=torch.Generator().manual_seed(1)).double() / 255
PLAIN = [None, nn.GroupNorm(2, 4), nn.Dropout(0.0)]
SLOW = [nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False), nn.Dropout(0.3), nn.InstanceNorm2d(4),
        nn.InstanceNorm2d(4, track_running_stats=True), BatchNorm(4), nn.LayerNorm([4, 3, 5])]
named = {"ids": lambda layer: type(layer).__name__}


def both_forms(model):
    found = []
    for exact in (True, False):
        model.zero_grad()
        with model.inferring(exact=exact):
            torch.manual_seed(3)
            model.loss(X).mean().backward()
            z = model.encode(X).detach()
        found.append((z, torch.cat([p.grad.flatten() for p in model.parameters()])))
    return found


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("n", [7, 3])  # more images than latents, and fewer
@pytest.mark.parametrize("middle", PLAIN, **named)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_generic_fast_form_is_the_definition(likelihood, middle, n, scale, monkeypatch):
    monkeypatch.setitem(globals(), "X", X[:n])
    model = model_of(likelihood, middle, latent_scale=scale)
    assert model.form == "fast form"
    for fast, reference in zip(*both_forms(model), strict=True):
        assert (fast - reference).norm() < 1e-10 * reference.norm()


@pytest.mark.parametrize("options", [{"variational": True}, {"inference": OriginGradient(steps=3, step_size=0.1)}])
def test_with_the_other_parts(options):
    model = model_of(**options)
    for fast, reference in zip(*both_forms(model), strict=True):
        assert (fast - reference).norm() < 1e-10 * reference.norm()


@pytest.mark.parametrize("middle", SLOW, **named)
def test_where_it_is_not_exact_the_definition_is_used_and_the_model_says_so(middle):
    with pytest.warns(UserWarning, match="reference form, which takes more time"):
        model = Model(Residual(middle=copy.deepcopy(middle)), 6, "bernoulli", (3, 6, 10)).double()
    assert model.form.startswith("reference form: the decoder couples")
    assert model.form in repr(model)
    fast, reference = both_forms(model)
    assert torch.equal(fast[1], reference[1])
    torch.testing.assert_close(fast[0], reference[0])


def test_images_that_a_decoder_couples_in_a_way_of_its_own_are_seen():
    class Centred(Residual):
        def forward(self, z):
            h = super().forward(z)
            return h - h.mean(0)

    with pytest.warns(UserWarning, match="reference form"):
        Model(Centred(), 6, "bernoulli", (3, 6, 10))


def test_chance_that_a_decoder_draws_by_itself_in_training_is_seen():
    class Noisy(Residual):
        def forward(self, z):
            return nn.functional.dropout(super().forward(z), 0.3, self.training)

    with pytest.warns(UserWarning, match="reference form"):
        model = Model(Noisy(), 6, "bernoulli", (3, 6, 10)).double()
    fast, reference = both_forms(model)
    assert torch.equal(fast[1], reference[1])
    assert model.ready().form == "fast form"


def test_attention_which_takes_another_path_without_gradients():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.mix = nn.Linear(6, 6 * 8), nn.MultiheadAttention(8, 2, batch_first=True)
            self.last = nn.Linear(8, 10)

        def forward(self, z):
            h = self.tokens(z).view(-1, 6, 8)
            return self.last(self.mix(h, h, h)[0])[:, None]

    with pytest.warns(UserWarning, match="reference form"):
        model = Model(Attention(), 6, "bernoulli", (1, 6, 10)).ready()
    x = X[:, :1].float()
    with torch.no_grad():
        z = model.encode(x)
    torch.testing.assert_close(z, model.encode(x).detach())


@pytest.mark.parametrize("middle", SLOW, **named)
def test_using_a_model_with_stock_layers_changes_nothing(middle):
    model = model_of(middle=middle)
    model.loss(X)
    for use in (model, model.ready()):
        state, chance = {k: v.clone() for k, v in use.state_dict().items()}, torch.get_rng_state()
        pictures = use.reconstruct(X)
        assert torch.equal(use.reconstruct(X), pictures) and torch.equal(torch.get_rng_state(), chance)
        assert all(torch.equal(value, state[name]) for name, value in use.state_dict().items())
    normalised = isinstance(middle, nn.BatchNorm2d | BatchNorm) or getattr(middle, "track_running_stats", False)
    assert model.statistics.mode == ("batch" if normalised else "population")
    if not normalised:
        torch.testing.assert_close(model.encode(X)[:2], model.encode(X[:2]))


def test_a_loop_of_ten_lines_trains_it():
    model = model_of().float()
    x, adam = X.float().repeat(4, 1, 1, 1), torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = model.loss(x).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]
    matrix, offset = model.ready().encoder_matrix()
    torch.testing.assert_close(x.flatten(1) @ matrix.T + offset, model.encode(x), rtol=1e-4, atol=1e-5)


def test_the_library_s_loop_trains_it_too():
    data, decoder = load("patches", 16, 64, 20), nn.Sequential(nn.Linear(4, 3 * 16 * 16), nn.Unflatten(1, (3, 16, 16)))
    own = Model(decoder, 4, image=(3, 16, 16))
    config = Config(dataset="patches", size=16, epochs=5, batch_size=16, learning_rate=1e-2)
    trained = train(config, data, model=own)
    assert trained.model is own and not own.training and own.statistics.mode == "population"
    assert trained.history[-1]["test_error"] < 0.9 * trained.history[0]["test_error"]
    mean = data.train.float().mean(0) / 255
    torch.testing.assert_close(own.mean_image, mean)
    with pytest.raises(UserError, match=r"for images of shape \(3, 16, 16\), the data set's are \(1, 16, 16\)"):
        train(config, load("digits", 16, 64, 20), model=own)


@pytest.mark.parametrize("decoder, options, message", [
    (Residual(2), {}, r"outputs \(n, 3, 6, 10\); it maps \(2, 6\) to \(2, 2, 6, 10\)"),
    (Residual(3), {"likelihood": "gaussian"}, r"outputs \(n, 6, 6, 10\)"),
    (Residual(3), {"latents": 7}, r"cannot decode latents of shape \(n, 7\)"),
    (Residual(3), {"image": (3, 10, 6)}, r"outputs \(n, 3, 10, 6\)"),
    (Residual(3), {"likelihood": "bernouli"}, "unknown likelihood 'bernouli'; known: squared_error, bernoulli"),
    (Residual(3), {"latents": 0}, "latents must be a whole number of at least 1, not 0"),
    (Residual(3), {"image": (3, 0, 10)}, r"image must be the shape \(C, H, W\) of the images, not \(3, 0, 10\)"),
    (Residual(3), {"fractions": (0.5, 1.0)}, "only an implicit decoder has coordinates"),
])
def test_what_does_not_fit_is_said_at_once(decoder, options, message):
    with pytest.raises(ValueError, match=message):
        Model(decoder, **{"latents": 6, "likelihood": "bernoulli", "image": (3, 6, 10)} | options)


def test_a_decoder_of_one_size_says_so():
    with pytest.raises(ValueError, match="one size, 6 x 10"):
        model_of().float().decode(torch.zeros(1, 6), size=12)


class Flat(nn.Module):
    """(n, 6) to (n, 1, 4, 4) with a layer on the flat numbers in its middle, and something done to the whole batch."""

    def __init__(self, middle, last=lambda h: h):
        super().__init__()
        self.layers, self.last = nn.Sequential(nn.Linear(6, 8), middle, nn.Tanh(), nn.Linear(8, 16)), last

    def forward(self, z):
        return self.last(self.layers(z).view(-1, 1, 4, 4))


@pytest.mark.parametrize("tracked", [True, False])
def test_a_single_image_that_is_normalised_by_the_others_is_told(tracked):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Model(Flat(nn.BatchNorm1d(8, track_running_stats=tracked)), 6, "bernoulli", (1, 4, 4)).ready()
    x = torch.rand(3, 1, 4, 4)
    assert model.encode(x).shape == (3, 6) and model.statistics.mode == "batch"
    for call in (lambda: model.encode(x[:1]), lambda: model.decode(torch.zeros(1, 6)), lambda: model.reconstruct(x[:1])):
        with pytest.raises(ValueError, match="give two images or more at once"):
            call()


def test_a_decoder_that_mixes_images_by_itself_has_no_population():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Model(Flat(nn.Identity(), lambda h: h - h.mean(0)), 6, "bernoulli", (1, 4, 4))
    assert "draws an image by the others of its batch" in model.no_population()
    assert model.ready().statistics.mode == "batch"
    assert Model(Flat(nn.Identity()), 6, "bernoulli", (1, 4, 4)).no_population() is None
