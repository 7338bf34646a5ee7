"""The built-in sets: what they hold, and that it is the same every time."""

import hashlib
import math

import numpy as np
import pytest
import torch

from gonlib.data import builtin, datasets
from gonlib.data.registry import DATASETS


@pytest.mark.parametrize(("name", "train", "test", "channels"),
                         [("digits", 1437, 360, 1), ("patches", 8000, 2000, 3), ("shapes", 10000, 2000, 1)])
def test_built_in_sets(name, train, test, channels):
    found = datasets.load(name)
    assert found.train.shape == (train, channels, 32, 32)
    assert found.test.shape == (test, channels, 32, 32)
    assert found.channels == channels
    for part in ("train", "test"):
        images, labels = getattr(found, part), getattr(found, part + "_labels")
        assert images.dtype == torch.uint8
        assert images.is_contiguous()
        assert labels.dtype == torch.int64
        assert len(labels) == len(images)
        assert all(len(value) == len(images) for value in getattr(found, part + "_factors").values())
        assert images.min() < 10
        assert images.max() > 245
    digest = [{hashlib.sha256(image.numpy()).digest() for image in part} for part in (found.train, found.test)]
    assert not digest[0] & digest[1]
    assert len(digest[0]) > 0.95 * train  # crops of plain sky may coincide


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if entry.built_in])
def test_built_in_sets_are_the_same_every_time(name):
    first = datasets.load(name, 16, 100, 20)
    datasets._load.cache_clear()
    again = datasets.load(name, 16, 100, 20)
    assert again is not first
    assert again.checksum == first.checksum
    assert torch.equal(again.train, first.train)
    assert torch.equal(again.test, first.test)
    more = datasets.load(name, 16, 200, 20)
    assert torch.equal(more.train[:100], first.train)
    assert more.checksum != first.checksum


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    raw, found = load_digits(), datasets.load("digits", 8)
    images = torch.cat([found.train, found.test])[:, 0].float() * 16 / 255
    ours = sorted(map(tuple, images.round().int().flatten(1).tolist()))
    assert ours == sorted(map(tuple, raw.images.reshape(-1, 64).astype(int).tolist()))
    assert torch.cat([found.train_labels, found.test_labels]).bincount().tolist() == np.bincount(raw.target).tolist()


def test_patches_are_cut_where_they_say_and_share_no_pixel():
    from sklearn.datasets import load_sample_images

    found, photos = datasets.load("patches"), load_sample_images().images
    used = {part: torch.zeros(2, 427, 640, dtype=torch.bool) for part in ("train", "test")}
    for part in ("train", "test"):
        place, labels = getattr(found, part + "_factors"), getattr(found, part + "_labels")
        for label, top, left, side in zip(labels, place["top"], place["left"], 32 * place["scale"], strict=True):
            used[part][label, top : top + side, left : left + side] = True
        for i in range(200):
            top, left, scale = (int(place[key][i]) for key in ("top", "left", "scale"))
            crop = photos[labels[i]][top : top + 32 * scale, left : left + 32 * scale].astype(float)
            crop = crop.reshape(32, scale, 32, scale, 3).mean((1, 3))
            assert np.abs(crop - getattr(found, part)[i].permute(1, 2, 0).numpy()).max() <= 1
    assert not (used["train"] & used["test"]).any()
    assert used["train"].float().mean() > 0.75
    assert used["test"].float().mean() > 0.18


def test_shapes_show_the_same_scene_at_every_size():
    small, large = datasets.load("shapes", 32, 100, 10), datasets.load("shapes", 256, 100, 10)
    assert small.checksum == large.checksum
    assert large.train.shape == (100, 1, 256, 256)
    halved = torch.nn.functional.avg_pool2d(large.train.float(), 8)
    assert (halved - small.train.float()).abs().mean() < 0.5
    again = builtin.shapes_images(small.train_factors, 256)
    assert torch.equal(again, large.train)


def test_shapes_have_the_factors_they_say():
    found = datasets.load("shapes", 128, 200, 10)
    factors, images = found.train_factors, found.train[:, 0].double()
    mass = images.sum((1, 2))
    grid = (torch.arange(128, dtype=torch.double) + 0.5) / 128
    assert ((images.sum(1) @ grid / mass) - factors["x"]).abs().max() < 0.003
    assert ((images.sum(2) @ grid / mass) - factors["y"]).abs().max() < 0.003
    assert (images.amax((1, 2)) / 255 - factors["grey"]).abs().max() < 0.003
    area = mass / 128**2 / 255 / factors["grey"] / factors["radius"] ** 2
    star = 5 * 0.45 * math.sin(math.pi / 5)
    expected = torch.tensor([0.6 * math.pi, 2, 3 * math.sqrt(3) / 4, star])[factors["shape"]]
    assert (area / expected - 1).abs().max() < 0.03
    assert torch.equal(factors["shape"], found.train_labels)
    assert found.train_labels.unique().tolist() == [0, 1, 2, 3]


def test_shapes_turn_clockwise_on_the_screen():
    still = {"shape": [1], "radius": [0.3], "x": [0.5], "y": [0.5], "rotation": [0.0], "grey": [1.0]}
    square = builtin.shapes_images({k: torch.tensor(v) for k, v in still.items()}, 64)[0, 0]
    turned = builtin.shapes_images({k: torch.tensor(v) for k, v in (still | {"rotation": [45.0]}).items()}, 64)[0, 0]
    assert square[32, 14] > 0  # a corner on the axis
    assert turned[32, 14] == 0
    assert turned[20, 20] > 0
    triangle = builtin.shapes_images({k: torch.tensor(v) for k, v in (still | {"shape": [2]}).items()}, 64)[0, 0]
    down = builtin.shapes_images({k: torch.tensor(v) for k, v in (still | {"shape": [2], "rotation": [90.0]}).items()}, 64)
    assert (triangle.T.int() - down[0, 0].int()).abs().max() <= 1  # the corner on the right moves to the bottom
