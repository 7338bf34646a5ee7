"""Prepared files: written whole, checked when read, made from the official files."""

import dataclasses
import errno
import hashlib
import json
import os
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from datafiles import example, flip, mixed, no_network, put, truncate  # noqa: F401 (no_network works by being here)

from gonlib import files
from gonlib.data import datasets, prepared
from gonlib.data.paths import data_root
from gonlib.data.registry import DATASETS
from gonlib.errors import UserError


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
    assert data_root() == Path(datasets.__file__).parents[2] / "data"


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
    ({"train_labels": np.array(1)}, "train_labels has no entries for 20 images"),
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
    assert sorted(path.parent.glob("[!.]*")) == [path, made / "prepared" / "cifar10.npz.json"]
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
    monkeypatch.setattr(prepared, "_sha256", lambda p, real=prepared._sha256: hashed.append(p) or real(p))
    for _ in range(2):
        datasets._load.cache_clear()
        datasets.load("cifar10", root=made)
    assert hashed == [path]


def test_what_a_killed_process_left_is_cleared_and_a_set_is_made_once(tmp_path, monkeypatch, capsys):
    made, folder = [], tmp_path / "prepared"

    def slowly(root):
        time.sleep(1.5)
        made.append(root)
        return example("cifar10")

    monkeypatch.setitem(DATASETS, "cifar10", dataclasses.replace(DATASETS["cifar10"], make=slowly))
    folder.mkdir()
    (folder / f"cifar10.npz.{files._machine()}-{2**30}-abc.tmp").write_bytes(b"half")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda size: datasets.load("cifar10", size, root=tmp_path), (8, 16)))
    assert [len(one.train) for one in found] == [20, 20]
    assert made == [tmp_path]
    assert "Waiting for another process" in capsys.readouterr().out
    assert sorted(file.name for file in folder.glob("[!.]*")) == ["cifar10.npz", "cifar10.npz.json"]


def test_full_disk(tmp_path, monkeypatch, made):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match="no space is left on the disk of .*GONLIB_DATA"):
        datasets.load("cifar10", root=tmp_path / "other")
    assert list((tmp_path / "other" / "prepared").glob("[!.]*")) == []


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if not entry.built_in])
def test_missing_data_without_a_network(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(UserError) as fault:
        datasets.load(name, root=tmp_path)
    text, entry = str(fault.value), DATASETS[name]
    assert text.startswith(f"the data set {name} is not prepared")
    assert entry.files in text
    assert entry.site in text
    assert str(tmp_path / entry.folder) in text
    assert str(tmp_path / "prepared" / f"{name}.npz") in text
    assert "\n" not in text
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".lock"]
