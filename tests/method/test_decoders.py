"""Decoders: sizes, parameter counts, written-out derivatives, the SIREN, and normalisation with three statistics."""

import math

import pytest
import torch
from torch import nn

from gonlib.method.decoders import (
    ACTIVATIONS,
    OUTPUTS,
    Activation,
    ConvDecoder,
    ImplicitDecoder,
    count_parameters,
)
from gonlib.method.normalisation import BatchNorm
from gonlib.method.stochastic import Stochastic


def points(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the convolutional decoder ---------------------------------------------------------------------------------------


def test_published_parameter_counts():
    assert count_parameters(ConvDecoder(32, 16, 1)) == 74_321
    variational = ConvDecoder(48, 32, 1, final="identity")
    assert count_parameters(variational) + count_parameters(Stochastic(48)) == 268_033
    assert count_parameters(ImplicitDecoder(32, 1, 28, 256, 4)) == 206_593


def test_the_parameter_count_of_figure_4_needs_36_inputs():
    assert count_parameters(ImplicitDecoder(latents=32, hidden=32, layers=3)) == 3_265
    assert count_parameters(ImplicitDecoder(latents=34, hidden=32, layers=4)) == 4_385


@pytest.mark.parametrize("size, blocks", [(4, 1), (8, 2), (16, 3), (32, 4), (64, 5), (128, 6)])
def test_each_doubling_of_the_size_adds_a_block(size, blocks):
    decoder = ConvDecoder(6, 2, 3, size)
    layers = [layer for layer in decoder.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert len(layers) == blocks
    assert [layer.out_channels for layer in layers] == [2 * 2**i for i in reversed(range(blocks - 1))] + [3]
    images = decoder(torch.randn(2, 6))
    assert images.shape == (2, 3, size, size)
    assert images.min() >= 0 and images.max() <= 1


@pytest.mark.parametrize("spatial, blocks", [(4, 3), (8, 2), (16, 1)])
def test_spatial_latents_leave_out_blocks(spatial, blocks):
    decoder = ConvDecoder(2 * spatial**2, 2, 1, 32, spatial)
    layers = [layer for layer in decoder.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert len(layers) == blocks and decoder.latent_shape == (2, spatial, spatial)
    assert layers[0].in_channels == 2
    assert decoder(torch.randn(3, 2 * spatial**2)).shape == (3, 1, 32, 32)


@pytest.mark.parametrize("options, named", [
    ({"size": 48}, "48"), ({"size": 31}, "31"), ({"size": 2}, "2"), ({"spatial": 2}, "spatial 2"),
    ({"spatial": 3, "latents": 36}, "spatial 3"), ({"spatial": 4, "latents": 30}, "multiple"),
    ({"spatial": 16, "latents": 256, "size": 16}, "16"),
])
def test_sizes_that_the_blocks_cannot_reach_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        ConvDecoder(**options)


def test_options_of_the_convolutional_decoder():
    plain = ConvDecoder(4, 2, 1, 16, batchnorm=False, activation="tanh", final="identity")
    assert not any(isinstance(layer, BatchNorm) for layer in plain.layers)
    assert [layer.name for layer in plain.layers if isinstance(layer, Activation)] == ["tanh", "tanh"]
    assert isinstance(plain.layers[-1], nn.ConvTranspose2d)
    assert ConvDecoder(4, 2, 1, 16, bn_eps=0.25).layers[1].eps == 0.25
    assert "tanh" in repr(plain)


# --- activations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ACTIVATIONS, *OUTPUTS])
def test_written_out_derivatives_are_those_of_autograd(name):
    layer, x = Activation(name), 3 * points(500)
    x = x[x.abs() > 1e-3].requires_grad_()  # away from kinks
    (slope,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    written = layer.derivative(x)
    torch.testing.assert_close(written, slope, rtol=1e-12, atol=1e-13)

    def curvature(slope):
        return torch.autograd.grad(slope.sum(), x)[0] if slope.requires_grad else torch.zeros_like(x)

    # the exact form differentiates the written derivative once more
    torch.testing.assert_close(curvature(written), curvature(slope), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_derivatives_keep_the_type_of_their_input(name, dtype):
    assert Activation(name).derivative(torch.randn(4).to(dtype)).dtype == dtype


# --- the implicit decoder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("omega", [30.0, 5.0])
def test_siren_initialisation(omega):
    torch.manual_seed(0)
    decoder = ImplicitDecoder(14, 1, 28, 64, 3, omega)
    bounds = [1 / 16] + 3 * [math.sqrt(6 / 64) / omega]
    for layer, bound in zip(decoder.layers, bounds, strict=True):
        largest = layer.weight.abs().max().item()
        assert 0.9 * bound < largest <= bound


def test_an_implicit_decoder_decodes_at_any_size():
    decoder = ImplicitDecoder(5, 3, 9, 16, 2).double()
    z = points(4, 5)
    assert decoder(z).shape == (4, 3, 9, 9)
    small, large = decoder(z, 9), decoder(z, 17)  # every second point of the fine grid lies on the coarse one
    assert decoder(z, 1).shape == (4, 3, 1, 1)
    torch.testing.assert_close(large[:, :, ::2, ::2], small, rtol=1e-10, atol=1e-12)


def test_coordinates_run_over_rows_then_columns():
    decoder = ImplicitDecoder(5, 1, 3, 16, 2)
    assert decoder.coordinates(2).tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert decoder.coordinates().shape == (9, 2)


def test_at_agrees_with_forward_and_with_the_unsplit_network():
    decoder = ImplicitDecoder(5, 3, 6, 16, 2).double()
    z, grid = points(4, 5), ImplicitDecoder(5, 3, 6, 16, 2).double().coordinates()
    torch.testing.assert_close(decoder.at(z, grid).reshape(4, 3, 6, 6), decoder(z))
    some = torch.tensor([3, 17, 35])
    torch.testing.assert_close(decoder.at(z, grid[some]), decoder(z).flatten(2)[..., some])
    # equation 11 as written: the network sees coordinates and latents side by side
    h = torch.cat([grid.expand(4, -1, -1), z[:, None].expand(-1, 36, -1)], -1)
    for layer in decoder.layers[:-1]:
        h = torch.sin(decoder.omega * layer(h))
    torch.testing.assert_close(decoder.layers[-1](h).mT.reshape(4, 3, 6, 6), decoder(z))


# --- batch normalisation ---------------------------------------------------------------------------------------------


def two_norms(channels=5):
    ours, theirs = BatchNorm(channels).double(), nn.BatchNorm2d(channels).double()
    with torch.no_grad():
        for layer in (ours, theirs):
            layer.weight.copy_(points(channels, seed=1))
            layer.bias.copy_(points(channels, seed=2))
    return ours, theirs


def test_training_is_stock_batch_normalisation():
    ours, theirs = two_norms()
    for seed in range(4):
        x = 2 + 3 * points(6, 5, 4, 4, seed=seed)
        torch.testing.assert_close(ours(x), theirs(x))
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.latent_mean, ours.running_mean)  # no inner pass so far
    ours.eval(), theirs.eval()
    ours.statistics.mode = "running"
    torch.testing.assert_close(ours(x), theirs(x))


def test_gradients_are_those_of_stock_batch_normalisation():
    ours, theirs = two_norms()
    x = points(6, 5, 4, 4).requires_grad_()
    seen = [torch.autograd.grad(layer(x).sin().sum(), [x, *layer.parameters()]) for layer in (ours, theirs)]
    for mine, stock in zip(*seen, strict=True):
        torch.testing.assert_close(mine, stock)


def test_three_kinds_of_statistics():
    layer, _ = two_norms()
    latent, inner = 1 + points(8, 5, 3, 3), -4 + 2 * points(8, 5, 3, 3, seed=9)
    for _ in range(200):
        layer.statistics.inner = False
        layer(latent)
        layer.statistics.inner = True
        layer(inner)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    layer.eval()

    def normalised(x, mean, var):
        scale = layer.weight / (var + layer.eps).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]

    x = points(7, 5, 3, 3, seed=4)
    layer.statistics.mode = "batch"
    torch.testing.assert_close(layer(x), normalised(x, x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)))
    layer.statistics.mode = "population"  # the averages converge to the latent passes' own numbers, untouched by the others
    expected = normalised(x, latent.mean((0, 2, 3)), latent.var((0, 2, 3)))
    torch.testing.assert_close(layer(x), expected, rtol=1e-6, atol=1e-6)
    layer.statistics.mode = "running"
    torch.testing.assert_close(layer(x), normalised(x, layer.running_mean, layer.running_var))
    assert (layer.running_mean - layer.latent_mean).abs().min() > 1  # these mix the two passes
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())  # evaluation records nothing
