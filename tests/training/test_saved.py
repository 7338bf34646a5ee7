"""A model that leaves: one file without a store, and the decoder for other runtimes."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import gonlib
from gonlib.errors import UserError
from gonlib.method.free_latents import FreeLatents
from gonlib.method.model import Model
from gonlib.method.models import MODELS, build
from gonlib.training.config import Config

SMALL = {"size": 8, "filters": 2, "hidden": 4, "layers": 2, "latents": 4, "free_steps": 3}
X = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def gon(**changes):
    torch.manual_seed(0)
    model = build(Config(**SMALL | changes), 1, images=5)
    model.mean_image.fill_(0.3)
    model.loss(X, torch.arange(5))
    return model.ready()


def own(hidden=7):
    return nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 64), nn.Unflatten(1, (1, 8, 8)))


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded(name, tmp_path):
    model = gon(**MODELS[name])
    model.save(tmp_path / "model.safetensors")
    torch.manual_seed(5)
    again = gonlib.load_model(tmp_path / "model.safetensors")
    assert again.statistics.mode == model.statistics.mode and not again.training
    assert torch.equal(again.encode(X), model.encode(X)) and torch.equal(again.reconstruct(X), model.reconstruct(X))


def test_with_a_decoder_of_ones_own(tmp_path):
    model = Model(own(), 4, image=(1, 8, 8), variational=True, latent_scale=3.0).ready()
    model.save(tmp_path / "own.safetensors")
    again = gonlib.load_model(tmp_path / "own.safetensors", decoder=own())
    assert torch.equal(again.encode(X), model.encode(X)) and again.inner_scale == model.inner_scale
    with pytest.raises(UserError, match="decoder of its own: load_model"):
        gonlib.load_model(tmp_path / "own.safetensors")
    with pytest.raises(UserError, match=r"not fit this model: the weights hold decoder.0.weight of shape \(7, 4\), not"):
        gonlib.load_model(tmp_path / "own.safetensors", decoder=own(hidden=6))
    with pytest.raises(UserError, match="cannot be built: the decoder must map"):
        gonlib.load_model(tmp_path / "own.safetensors", decoder=nn.Linear(4, 3))


def test_with_an_inference_rule_of_ones_own_too(tmp_path):
    path, rules = tmp_path / "own.safetensors", [FreeLatents(images=9, latents=4, fit_steps=3) for _ in range(2)]
    model = Model(own(), 4, image=(1, 8, 8), inference=rules[0]).ready()
    model.save(path)
    again = gonlib.load_model(path, decoder=own(), inference=rules[1])
    assert torch.equal(again.encode(X), model.encode(X))
    with pytest.raises(UserError, match="a model with the inference rule FreeLatents"):
        gonlib.load_model(path, decoder=own())


def test_a_model_in_double_precision_stays_so(tmp_path):
    gon().double().save(tmp_path / "model.safetensors")
    assert gonlib.load_model(tmp_path / "model.safetensors").encode(X.double()).dtype == torch.float64


def without(name):
    return lambda tensors: {k: v for k, v in tensors.items() if not k.startswith(name)}


@pytest.mark.parametrize("name, changed, message", [
    ("AE", without("inference."), "the weights lack inference.layers"),
    ("VAE", without("inference.layers.0.weight"), "the weights lack inference.layers.0.weight"),
    ("GON", without("mean_image"), "the weights lack mean_image"),
    ("GLO", lambda tensors: tensors | {"inference.table": torch.zeros(1)}, "hold inference.table, which"),
    ("GON", lambda tensors: tensors | {"mean_image": torch.zeros(3, 8, 8)}, r"mean_image of shape \(3, 8, 8\), not"),
])
def test_weights_that_are_not_the_model_s_are_refused(name, changed, message, tmp_path):
    path = tmp_path / "model.safetensors"
    gon(**MODELS[name]).save(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        recipe = {"gonlib": file.metadata()["gonlib"]}  # as an older version wrote it: without a SHA-256
    save_file(changed(load_file(path)), path, recipe)
    with pytest.raises(UserError, match=message):
        gonlib.load_model(path)


@pytest.mark.parametrize("damage, message", [
    (lambda path: path.write_bytes(path.read_bytes()[:-50]), "is damaged"),
    (lambda path: path.write_bytes(b""), "is damaged"), (lambda path: path.write_text("hello" * 40), "is damaged"),
    (lambda path: path.unlink(), "there is no file"),
    (lambda path: save_file({"x": torch.zeros(1)}, path), "was not written by `model.save`"),
    (lambda path: save_file({"x": torch.zeros(1)}, path, {"gonlib": "[1"}), "is damaged"),
    (lambda path: save_file({"x": torch.zeros(1)}, path, {"gonlib": "{}"}), "decoder of its own"),
    (lambda path: save_file({"x": torch.zeros(1)}, path, {"gonlib": '{"config": {"latnets": 3}}'}), "latnets"),
    (lambda path: save_file({"x": torch.zeros(1)}, path, {"gonlib": '{"config": {}}'}), "cannot be built"),
])
def test_files_that_are_no_models(damage, message, tmp_path):
    path = tmp_path / "model.safetensors"
    gon().save(path)
    damage(path)
    with pytest.raises(UserError, match=message):
        gonlib.load_model(path)


# --- the decoder elsewhere -------------------------------------------------------------------------------------------

ELSEWHERE = {"GON": {}, "implicit GON": MODELS["implicit GON"], "VAE": MODELS["VAE"], "plain": {"batchnorm": False}}


def with_decoder(name):
    return Model(own(), 4, image=(1, 8, 8)).ready() if name == "own" else gon(**ELSEWHERE[name])


@pytest.mark.parametrize("name", [*ELSEWHERE, "own"])
def test_torch_export_takes_the_decoder(name):
    model, z = with_decoder(name), torch.randn(7, 4)
    module = model.decoder_module()
    exported = torch.export.export(module, (z[:2],), dynamic_shapes=({0: torch.export.Dim("n")},)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(z), model.decode(z))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ELSEWHERE, "own"])
def test_onnx_takes_the_decoder(name, tmp_path):
    onnxruntime, _ = pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    model, path, z = with_decoder(name), tmp_path / "decoder.onnx", torch.randn(7, 4)
    torch.onnx.export(model.decoder_module(), (z[:2],), path, dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: z.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model.decode(z).detach(), rtol=1e-4, atol=1e-5)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        gon().save(tmp_path / "none" / "gon.safetensors")
