"""Super-resolution: where pixels lie, and that the contestants are compared at the same place."""

import pytest
import torch

from gonlib.data.datasets import load
from gonlib.method.models import build
from gonlib.study.chapters.super_resolution import MODES, contestants, enlarge, measure, pixel_centres, render, true_sizes
from gonlib.training.config import Config


class Scene:
    """Stands for a decoder: a picture that is a straight slope over the scene, whatever the grid."""

    def __init__(self, size):
        self.size, self.layers = size, [torch.nn.Linear(1, 4)]

    def coordinates(self, size):
        side = torch.linspace(-1, 1, size)
        return torch.cartesian_prod(side, side)

    def at(self, z, points):
        place = (points[:, 0] + 1) / 2 * (self.size - 1) / self.size + 0.5 / self.size  # in image sides
        return place.expand(len(z), 1, -1)


def slope(size):
    return ((torch.arange(size) + 0.5) / size)[:, None].expand(1, 1, size, size)


def model_of(decoder):
    class Stub:
        class likelihood:
            mean = staticmethod(lambda params: params)

    Stub.decoder = decoder
    return Stub


def test_at_the_training_size_pixels_lie_on_the_training_grid():
    grid = torch.cartesian_prod(*[torch.linspace(-1, 1, 12)] * 2)
    torch.testing.assert_close(pixel_centres(12, 12), grid)


@pytest.mark.parametrize("size", [16, 24, 32, 64])
def test_rendered_pixels_show_the_scene_where_it_is(size):
    z = torch.zeros(1, 3)
    torch.testing.assert_close(render(model_of(Scene(16)), z, size), slope(size))
    published = render(model_of(Scene(16)), z, size, aligned=True)
    assert torch.allclose(published, slope(size)) == (size == 16)


@pytest.mark.parametrize("mode", MODES)
def test_interpolations_lie_at_the_same_place(mode):
    large = enlarge(slope(16), 32, mode)
    inner = (large - slope(32))[..., 4:-4, :]  # at the border there is nothing to interpolate from
    assert inner.mean().abs() < 1e-6
    assert inner.abs().max() <= 0.5 / 32 + 1e-6


def test_contestants_and_scores_of_an_implicit_gon():
    torch.manual_seed(0)
    model = build(Config(decoder="siren", size=8, hidden=8, layers=2, latents=4), 1)
    small, large = (load("shapes", size, 16, 4).test / 255 for size in (8, 16))
    pictures = contestants(model, small, 16)
    assert all(found.shape == large.shape and 0 <= found.min() <= found.max() <= 1 for found in pictures.values())
    scores, detail = measure(model, small, large)
    assert list(scores.method) == [*MODES, "bicubic of the GON", "GON", "GON, published grid"] == list(pictures)
    found = scores.set_index("method").psnr
    assert found["bicubic"] > found["GON"]  # an untrained model
    bicubic = detail[detail.method == "bicubic"]
    assert list(bicubic.frequency) == list(range(1, 8)) and bicubic.correlation.iloc[0] > 0.9


def test_true_sizes_are_those_that_a_data_set_has():
    assert true_sizes(Config(dataset="shapes", size=64)) == [128, 256]
    assert true_sizes(Config(dataset="mnist", size=14)) == [28]
    assert true_sizes(Config(dataset="digits", size=8)) == []


def test_large_pictures_are_rendered_in_parts():
    model = build(Config(decoder="siren", size=8, hidden=8, layers=2, latents=4), 3)
    z = torch.randn(9, 4) / 10
    whole = render(model, z, 300)
    torch.testing.assert_close(whole[4:5], render(model, z[4:5], 300))
