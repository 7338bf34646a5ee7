"""Loading data sets: limits, sizes, prepared files and their checks, folders of images."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from datafiles import example, flip, mixed, no_network, put, truncate  # noqa: F401 (no_network works by being here)
from PIL import Image

from gonlib.data import datasets
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
    assert {"digits", "mnist", "celeba", "lsun_bedroom", "small_norb"} < set(datasets.NAMES)
    assert all(map(datasets.known_dataset, [*datasets.NAMES, "folder:x"]))
    assert not any(map(datasets.known_dataset, ["", "folder:", "mnst", None, 3]))
    with pytest.raises(UserError, match=r"unknown data set 'mnst'; did you mean .*mnist"):
        datasets.load("mnst")


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 8.0}, {"train_images": -1}, {"test_images": True}])
def test_wrong_arguments(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        datasets.load("digits", **wrong)


def test_more_images_than_there_are():
    with pytest.raises(UserError, match="train_images = 1,438 is more than the 1,437 train images of digits"):
        datasets.load("digits", train_images=1438)


@pytest.mark.parametrize(("side", "size"), [(28, 32), (128, 32), (32, 32), (8, 32)])
def test_resizing_is_that_of_torchvision(side, size):
    from torchvision.transforms.v2.functional import resize

    images = torch.randint(0, 256, (5, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours, theirs = datasets.resize(images, size, chunk=2), resize(images, [size, size], antialias=True)
    assert (ours.int() - theirs.int()).abs().max() <= 1


def test_import_is_light():
    code = ("import sys, gonlib.data; "
            "print([m for m in ('torchvision', 'sklearn', 'PIL') if m in sys.modules])")
    root = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# prepared files


def test_prepared_file_without_a_note_loads(tmp_path, monkeypatch):
    arrays = example("cifar10")
    path = put(tmp_path, "cifar10", arrays)
    found = datasets.load("cifar10", root=tmp_path)
    assert np.array_equal(found.train.permute(0, 2, 3, 1).numpy(), mixed(arrays["train_images"]))
    assert np.array_equal(found.test_labels.numpy(), mixed(arrays["test_labels"]))
    assert found.source == "a test"
    assert [file.name for file in path.parent.iterdir()] == ["cifar10.npz"]
    monkeypatch.setenv("GONLIB_DATA", str(tmp_path))
    assert datasets.load("cifar10").checksum == found.checksum
    monkeypatch.delenv("GONLIB_DATA")
    assert datasets.data_root() == Path(datasets.__file__).parents[2] / "data"


def test_factors_and_limits_of_prepared_files(tmp_path):
    arrays = example("coil20") | {"train_angles": np.arange(20, dtype=np.uint16), "test_angles": np.arange(10)}
    put(tmp_path, "coil20", arrays)
    found = datasets.load("coil20", 128, 8, 0, root=tmp_path)
    order = found.train_factors["angles"]
    assert order.dtype == torch.int64
    assert len(found.train) == len(order) == 8
    assert len(found.test) == 10
    assert np.array_equal(found.train[:, 0].numpy(), arrays["train_images"][order])
    assert np.array_equal(found.train_labels.numpy(), arrays["train_labels"][order])
    assert len(found.train_labels.unique()) > 2  # classes are mixed, though the file is sorted by class
    assert torch.equal(datasets.load("coil20", 128, 12, root=tmp_path).train[:8], found.train)
    assert order.tolist() == [4, 19, 6, 2, 13, 16, 3, 11]  # fixed for good


NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }".ljust(127) + b"\n\x01\x02"


@pytest.mark.parametrize("harm", [truncate, flip, lambda path: path.write_bytes(b""),
                                  lambda path: path.write_text("not this"), lambda path: path.write_bytes(NPY)])
def test_damaged_prepared_files_are_refused(tmp_path, harm):
    path = put(tmp_path, "cifar10", example("cifar10"))
    datasets.load("cifar10", root=tmp_path)
    harm(path)
    with pytest.raises(UserError, match="cifar10.npz is damaged or was altered .* delete it .*cs.toronto.edu"):
        datasets.load("cifar10", root=tmp_path)


@pytest.mark.parametrize(("change", "reason"), [
    ({"train_labels": None}, "train_labels is missing"),
    ({"source": None}, "source is missing"),
    ({"test_images": np.zeros((10, 32, 32, 3), np.float32)}, "test_images is float32"),
    ({"train_images": np.zeros((20, 32, 32), np.uint8)}, "train_images is uint8"),
    ({"train_images": np.zeros((0, 32, 32, 3), np.uint8)}, "train_images is uint8"),
    ({"test_labels": np.zeros(9, int)}, "test_labels has 9 entries for 10 images"),
    ({"test_labels": np.zeros(10)}, "test_labels is not a list of whole numbers"),
    ({"train_labels": np.array([None] * 20)}, "allow_pickle"),
    ({"train_labels": np.array(1)}, "len"),
])
def test_prepared_files_of_wrong_content_are_refused(tmp_path, change, reason):
    arrays = {key: value for key, value in (example("cifar10") | change).items() if value is not None}
    put(tmp_path, "cifar10", arrays)
    with pytest.raises(UserError, match=reason) as fault:
        datasets.load("cifar10", root=tmp_path)
    assert "cifar10.npz" in str(fault.value)


def test_images_other_than_those_published_are_refused(tmp_path):
    put(tmp_path, "mnist", example("mnist"))
    with pytest.raises(UserError, match="mnist.npz .*train_images are not those published"):
        datasets.load("mnist", root=tmp_path)


# making prepared files


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A data root where cifar10 was prepared from a stand-in for torchvision's reader."""
    import torchvision.datasets

    arrays = example("cifar10")

    def reader(root, train, download):
        part = "train" if train else "test"
        return types.SimpleNamespace(data=arrays[f"{part}_images"], targets=arrays[f"{part}_labels"].tolist())

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", reader)
    datasets.load("cifar10", root=tmp_path)
    return tmp_path


def test_prepared_file_gets_a_note(made):
    path = made / "prepared" / "cifar10.npz"
    note = json.loads((made / "prepared" / "cifar10.npz.json").read_text())
    assert note["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sorted(file.name for file in path.parent.iterdir()) == ["cifar10.npz", "cifar10.npz.json"]
    arrays = example("cifar10")
    with np.load(path) as file:
        assert np.array_equal(file["train_images"], arrays["train_images"])
        assert np.array_equal(file["test_labels"], arrays["test_labels"])


def test_altered_file_with_a_note_is_refused(made):
    arrays = example("cifar10")
    arrays["train_images"][0, 0, 0, 0] ^= 1
    path = put(made, "cifar10", arrays)
    with pytest.raises(UserError, match=r"cifar10.npz is damaged or was altered .*SHA-256"):
        datasets.load("cifar10", root=made)
    path.unlink()
    assert len(datasets.load("cifar10", root=made).train) == 20  # as the message says: made anew


def test_moved_file_is_checked_once(made, monkeypatch):
    path, hashed = made / "prepared" / "cifar10.npz", []
    os.utime(path, (1, 1))
    monkeypatch.setattr(datasets, "_sha256", lambda p, real=datasets._sha256: hashed.append(p) or real(p))
    for _ in range(2):
        datasets._load.cache_clear()
        datasets.load("cifar10", root=made)
    assert hashed == [path]


def test_full_disk(tmp_path, monkeypatch, made):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match="no space is left on the disk of .*GONLIB_DATA"):
        datasets.load("cifar10", root=tmp_path / "other")
    assert list((tmp_path / "other" / "prepared").iterdir()) == []


@pytest.mark.parametrize("name", datasets.OFFICIAL)
def test_missing_data_without_a_network(tmp_path, monkeypatch, name):
    import torchvision.datasets.celeba

    monkeypatch.setattr(torchvision.datasets.celeba, "download_file_from_google_drive", urllib.request.urlopen)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(UserError) as fault:
        datasets.load(name, root=tmp_path)
    text, (_, _, folder, files, site) = str(fault.value), datasets.OFFICIAL[name]
    assert text.startswith(f"the data set {name} is not prepared")
    assert files in text
    assert site in text
    assert str(tmp_path / folder) in text
    assert str(tmp_path / "prepared" / f"{name}.npz") in text
    assert "\n" not in text
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


# folders of images


def make_folder(root, count=20, colour=(200, 100, 50)):
    for i in range(count):
        path = root / ("a" if i < count // 2 else "b") / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[:, 10:50] = np.array(colour) // 2 + i  # the middle square
        Image.fromarray(picture).save(path)


def test_folder_of_images(tmp_path):
    make_folder(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.png").write_text("no image")
    (tmp_path / "notes.txt").write_text("no image")
    found = datasets.load(f"folder:{tmp_path}", 16)
    assert found.train.shape == (18, 3, 16, 16)
    assert found.test.shape == (2, 3, 16, 16)
    assert sorted(found.test[:, 0, 0, 0].tolist()) == [109, 119]
    colours = {tuple(colour) for colour in found.train[:, :, 0, 15].tolist()}
    assert len(colours) == 18 and {(100, 50, 25), (101, 51, 26), (102, 52, 27)} <= colours
    assert found.train_labels.tolist() == mixed(np.repeat([0, 1], 9)).tolist()
    assert found.source == f"images of the folder {tmp_path.name}"
    assert datasets.load(f"folder:{tmp_path}", 16) is found
    few = datasets.load(f"folder:{tmp_path}", 16, 5)
    assert len(few.train) == 5
    assert few.checksum != found.checksum
    Image.new("RGB", (9, 9)).save(tmp_path / "a" / "00.png")
    changed = datasets.load(f"folder:{tmp_path}", 16)
    assert changed.checksum != found.checksum
    assert (changed.train.flatten(1).amax(1) == 0).sum() == 1


def test_folder_of_grey_images_of_all_kinds(tmp_path):
    for i, mode in enumerate(["L", "1", "LA", "RGB", "RGBA", "P", "I;16", "L", "L", "L"]):
        picture = Image.new("L", (30, 20), 0 if mode == "1" else 128)
        if mode == "I;16":
            picture = Image.fromarray(np.full((20, 30), 128 * 257, np.uint16))
        picture.convert(mode).save(tmp_path / f"{i}.png")
    found = datasets.load(f"folder:{tmp_path}", 8)
    assert found.channels == 1
    assert sorted({*found.train.flatten().tolist(), *found.test.flatten().tolist()}) == [0, 128]


def test_wrong_folders(tmp_path):
    with pytest.raises(UserError, match="the folder of images .*nowhere is not there"):
        datasets.load(f"folder:{tmp_path / 'nowhere'}")
    make_folder(tmp_path, 9)
    with pytest.raises(UserError, match="holds 9 images .* at least 10"):
        datasets.load(f"folder:{tmp_path}")
    (tmp_path / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="the image .*broken.jpg cannot be read"):
        datasets.load(f"folder:{tmp_path}")


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
