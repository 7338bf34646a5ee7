"""Using a model: repeatable, without a trace, and with one clear sentence for what cannot be meant."""

import copy
import io
import pickle

import pytest
import torch
from properties import images, made, small

from gonlib.method.decoders import ConvDecoder
from gonlib.method.inference import fixed_normal
from gonlib.method.model import Model
from gonlib.method.models import MODELS, build
from gonlib.method.normalisation import batchnorms
from gonlib.training.config import Config

every = pytest.mark.parametrize("name", MODELS)


def gon(**changes):
    torch.manual_seed(0)
    return build(small(**changes), 1).ready()


# --- it changes nothing ----------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("training", [True, False])
def test_decoding_again_and_again_is_the_same_and_moves_no_statistics(name, training):
    model, x = made(small(**MODELS[name])).train(training), images()
    z = model.encode(x)
    first = model.decode(z)
    for _ in range(10):
        model.decode(torch.zeros_like(z))
        model.encode(1 - x)
    assert torch.equal(model.decode(z), first) and torch.equal(model.encode(x), z)
    with torch.no_grad(), model.evaluating("running"):  # which would show a moved average
        seen = model.decode(z)
        assert torch.equal(seen, copy.deepcopy(model).decode(z))


def test_a_variational_model_decodes_the_mean_and_samples_what_it_sampled():
    model = made(small(**MODELS["VGON"]))
    z = model.encode(images())
    with model.evaluating("batch"):
        expected = model.likelihood.mean(model.decoder(model.stochastic.mu(z)))
    assert torch.equal(model.decode(z), expected)
    assert torch.equal(model.sample(3), model.sample(3))


def test_settings_for_a_while():
    model, x = gon(batchnorm=False), images().float()
    one = model.encode(x)
    with model.inferring(steps=3, step_size=0.5), pytest.raises(RuntimeError):
        assert not torch.equal(model.encode(x), one)
        with model.inferring(steps=1, step_size=1.0):
            assert torch.equal(model.encode(x), one)
        raise RuntimeError
    assert torch.equal(model.encode(x), one) and model.inference.steps == 1
    with pytest.raises(ValueError, match="OriginGradient has no setting 'stesp'; it has: steps"), model.inferring(stesp=2):
        pass
    with pytest.raises(ValueError, match="Encoder has no setting"), gon(inference="encoder").inferring(steps=2):
        pass
    with pytest.raises(ValueError, match="unknown statistics 'bacth'; known: batch"), model.evaluating("bacth"):
        pass


def test_one_object_holds_the_statistics_of_all_layers_in_copies_too():
    for model in (gon(inference="encoder", size=16), copy.deepcopy(gon(size=16)), pickle.loads(pickle.dumps(gon(size=16)))):
        layers = batchnorms(model)
        assert len(layers) >= 2 and all(layer.statistics is model.statistics for layer in layers)


# --- the noise of an evaluation belongs to the image -----------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 10, 16, 48])
def test_noise_does_not_depend_on_how_many_images_there_are(k):
    whole = fixed_normal(600, k)
    for n in (1, 2, 6, 7, 255, 256, 257):
        assert torch.equal(fixed_normal(n, k), whole[:n])
    assert not torch.equal(whole[:256], whole[256:512]) and not torch.equal(whole, fixed_normal(600, k, seed=1))
    assert abs(float(whole.mean())) < 0.2 and 0.8 < float(whole.std()) < 1.2


@pytest.mark.parametrize("changes", [{"variational": True, "batchnorm": False, "origin_sd": 0.5}, {"origin_sd": 0.5}])
def test_an_image_keeps_its_noise_in_a_larger_batch(changes):
    model, x = made(small(**changes, likelihood="bernoulli", latents=5)), images(n=7)
    with model.evaluating("running"):  # statistics that no batch-mate moves
        torch.testing.assert_close(model.encode(x)[:6], model.encode(x[:6]), rtol=1e-9, atol=1e-12)


# --- in the ways in which models are handled -------------------------------------------------------------------------


@every
def test_pickle_deepcopy_and_torch_save(name):
    model, x = gon(**MODELS[name]), images().float()
    z, file = model.encode(x), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(other.encode(x), z)


@every
def test_inference_mode(name):
    model, x = gon(**MODELS[name]), images().float()
    steps = {"steps": 10} if "steps" in model.inference.settings else {}
    with model.inferring(**steps):
        z = model.encode(x).detach()
        with torch.inference_mode():
            assert torch.equal(model.encode(images().float()), z)
            assert torch.equal(model.decode(z), model.reconstruct(x))
            there = model.encode(images().float())
        assert not model.encode(x.requires_grad_(False)).isnan().any() and torch.equal(model.decode(there), model.decode(z))
    with torch.no_grad():
        assert not model.encode(x).requires_grad


# --- what cannot be meant --------------------------------------------------------------------------------------------

X = torch.rand(2, 1, 8, 8)
WRONG = {
    "int64": ((255 * X).long(), r"floats in \[0, 1\] or uint8 levels, not int64"),
    "one image": (X[0], r"shape \(n, 1, 8, 8\), not \(1, 8, 8\); add a first dimension for the batch: x\[None\]"),
    "no channel": (X[:, 0], r"shape \(n, 1, 8, 8\), not \(2, 8, 8\)"), "flat": (X[0, 0], r"not \(8, 8\)"),
    "colour": (X.expand(2, 3, 8, 8), r"not \(2, 3, 8, 8\)"), "large": (torch.rand(2, 1, 9, 8), r"not \(2, 1, 9, 8\)"),
    "double": (X.double(), "images are float64 on cpu, but the model is float32 on cpu"),
    "0 to 255": (255 * X, r"values in \[0, 1\], not from"), "-1 to 1": (2 * X - 1, r"values in \[0, 1\], not from"),
    "a list": ([[0.0]], "must be a torch tensor.*not list"), "sparse": (X.to_sparse(), "must be a dense tensor, not one"),
}


@pytest.mark.unchecked
@pytest.mark.parametrize("case", WRONG)
def test_wrong_images(case):
    x, message = WRONG[case]
    for use in (gon().encode, gon().reconstruct):
        with pytest.raises(ValueError, match=message):
            use(x)


@pytest.mark.unchecked
@pytest.mark.parametrize("number", [-1, 2.5, "3", None, True])
def test_wrong_numbers_of_samples_and_channels(number):
    with pytest.raises(ValueError, match="the number of samples must be a whole number of at least 0, not"):
        gon(**MODELS["VGON"]).sample(number)
    with pytest.raises(ValueError, match="channels must be a whole number of at least 1, not"):
        build(small(), number)


@pytest.mark.unchecked
@pytest.mark.parametrize("size", [-1, 0, 1.5, "8", True])
def test_wrong_sizes_of_pictures(size):
    with pytest.raises(ValueError, match="size must be a whole number of at least 1, not"):
        gon(decoder="siren").decode(torch.zeros(2, 4), size)


@pytest.mark.unchecked
@pytest.mark.parametrize("wrong, message", [
    ({"latents": 5}, r"the decoder maps 4 latents to outputs \(1, 8, 8\); this model asks for 5 latents and"),
    ({"image": (1, 16, 16)}, r"asks for 4 latents and outputs \(1, 16, 16\)"), ({"image": None}, "image must be the shape"),
    ({"likelihood": "gaussian"}, r"and outputs \(2, 8, 8\)"), ({"likelihood": []}, r"unknown likelihood \[\]; known: sq"),
    ({"inference": "origin"}, "inference must be of the class InferenceRule, not 'origin'"),
    ({"task": "classify"}, "task must be of the class Task, not 'classify'"),
    ({"fractions": (0.5, 1.0)}, "only an implicit decoder has coordinates to sample"),
])
def test_parts_that_do_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        Model(ConvDecoder(4, filters=2, size=8), **{"latents": 4, "image": (1, 8, 8)} | wrong)


def test_levels_are_images_too():
    model, levels = gon(), (255 * X).byte()
    assert torch.equal(model.encode(levels), model.encode(levels.float() / 255))
    assert torch.equal(model.loss(levels), model.loss(levels.float() / 255))


@pytest.mark.unchecked
@pytest.mark.parametrize("z, message", [
    (torch.zeros(2, 5), r"latents must be floats of shape \(n, 4\), not float32 of shape \(2, 5\)"),
    (torch.zeros(4), r"not float32 of shape \(4,\)"), (torch.zeros(2, 4).long(), "not int64"), ([1.0], "not list"),
    (torch.zeros(2, 4).double(), "latents are float64 on cpu, but the model is float32"),
])
def test_wrong_latents(z, message):
    with pytest.raises(ValueError, match=message):
        gon().decode(z)


def test_a_tied_encoder_says_before_training_what_it_cannot_do():
    with pytest.raises(ValueError, match="one output per value of the image; for a likelihood with several"):
        gon(inference="tied_encoder", likelihood="gaussian")


def test_no_images_at_all():
    with pytest.raises(ValueError, match="at least one image"):
        gon().loss(X[:0])
    assert gon(batchnorm=False).encode(X[:0]).shape == (0, 4) and gon().decode(torch.zeros(0, 4)).shape == (0, 1, 8, 8)


def test_the_default_is_population_wherever_it_is_defined():
    for changes, mode in (({}, "population"), ({"inference": "encoder"}, "population"),
                          ({"likelihood": "gaussian"}, "batch"), (MODELS["VGON"], "batch"), ({"origin_sd": 0.1}, "batch"),
                          ({"decoder": "siren"}, "population")):
        model = build(Config(**{"size": 8, "filters": 2} | changes), 1).ready()
        assert not model.training and model.statistics.mode == mode


@pytest.mark.parametrize("settings, message", [
    ({"steps": 0}, "the setting steps must be a whole number of at least 1, not 0"),
    ({"steps": 2.5}, "steps must be a whole number of at least 1, not 2.5"),
    ({"step_size": -1.0}, "step_size must be a number of at least 0, not -1.0"),
    ({"exact": 3}, "exact must be True or False, not 3"),
])
def test_a_setting_that_cannot_be_is_told(settings, message):
    model = gon()
    with pytest.raises(ValueError, match=message), model.inferring(**settings):
        pass


def test_pictures_that_are_no_numbers_are_told():
    with pytest.raises(ValueError, match=r"values in \[0, 1\], not from nan"):
        gon().encode(torch.full((2, 1, 8, 8), torch.nan))
