"""What GONs are compared with: the mirrored encoder, the tied one, and free latents with their own Adam."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gonlib.method.decoders import count_parameters
from gonlib.method.free_latents import FreeLatents
from gonlib.method.models import build
from gonlib.method.normalisation import batchnorms
from gonlib.training.config import Config


def make(images=1, channels=1, **changes):
    torch.manual_seed(0)
    return build(Config(**({"size": 8, "filters": 4, "latents": 5} | changes)), channels, images)


def pictures(n=6, channels=1, size=8):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(1))


# --- encoders --------------------------------------------------------------------------------------------------------


def test_an_autoencoder_has_twice_the_parameters_of_a_gon():
    gon, ae = (count_parameters(build(Config(inference=rule), 1)) for rule in ("origin", "encoder"))
    assert (gon, ae) == (74_321, 148_673)


@pytest.mark.parametrize("changes", [{}, {"size": 32}, {"size": 64}, {"size": 32, "spatial": 4, "latents": 32}])
def test_the_encoder_is_the_decoder_s_mirror_image(changes):
    model = make(channels=3, inference="encoder", **changes)
    up = [layer for layer in model.decoder.layers if isinstance(layer, nn.ConvTranspose2d)]
    down = [layer for layer in model.inference.layers if isinstance(layer, nn.Conv2d)]
    for mine, theirs in zip(down, reversed(up), strict=True):
        assert mine.weight.shape == theirs.weight.shape
        assert (mine.stride, mine.padding) == (theirs.stride, theirs.padding)
    assert isinstance(model.inference.layers[-1], nn.Conv2d)  # latents are not squashed
    assert model.encode(pictures(2, 3, model.decoder.size)).shape == (2, model.decoder.latents)


@pytest.mark.parametrize("rule", ["encoder", "tied_encoder"])
def test_normalisation_of_the_encoder_alone_can_be_left_out(rule):
    for changes, inside, outside in (({}, 1, 1), ({"encoder_batchnorm": False}, 0, 1), ({"batchnorm": False}, 0, 0)):
        model = make(inference=rule, **changes)
        assert [len(batchnorms(part)) for part in (model.inference, model.decoder)] == [inside, outside]
        assert model.encode(pictures()).shape == (6, 5)


def test_the_tied_encoder_adds_biases_and_normalisation_only():
    model = build(Config(inference="tied_encoder"), 1)
    assert count_parameters(model) == 74_321 + (16 + 32 + 64 + 32) + 2 * (16 + 32 + 64)
    assert count_parameters(model.inference) == 144 + 224


def test_the_tied_encoder_is_the_transpose_of_the_decoder():
    model = make(inference="tied_encoder", batchnorm=False, latents=7).double()
    nn.init.normal_(model.inference.biases[1])
    first, last = (layer for layer in model.decoder.layers if isinstance(layer, nn.ConvTranspose2d))
    x, probe = pictures().double(), torch.randn(6, 4, 4, 4, dtype=torch.float64)
    inner = F.conv2d(x, last.weight, None, 2, 1)  # <A probe, x> = <probe, A^T x>
    up = F.conv_transpose2d(probe, last.weight, None, 2, 1)
    torch.testing.assert_close((up * x).sum(), (probe * inner).sum())
    z = F.conv2d(F.elu(inner + model.inference.biases[0][:, None, None]), first.weight).flatten(1)
    torch.testing.assert_close(model.encode(x), z + model.inference.biases[1])


def test_the_tied_weights_learn_from_both_directions():
    model, x = make(inference="tied_encoder"), pictures()
    weight = model.decoder.layers[0].weight
    (both,) = torch.autograd.grad(model.loss(x).mean(), weight)
    (decoding,) = torch.autograd.grad(model.loss_at(x, model.encode(x).detach()).mean(), weight)
    assert (both - decoding).norm() > 1e-3 * decoding.norm()


@pytest.mark.parametrize("rule", ["encoder", "tied_encoder"])
def test_an_implicit_decoder_has_no_mirror_image(rule):
    with pytest.raises(ValueError, match="implicit"):
        make(decoder="siren", inference=rule)


# --- free latents ----------------------------------------------------------------------------------------------------


def free_and_stock(images=6, rate=0.05):
    """Free latents, and stock Adam on a copy of the table; a function that does a step of both on some rows."""
    model = make(images=images, inference="free", free_learning_rate=rate, batchnorm=False).double()
    table, x = model.inference.table.clone().requires_grad_(), pictures(images).double()
    return model, table, x


def test_row_by_row_adam_is_stock_adam_when_every_row_is_visited():
    model, table, x = free_and_stock()
    start, adam = table.detach().clone(), torch.optim.Adam([table], lr=0.05)
    for seed in range(7):
        order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
        model.loss(x[order], order).mean().backward()
        model.inference.after_step(order)
        (table.grad,) = torch.autograd.grad(model.loss_at(x, table).mean(), table)
        adam.step()
        torch.testing.assert_close(model.inference.table, table.detach(), rtol=1e-10, atol=1e-12)
    assert (table - start).abs().min() > 0.01  # every number of it has moved


def test_only_the_rows_of_a_batch_move_and_each_has_an_adam_of_its_own():
    model, table, x = free_and_stock()
    rows = [table[i : i + 1].detach().clone().requires_grad_() for i in range(6)]
    adams = [torch.optim.Adam([row], lr=0.05) for row in rows]
    for batch in ([0, 1], [2, 1], [4, 1], [1, 0], [2, 4]):
        index = torch.tensor(batch)
        model.loss(x[index], index).mean().backward()
        model.inference.after_step(index)
        for i in batch:
            (rows[i].grad,) = torch.autograd.grad(model.loss_at(x[i : i + 1], rows[i]).sum() / 2, rows[i])
            adams[i].step()
    torch.testing.assert_close(model.inference.table, torch.cat(rows).detach(), rtol=1e-10, atol=1e-12)
    assert torch.equal(model.inference.table[[3, 5]], table.detach()[[3, 5]])
    assert model.inference.visits[:, 0].tolist() == [2, 4, 2, 0, 2, 0]


def test_the_table_starts_as_said_and_is_no_parameter_of_the_network():
    torch.manual_seed(0)
    rule = FreeLatents(2000, 8)
    assert rule.table.std().item() == pytest.approx(0.1, rel=0.03) and abs(rule.table.mean().item()) < 0.003
    assert count_parameters(rule) == 0
    assert count_parameters(build(Config(inference="free"), 1, images=500)) == 74_321


@pytest.mark.parametrize("changes", [{}, {"decoder": "siren", "hidden": 8, "layers": 2}])
def test_latents_of_unseen_images_are_fitted(changes):
    model, x = make(inference="free", free_steps=60, free_learning_rate=0.05, **changes), pictures()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with model.evaluating(), torch.no_grad():
        z = model.encode(x)
        start, fitted = model.loss_at(x, torch.zeros_like(z)), model.loss_at(x, z)
        assert (fitted < start).all()
        assert torch.equal(model.encode(x), z)
        assert not z.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())  # the network stays as it is
    assert all(parameter.grad is None for parameter in model.parameters())


def test_known_latents_are_looked_up():
    model = make(images=9, inference="free")
    index = torch.tensor([7, 0, 3])
    with torch.no_grad():
        assert torch.equal(model.inference(model, pictures(3), index), model.inference.table[index])
