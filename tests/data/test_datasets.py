"""Loading data sets: limits, sizes, prepared files and their checks, folders of images."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datafiles import example, flip, mixed, no_network, put, truncate  # noqa: F401 (no_network works by being here)

from gonlib.data import datasets, images
from gonlib.data.registry import DATASETS, known_dataset
from gonlib.errors import UserError


def test_summary_mean_and_cache():
    found = datasets.load("digits")
    assert found.summary() == repr(found)
    assert found.summary().startswith("digits: 1,437 train / 360 test images, 32 x 32, 1 channel; source: scikit-learn")
    assert found.mean_image.shape == (1, 32, 32)
    assert torch.allclose(found.mean_image, found.train.float().mean(0) / 255, atol=1e-6)
    assert datasets.load("digits") is found
    assert found.size == 32


def test_known_names():
    assert {"digits", "mnist", "celeba", "lsun_bedroom", "small_norb"} < set(DATASETS)
    assert all(map(known_dataset, [*DATASETS, "folder:x", "celeba@part", "small_norb@jpeg"]))
    strange = ["", "folder:", "mnst", None, 3, "celeba@", "@part", "digits@part", "celeba@../x", "nowhere@part"]
    assert not any(map(known_dataset, strange))
    with pytest.raises(UserError, match=r"unknown data set 'mnst'; did you mean .*mnist"):
        datasets.load("mnst")


@pytest.mark.unchecked
@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 8.0}, {"train_images": -1}, {"test_images": True}])
def test_wrong_arguments(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        inspect.unwrap(datasets.load)("digits", **wrong)  # the sentence, not that of the type checker in tests


def test_more_images_than_there_are():
    with pytest.raises(UserError, match="train_images = 1,438 is more than the 1,437 train images of digits"):
        datasets.load("digits", train_images=1438)


@pytest.mark.parametrize(("side", "size"), [(28, 32), (128, 32), (32, 32), (8, 32)])
def test_resizing_is_that_of_torchvision(side, size):
    from torchvision.transforms.v2.functional import resize

    some = torch.randint(0, 256, (5, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours, theirs = images.resize(some, size, chunk=2), resize(some, [size, size], antialias=True)
    assert (ours.int() - theirs.int()).abs().max() <= 1


def test_import_is_light():
    code = ("import sys, gonlib.data; "
            "print([m for m in ('torchvision', 'sklearn', 'PIL') if m in sys.modules])")
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# the real sets, where they are prepared


@pytest.mark.parametrize(("name", "train", "test"), [
    ("mnist", 60000, 10000), ("fashion_mnist", 60000, 10000), ("cifar10", 50000, 10000), ("coil20", 1160, 280),
    ("small_norb", 24300, 24300)])
def test_real_sets(name, train, test):
    root = os.environ.get("GONLIB_DATA")
    if not root or not (Path(root) / "prepared" / f"{name}.npz").exists():
        pytest.skip(f"GONLIB_DATA has no prepared {name}")
    found = datasets.load(name, 32, 500, 100)
    assert found.train.shape == (500, 3 if name == "cifar10" else 1, 32, 32)
    assert len(found.train_labels.unique()) == found.train_labels.max() + 1 >= 5
    found = datasets.load(name, 32)
    assert (len(found.train), len(found.test)) == (train, test)
