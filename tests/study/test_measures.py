"""Measures of pictures and of paths between latents."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gonlib.data.datasets import load
from gonlib.errors import UserError
from gonlib.method.models import build
from gonlib.study import measures
from gonlib.study.chapters import interpolation
from gonlib.study.measures import lerp, nearest_view, psnr, ring_correlation, slerp, smoothness
from gonlib.training.config import Config


def test_psnr_is_ten_decibels_per_factor_of_ten_in_squared_error():
    truth = torch.rand(3, 1, 4, 4)
    noisy = torch.stack([truth[0] + 0.1, truth[1] + 0.01, truth[2]])
    assert psnr(noisy, truth)[:2].tolist() == pytest.approx([20.0, 40.0], abs=1e-3)
    assert psnr(noisy, truth)[2] >= 100 and torch.isfinite(psnr(noisy, truth)).all()


def test_ring_correlation_tells_which_frequencies_are_right():
    truth = torch.rand(4, 3, 32, 32)
    frequencies, same = ring_correlation(truth, truth)
    assert frequencies.tolist() == list(range(1, 16))
    torch.testing.assert_close(same, torch.ones(15))
    torch.testing.assert_close(ring_correlation(0.5 * truth + 0.1, truth)[1], torch.ones(15))  # levels do not matter
    torch.testing.assert_close(ring_correlation(1 - truth, truth)[1], -torch.ones(15))
    spectrum = torch.fft.fft2(truth)
    steps = torch.fft.fftfreq(32, 1 / 32)
    low = torch.fft.ifft2(spectrum * (torch.hypot(steps[:, None], steps) < 8)).real
    correlation = ring_correlation(low + 0.01 * torch.rand(4, 3, 32, 32), truth)[1]
    assert correlation[:6].min() > 0.95 and correlation[9:].abs().max() < 0.5


angles = st.floats(0.01, math.pi - 0.01)


@settings(deadline=None, max_examples=30)
@given(angles, st.floats(0, 1), st.floats(0.1, 10))
def test_slerp_turns_evenly_and_keeps_the_length(angle, t, length):
    a = torch.tensor([[length, 0.0, 0.0]], dtype=torch.float64)
    b = length * torch.tensor([[math.cos(angle), math.sin(angle), 0.0]], dtype=torch.float64)
    found = slerp(a, b, torch.tensor([t], dtype=torch.float64))[0, 0]
    expected = length * torch.tensor([math.cos(t * angle), math.sin(t * angle), 0.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_slerp_and_lerp_end_at_the_ends():
    a, b = torch.randn(5, 8), torch.randn(5, 8)
    for way in (slerp, lerp):
        path = way(a, b, torch.linspace(0, 1, 7))
        assert path.shape == (7, 5, 8)
        torch.testing.assert_close(path[0], a)
        torch.testing.assert_close(path[-1], b)


def test_slerp_of_parallel_latents_is_the_straight_line():
    a = torch.randn(2, 4)
    torch.testing.assert_close(slerp(a, 3 * a, torch.linspace(0, 1, 5)), lerp(a, 3 * a, torch.linspace(0, 1, 5)))
    torch.testing.assert_close(slerp(a, a, torch.tensor([0.5]))[0], a)


def test_slerp_between_opposite_latents_is_refused():
    a = torch.randn(2, 4)
    with pytest.raises(UserError, match="opposite"):
        slerp(a, -2 * a, torch.tensor([0.5]))


def test_nearest_view_counts_views_per_pair():
    views = torch.linspace(0, 1, 5)[:, None, None, None, None].expand(5, 2, 1, 2, 2)
    pictures = torch.tensor([0.0, 0.26, 1.0])[:, None, None, None, None].expand(3, 2, 1, 2, 2)
    number, distance = nearest_view(pictures, views)
    assert number.tolist() == [[0, 0], [1, 1], [4, 4]]
    assert distance[0].tolist() == [0, 0]


class Perfect(torch.nn.Module):
    """A `model` whose latent is a position (x, y) on the unit circle and which draws a bar at the angle."""

    def evaluating(self, mode):
        return torch.no_grad()

    def encode(self, x):
        place = x[:, 0, 0].argmax(-1) / 32
        return torch.stack([place.cos(), place.sin()], 1)

    def decode(self, z, size=None):
        return bars(torch.atan2(z[:, 1], z[:, 0]) * 32)

    def reconstruct(self, x):
        return self.decode(self.encode(x))


def bars(place):
    return torch.exp(-((torch.arange(33) - place[:, None]) ** 2) / 4)[:, None, None]


def test_smoothness_tells_a_moving_picture_from_a_cross_fade():
    views = torch.stack([bars(torch.full((2,), float(place))) for place in range(33)])
    found = smoothness(Perfect(), views, 9).set_index("path")
    assert found.loc["slerp", "monotone"] == 1 and found.loc["slerp", "pairs"] == 2
    assert found.loc["slerp", "largest_jump"] == pytest.approx(1 / 8)
    assert found.loc["pixels", "largest_jump"] > 0.5
    assert found.loc["slerp", "off_path"] < 0.01 < found.loc["pixels", "off_path"]
    assert found.loc["views", "monotone"] == 1 and found.loc["views", "off_path"] < 1e-6


def test_paths_are_named_and_end_at_reconstructions():
    views = torch.stack([bars(torch.tensor([4.0])), bars(torch.tensor([20.0]))])
    found = measures.paths(Perfect(), views[0], views[1], frames=5)
    assert list(found) == ["slerp", "lerp", "pixels"]
    assert all(path.shape == (5, 1, 1, 1, 33) for path in found.values())
    torch.testing.assert_close(found["slerp"][-1], views[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("factor", interpolation.CHANGES)
def test_known_views_of_shapes_change_one_factor(factor):
    views = interpolation.shape_views(load("shapes", 32, 64, 32), factor, pairs=16, views=5)
    assert views.shape == (5, 16, 1, 32, 32) and views.max() <= 1
    assert (views[0] != views[-1]).flatten(1).any(1).all()
    mass = views.flatten(2).sum(2)
    if factor == "radius":
        assert (mass.diff(dim=0) > 0).all()
    else:  # turned or moved, no larger
        torch.testing.assert_close(mass[0], mass[-1], rtol=0.03, atol=0.1)


def test_views_of_objects_are_five_degrees_apart():
    class Objects:
        name = "coil20"
        angle, thing = torch.arange(0, 360, 5).repeat(3), torch.arange(3).repeat_interleave(72)
        levels = (angle / 5 + 72 * thing).to(torch.uint8)[:, None, None, None]
        train, test = levels[::2], levels[1::2]
        train_labels, test_labels = thing[::2], thing[1::2]
        train_factors, test_factors = {"angles": angle[::2]}, {"angles": angle[1::2]}

    (views,) = interpolation.known_views(Objects(), pairs=40).values()
    views = (views.flatten(1) * 255).round().numpy()
    assert views.shape == (7, 40)
    thing, place = np.divmod(views, 72)
    assert (thing == thing[0]).all() and (thing[0] == np.arange(40) % 3).all()
    assert (np.diff(place, axis=0) % 72 == 1).all()


def test_the_straight_way_between_latents_is_the_encoded_cross_fade():
    # z is an affine function of x, so a GON adds nothing to a cross-fade before it decodes
    torch.manual_seed(0)
    model = build(Config(decoder="siren", size=8, hidden=8, layers=2, latents=4), 1).double()
    a, b = torch.rand(2, 3, 1, 8, 8, dtype=torch.float64)
    t = torch.linspace(0, 1, 5)
    with torch.no_grad():
        faded = torch.stack([model.encode(x) for x in lerp(a, b, t)])
        torch.testing.assert_close(lerp(model.encode(a), model.encode(b), t), faded)


def test_turns_stay_within_the_symmetry_of_the_shape():
    data = load("shapes", 32, 64, 64)
    views = interpolation.shape_views(data, "rotation", pairs=32, views=5)
    apart = (views - views[0]).square().flatten(2).sum(2)
    grows = apart.diff(dim=0) > 0
    assert grows[:2].all() and grows.float().mean() > 0.9  # farther and farther from the start


def test_other_data_have_no_known_views():
    assert interpolation.known_views(load("digits", 8, 16, 16)) == {}
