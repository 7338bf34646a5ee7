"""The origin gradient: its definition, the exact fast form against it, evaluation one image at a time, the matrix."""

import pytest
import torch
from torch.distributions import Normal

from gonlib.method import likelihoods, origin
from gonlib.method.decoders import ACTIVATIONS
from gonlib.method.models import build
from gonlib.method.normalisation import BatchNorm
from gonlib.method.shared_origin import SharedOrigin
from gonlib.training.config import Config

TINY = Config(size=8, filters=4, latents=4)
SIREN = {"decoder": "siren", "hidden": 8, "layers": 3, "omega": 5.0}
LARGE = {"latent_scale": 300.0}  # latents that make a difference, so that second-order gradients are not all rounding


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=6, channels=1, size=8, seed=1):
    return torch.rand(n, channels, size, size, generator=generator(seed), dtype=torch.float64)


def model_of(channels=1, scale=0.3, **changes):
    """A model in float64 whose affine parameters are random: at their initial values the first activation sits exactly
    at a kink, where second-order gradients are not defined.
    """
    torch.manual_seed(0)
    model = build(TINY.replace(**changes), channels).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # mostly positive, so that no ReLU network is dead
                parameter.add_(scale * (1 + torch.randn_like(parameter)))
    return model


def flat(tensors):
    return torch.cat([t.detach().flatten().double() for t in tensors])


def distance(a, b):
    """Relative distance of two vectors, the whole of each: single entries may be zero but for rounding."""
    return ((a - b).norm() / b.norm().clamp_min(1e-300)).item()


def both_forms(model, x, parameters=None):
    """What a training step computes, by the fast form and by the reference, from the same state."""
    state, results = {k: v.clone() for k, v in model.state_dict().items()}, []
    parameters = parameters or list(model.parameters())
    for exact in (True, False):
        model.load_state_dict(state)
        with model.inferring(exact=exact):
            z = model.inference(model, x)
        loss = model.loss_at(x, z)
        running = flat(model.buffers())
        gradient = flat(torch.autograd.grad(loss.mean(), parameters, retain_graph=True))
        through_z = gradient - flat(torch.autograd.grad(model.loss_at(x, z.detach()).mean(), parameters))
        results.append({"latents": z.detach(), "loss": loss.detach(), "gradient": gradient, "running": running,
                        "through z": through_z})
    return results


def assert_equal_forms(model, x, tolerance=1e-10):
    fast, reference = both_forms(model, x)
    assert reference["through z"].norm() > 1e-6 * reference["gradient"].norm()  # else it is lost in rounding
    for name, value in fast.items():
        assert distance(value, reference[name]) < tolerance, name


# --- the definition --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["squared_error", "bernoulli"])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("changes", [{}, {"batchnorm": False}, SIREN])
def test_a_latent_is_minus_the_gradient_at_the_origin(changes, exact, likelihood):
    """Equations 6 and 7, written with nothing but autograd."""
    model, x = model_of(likelihood=likelihood, **changes), images()
    z0 = torch.zeros(6, 4, dtype=torch.float64, requires_grad=True)
    losses = model.inner_scale * model.likelihood.nll(model.decoder(z0), x)
    with model.inferring(exact=exact):
        z = model.encode(x)
    torch.testing.assert_close(z, -torch.autograd.grad(losses.sum(), z0)[0], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("changes, mean", [
    ({}, lambda errors: errors.sum(1).mean()),  # over channels a sum; over batch and pixels a mean
    (SIREN, lambda errors: errors.flatten(2).sum(2).mean()),  # over pixels a sum; over batch and channels a mean
])
def test_the_default_scale_is_the_published_one_at_batch_64(changes, mean):
    model, x = model_of(channels=3, **changes), images(64, 3)
    z0 = torch.zeros(64, 4, dtype=torch.float64, requires_grad=True)
    loss = mean((model.decoder(z0) - x).square())
    torch.testing.assert_close(model.encode(x), -torch.autograd.grad(loss, z0)[0], rtol=1e-8, atol=1e-14)


def test_several_steps_follow_the_gradient():
    model, x = model_of(batchnorm=False, inner_steps=3, step_size=0.1, latent_scale=100.0), images()
    z = torch.zeros(6, 4, dtype=torch.float64)
    for _ in range(3):
        z = z.detach().requires_grad_()
        losses = model.inner_scale * model.likelihood.nll(model.decoder(z), x)
        z = z - 0.1 * torch.autograd.grad(losses.sum(), z)[0]
    torch.testing.assert_close(model.encode(x), z, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("changes", [{}, {"inner_steps": 3, "step_size": 0.1}, {"origin_sd": 0.5}])
@pytest.mark.parametrize("exact", [True, False])
def test_detached_latents_carry_no_gradient(changes, exact):
    model, x = model_of(detach=True, **changes), images()
    with model.inferring(exact=exact):
        assert not model.encode(x).requires_grad
    with model.inferring(exact=exact, detach=False):
        assert model.encode(x).requires_grad
        with torch.no_grad():
            assert not model.encode(x).requires_grad


def test_random_origins_and_adding_them():
    latents, x = {}, images()
    for add in (True, False):
        model = model_of(origin_sd=0.5, add_origin=add)
        model.generator = generator()
        latents[add] = model.inference(model, x).detach()
    z0 = 0.5 * torch.randn(6, 4, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(latents[True] - latents[False], z0)
    start = z0.clone().requires_grad_()
    losses = model.inner_scale * model.likelihood.nll(model.decoder(start), x)
    torch.testing.assert_close(latents[False], -torch.autograd.grad(losses.sum(), start)[0])
    # at z0 = 0 it makes no difference
    fixed = [model_of(add_origin=add).encode(x) for add in (True, False)]
    assert torch.equal(*fixed)


def test_the_prior_of_equation_9_adds_nothing_at_the_origin():
    z0 = torch.zeros(6, 4, dtype=torch.float64, requires_grad=True)
    prior = Normal(0.0, 2**0.5).log_prob(z0).sum()
    assert torch.autograd.grad(prior, z0)[0].abs().max() == 0
    model, x = model_of(variational=True, likelihood="bernoulli", batchnorm=False), images()
    with model.evaluating():
        losses = model.inner_loss(x, z0) - model.inner_scale * Normal(0.0, 2**0.5).log_prob(z0).sum(1)
        torch.testing.assert_close(model.encode(x), -torch.autograd.grad(losses.sum(), z0)[0])


def test_the_kl_term_at_the_origin():
    layer = model_of(variational=True).stochastic
    z0 = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(z0)[1].sum(), z0)
    assert gradient.norm() > 0.01
    torch.testing.assert_close(layer.kl_gradient()[None], gradient)


# --- the exact fast form ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batchnorm", [True, False], ids=["batchnorm", "plain"])
@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
@pytest.mark.parametrize("latents", [4, 9], ids=["columns", "cotangents"])  # fewer latents than images, and more
@pytest.mark.parametrize("steps, likelihood", [(1, "squared_error"), (1, "bernoulli"), (3, "squared_error")])
def test_fast_form_is_exact_conv(activation, batchnorm, channels, latents, steps, likelihood):
    step_size = 1.0 if steps == 1 else 0.1
    model = model_of(channels, activation=activation, batchnorm=batchnorm, latents=latents, inner_steps=steps,
                     step_size=step_size, likelihood=likelihood, **LARGE)
    assert_equal_forms(model, images(6, channels))


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
@pytest.mark.parametrize("latents", [4, 9])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("likelihood", ["squared_error", "bernoulli"])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_fast_form_is_exact_siren(channels, latents, steps, likelihood, layers):
    changes = SIREN | {"layers": layers, "latents": latents, "inner_steps": steps, "likelihood": likelihood} | LARGE
    model = model_of(channels, **changes, step_size=1.0 if steps == 1 else 0.1)
    assert_equal_forms(model, images(6, channels))


@pytest.mark.parametrize("likelihood", likelihoods.LIKELIHOODS)
@pytest.mark.parametrize("changes", [{}, {"latents": 9}, {"batchnorm": False, "latents": 9}, SIREN])
def test_fast_form_is_exact_for_every_likelihood(likelihood, changes):
    """In training any cotangent will do, affine in the image or not."""
    model = model_of(3, likelihood=likelihood, **LARGE, **changes)
    assert_equal_forms(model, (255 * images(6, 3)).round() / 255)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("changes", [
    {"size": 32}, {"size": 64}, {"size": 32, "spatial": 4, "latents": 32}, {"size": 16, "spatial": 8, "latents": 64},
    {"size": 4}, {"bn_eps": 0.1}, {"latent_scale": 1e4}, {"size": 32, "latents": 1},
    SIREN | {"size": 5, "omega": 30.0, "hidden": 16},
])
def test_fast_form_is_exact_for_other_shapes(changes, n):
    model = model_of(3, **(LARGE | changes))
    assert_equal_forms(model, images(n, 3, model.decoder.size))


def test_fast_form_follows_training():
    """Second order right means: the same steps lead to the same weights and running statistics."""
    final = []
    for exact in (True, False):
        model, x = model_of(**LARGE), images()
        sgd = torch.optim.SGD(model.parameters(), lr=1e-2)
        for _ in range(5):
            sgd.zero_grad()
            with model.inferring(exact=exact):
                model.loss(x).mean().backward()
            sgd.step()
        final.append(flat(model.state_dict().values()))
    assert distance(*final) < 1e-10


@pytest.mark.parametrize("mode", ["batch", "running"])
@pytest.mark.parametrize("changes", [{}, {"variational": True, "likelihood": "bernoulli"}, {"batchnorm": False}, SIREN])
def test_fast_form_is_exact_at_evaluation(mode, changes):
    model, x = model_of(**changes), images()
    for _ in range(3):
        model.loss(x)  # move the running statistics
    latents = []
    with model.evaluating(mode), torch.no_grad():
        for exact in (True, False):
            with model.inferring(exact=exact):
                latents.append(model.encode(x))
    assert distance(*latents) < 1e-10


@pytest.mark.parametrize("changes", [{}, {"batchnorm": False}, SIREN])
@pytest.mark.parametrize("latents", [4, 9])
def test_in_single_precision_the_fast_form_is_at_least_as_accurate(changes, latents):
    model, x = model_of(latents=latents, **changes, **LARGE), images()
    # the bias in front of a batch normalisation has no effect, hence a gradient of nothing but rounding
    layers = list(getattr(model.decoder.layers, "children", list)())
    idle = {id(a.bias) for a, b in zip(layers, layers[1:], strict=False) if isinstance(b, BatchNorm)}
    felt = [p for p in model.parameters() if id(p) not in idle]
    truth = both_forms(model, x, felt)[1]
    fast, reference = both_forms(model.float(), x.float(), felt)
    for name in ("latents", "gradient", "through z"):
        errors = distance(fast[name], truth[name]), distance(reference[name], truth[name])
        assert errors[0] < max(2 * errors[1], 2e-6), name
    if changes == {}:  # the batch's mean is subtracted before the factor 1 / sqrt(eps), not after it
        assert distance(fast["latents"], truth["latents"]) < 0.5 * distance(reference["latents"], truth["latents"])


def test_the_fast_form_is_used_wherever_it_applies(monkeypatch):
    calls = []
    monkeypatch.setattr(origin, "descend", lambda model, x, z, steps, size, noise: calls.append(steps) or z)
    x = images()
    for changes in ({}, SIREN, {"detach": True}, {"batchnorm": False}):
        model_of(**changes).encode(x)
    assert calls == []
    model_of(inner_steps=3).encode(x)  # the first step is shared, the others are not
    model_of(origin_sd=0.1).encode(x)
    noisy = model_of(variational=True)
    noisy.encode(x)  # in training every image has its own noise at the origin
    assert calls == [2, 1, 1]
    with noisy.evaluating():
        noisy.encode(x)  # and at evaluation, because batch normalisation divides by the noise's spread
    assert calls == [2, 1, 1, 1]
    with model_of(variational=True, batchnorm=False).evaluating() as plain:
        plain.encode(x)
    assert calls == [2, 1, 1, 1]


def test_origin_shared_by_several_batches():
    model, x = model_of(), images(12)
    with model.evaluating(), torch.no_grad():
        shared = SharedOrigin(model)
        for part in x.split(5):
            torch.testing.assert_close(model.inference(model, part, shared=shared), model.encode(part))


# --- evaluation: each image alone ------------------------------------------------------------------------------------


def trained_a_little(**changes):
    """A model whose statistics have seen a few batches, with the mean of other images than those it is asked about."""
    model, seen = model_of(**changes), images(64, seed=7) ** 2
    for part in seen.split(16):
        model.loss(part)
    model.mean_image.copy_(seen.mean(0))
    return model


MEAN_FIELD = [
    {}, {"likelihood": "bernoulli"}, {"batchnorm": False}, SIREN, SIREN | {"likelihood": "bernoulli"},
    {"variational": True, "likelihood": "bernoulli", "batchnorm": False}, {"variational": True, "batchnorm": False},
    {"latents": 9}, {"step_size": 0.5},
]


@pytest.mark.parametrize("changes", [*MEAN_FIELD, {"inner_steps": 3}])
def test_population_an_image_alone_has_the_latent_it_has_in_any_batch(changes):
    model, x, others = trained_a_little(**changes), images(), images(40, seed=5)
    with model.evaluating("population"), torch.no_grad():
        together, z = model.reconstruct(x), model.encode(x)
        for i in range(3):
            torch.testing.assert_close(model.encode(x[i : i + 1]), z[i : i + 1], rtol=1e-10, atol=1e-14)
            torch.testing.assert_close(model.reconstruct(x[i : i + 1]), together[i : i + 1], rtol=1e-10, atol=1e-12)
        crowd = model.encode(torch.cat([others, x]))[-6:]
        torch.testing.assert_close(crowd, z, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("changes", MEAN_FIELD)
def test_the_encoder_is_a_matrix(changes):
    model, x = trained_a_little(**changes), images(9)
    matrix, offset = model.encoder_matrix()
    k, pixels = model.latents, x[0].numel()
    assert matrix.shape == (k, pixels) and offset.shape == (k,)
    with model.evaluating("population"), torch.no_grad():
        z = model.encode(x)
        assert distance(x.flatten(1) @ matrix.T + offset, z) < 1e-12
        assert distance(model.encode(1.25 * x[:3] - 0.25 * x[3:6]), 1.25 * z[:3] - 0.25 * z[3:6]) < 1e-11
    if not any(isinstance(layer, BatchNorm) for layer in model.modules()):  # then no mode changes anything
        assert distance(x.flatten(1) @ matrix.T + offset, model.eval().encode(x).detach()) < 1e-12


def test_the_encoder_matrix_does_not_depend_on_the_form():
    model = trained_a_little()
    fast = model.encoder_matrix()
    with model.inferring(exact=False):
        for a, b in zip(fast, model.encoder_matrix(), strict=True):
            assert torch.equal(a, b)


def test_the_encoder_matrix_leaves_the_model_as_it_was():
    model, x = trained_a_little(), images()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    model.encoder_matrix()
    assert model.training
    model.eval()
    before = model.reconstruct(x).detach()
    model.encoder_matrix()
    assert not model.training and torch.equal(model.reconstruct(x), before)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("changes", [{}, {"likelihood": "bernoulli"}, {"inner_steps": 3, "step_size": 0.1}])
def test_population_is_the_batch_when_the_mean_image_is_the_batch_s(changes):
    model, x = trained_a_little(**changes), images()
    with torch.no_grad(), model.inferring(steps=1):  # later steps are not at the origin: there the two differ
        with model.evaluating("batch"):
            z = model.encode(x)
        with model.evaluating("population"):
            assert distance(model.encode(x), z) > 1e-3
            model.mean_image.copy_(x.mean(0))
            assert distance(model.encode(x), z) < 1e-10


@pytest.mark.parametrize("changes", [
    {"inference": "encoder"}, {"inference": "tied_encoder"}, {"inference": "free"}, {"inner_steps": 2},
    {"origin_sd": 0.1},
])
def test_other_models_have_no_encoder_matrix(changes):
    with pytest.raises(ValueError, match="affine"):
        model_of(**changes).encoder_matrix()


@pytest.mark.parametrize("name", [name for name in likelihoods.LIKELIHOODS if not likelihoods.LIKELIHOODS[name].affine])
def test_other_likelihoods_have_no_encoder_matrix(name):
    model = model_of(likelihood=name)
    with pytest.raises(ValueError, match="affine"):
        model.encoder_matrix()
    with pytest.raises(ValueError, match="affine"), model.evaluating("population"):
        model.encode(images())


@pytest.mark.parametrize("changes", [{"variational": True}, {"origin_sd": 0.1}])
def test_noise_at_the_origin_and_normalisation_leave_no_population_statistics(changes):
    with pytest.raises(ValueError, match="noise"), model_of(**changes).evaluating("population") as model:
        model.encode(images())
    with pytest.raises(ValueError, match="noise"):
        model_of(**changes, evaluation="population")


def test_latents_at_evaluation_are_as_large_as_in_training():
    """Noise at the origin has a part in the batch's variance; without it latents would be a hundred times as large."""
    model, x = model_of(variational=True), images()
    training = model.inference(model, x).norm()
    with model.evaluating("batch"):
        assert 0.2 < model.encode(x).norm() / training < 5


# --- batch statistics, and the scale of the latents ------------------------------------------------------------------


@pytest.mark.parametrize("batchnorm, depends", [(True, True), (False, False)])
@pytest.mark.parametrize("training", [True, False])
def test_latents_depend_on_batch_mates_only_through_batch_normalisation(batchnorm, depends, training):
    model, x = model_of(batchnorm=batchnorm).train(training), images(12)
    with torch.no_grad():
        one, other = model.encode(x[:6])[:2], model.encode(torch.cat([x[:2], x[6:]]))[:2]
    assert (distance(one, other) > 1e-3) if depends else (distance(one, other) < 1e-12)


def test_batch_statistics_at_evaluation_are_those_of_training():
    model, x = model_of(), images()
    z = model.inference(model, x).detach()
    training = z, model.likelihood.mean(model.decoder(z)).detach()
    with model.evaluating("batch"):
        torch.testing.assert_close((model.encode(x), model.reconstruct(x)), training)


@pytest.mark.parametrize("changes, matters", [({}, False), ({"batchnorm": False}, True), (SIREN, True)])
def test_the_scale_of_the_latents_cancels_behind_batch_normalisation(changes, matters):
    x, seen = images(), []
    for scale in (1e4, 1e6):  # large enough for eps not to matter
        model = model_of(latent_scale=scale, **changes)
        seen.append((model.encode(x).detach(), model.reconstruct(x).detach(), model.loss(x).detach()))
    (z, image, loss), (z_large, image_large, loss_large) = seen
    assert distance(z_large, 100 * z) < 1e-10
    assert (distance(image_large, image) > 1e-2) == matters
    assert (distance(loss_large, loss) > 1e-2) == matters


def test_the_running_averages_of_latent_passes_leave_out_the_origin():
    model, x = model_of(**LARGE), images()
    first = next(layer for layer in model.modules() if isinstance(layer, BatchNorm))
    for _ in range(150):
        model.loss(x)
    z = model.encode(x).detach()
    outputs = model.decoder.layers[0](z.view(6, *model.decoder.latent_shape))
    torch.testing.assert_close(first.latent_var, outputs.var((0, 2, 3)), rtol=1e-3, atol=0)
    # at the origin the first layer's output is constant: its variance is 0, and stock averages mix that in
    assert (first.running_var < 0.6 * first.latent_var).all()
