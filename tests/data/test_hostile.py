"""Damaged and hostile data files: one sentence, or the same data; never another exception, never memory for nothing."""

import gzip
import hashlib
import io
import os
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from datafiles import example, put
from harm import FEW, MANY, harmed
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gonlib.data import datasets, official, prepared
from gonlib.data.registry import DATASETS
from gonlib.errors import UserError


def saved(compressed=False, **arrays):
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


SMALL = {"tiny": replace(DATASETS["coil20"], shape=(4, 4), counts=(20, 10))}
TINY = {"train_images": np.arange(64, dtype=np.uint8).reshape(4, 4, 4), "train_labels": np.arange(4),
        "train_angles": np.arange(4.0), "test_images": np.ones((2, 4, 4), np.uint8), "test_labels": np.arange(2),
        "test_angles": np.arange(2.0), "source": "a test"}
PREPARED = [saved(**TINY), saved(compressed=True, **TINY)]


def same(read, expected):
    return read.keys() == expected.keys() and all(np.array_equal(read[key], expected[key]) for key in expected)


def check_prepared(folder, raw):
    path = folder / "tiny.npz"
    path.write_bytes(raw)
    try:
        read = prepared.read("tiny", SMALL["tiny"], path)
    except UserError as fault:
        assert str(path) in str(fault) and "\n" not in str(fault)
    else:
        assert same(read, TINY | {"complete": True})


@given(st.sampled_from(PREPARED).flatmap(harmed))
@FEW
def test_harmed_prepared_files(tmp_path_factory, raw):
    check_prepared(tmp_path_factory.getbasetemp(), raw)


@pytest.mark.nightly
@given(st.sampled_from(PREPARED).flatmap(harmed))
@MANY
def test_thousands_of_harmed_prepared_files(tmp_path_factory, raw):
    check_prepared(tmp_path_factory.getbasetemp(), raw)


IDX = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3]) + bytes(range(18))


@given(harmed(IDX) | harmed(gzip.compress(IDX, mtime=0)) | st.just(b"<html>403 Forbidden</html>"), st.booleans())
@FEW
def test_harmed_official_files(tmp_path_factory, raw, zipped):
    path = tmp_path_factory.getbasetemp() / "images-idx3-ubyte"
    for other in (path, path.with_name(path.name + ".gz")):
        other.unlink(missing_ok=True)
    (path.with_name(path.name + ".gz") if zipped else path).write_bytes(raw)
    try:
        read = official.read_idx(official._published(path, hashlib.md5(IDX).hexdigest(), 1000, []))
    except ValueError as fault:
        assert path.name in str(fault)
    else:
        assert read.tobytes() == bytes(range(18))


@given(st.binary(max_size=40))
@FEW
def test_idx_reader_refuses_anything_else(raw):
    with pytest.raises(ValueError, match="idx file"):
        official.read_idx(raw)


def picture(kind):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)).save(out, kind)
    return out.getvalue()


PICTURES = [picture(kind) for kind in ("png", "jpeg", "tiff", "gif", "webp", "bmp", "ppm")]


def check_picture(folder, raw, ending):
    folder = folder / "harmed"
    folder.mkdir(exist_ok=True)
    for i in range(10):
        (folder / f"{i}.png").write_bytes(PICTURES[0])
    (folder / f"0{ending}").write_bytes(raw)
    try:
        found = datasets.load(f"folder:{folder}", 8)
    except UserError as fault:
        assert "\n" not in str(fault) and f"0{ending}" in str(fault)
    else:
        assert found.train.shape[1:] == (3, 8, 8)
    finally:
        (folder / f"0{ending}").unlink()


@given(st.sampled_from(PICTURES).flatmap(harmed), st.sampled_from([".png", ".jpg", ".tif"]))
@FEW
def test_harmed_pictures(tmp_path_factory, raw, ending):
    check_picture(tmp_path_factory.getbasetemp(), raw, ending)


@pytest.mark.nightly
@given(st.sampled_from(PICTURES).flatmap(harmed), st.sampled_from([".png", ".jpg", ".tif"]))
@MANY
def test_thousands_of_harmed_pictures(tmp_path_factory, raw, ending):
    check_picture(tmp_path_factory.getbasetemp(), raw, ending)


# claims


def claiming(shape, kind="|u1", content=b"\0" * 1000):
    """The bytes of an array that claims a shape."""
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + content


def archive(path, method=zipfile.ZIP_DEFLATED, **members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as file:
        for key, content in members.items():
            if not isinstance(content, bytes):
                out = io.BytesIO()
                np.save(out, content)
                content = out.getvalue()
            file.writestr(f"{key}.npy", content)


@pytest.mark.parametrize(("change", "reason"), [
    ({"train_images": claiming((10**12, 32, 32, 3))}, "train_images.npy has another size than its shape"),
    ({"train_labels": claiming((2**62,))}, "train_labels.npy has another size"),
    ({"train_images": np.zeros((60_000, 32, 32, 3), np.uint8)}, "train_images has 60,000 images, more than CIFAR-10 has"),
    ({"source": "x" * 10**7}, "source is not a short text"),
    ({"source": np.array(["a", "b"])}, "source is not a short text"),
    ({"train_labels": np.arange(20) - 1}, "train_labels are not all in 0..1,000,000"),
    ({"test_labels": np.full(10, 10**8)}, "test_labels are not all in 0..1,000,000"),
    ({"train_angles": np.zeros(20)}, "test_angles is missing"),
    ({"train_angles": np.full(20, np.nan), "test_angles": np.zeros(10)}, "train_angles is not finite"),
    ({"complete": np.bool_(False)}, "it says that it is not complete"),
    ({"complete": "yes"}, "complete is not true or false"),
])
def test_what_a_file_claims_is_checked_before_memory_is_taken(tmp_path, change, reason):
    path = tmp_path / "prepared" / "cifar10.npz"
    archive(path, **example("cifar10") | change)
    tracemalloc.start()
    with pytest.raises(UserError, match=f"cifar10.npz is damaged or was altered .{reason}"):
        datasets.load("cifar10", root=tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_unusual_archives_are_refused_and_other_members_left_alone(tmp_path):
    path = tmp_path / "prepared" / "cifar10.npz"
    archive(path, zipfile.ZIP_LZMA, **example("cifar10"))
    with pytest.raises(UserError, match="packed in an unusual way"):
        datasets.load("cifar10", root=tmp_path)
    archive(path, **example("cifar10") | {"bomb": claiming((10**12,))})
    assert len(datasets.load("cifar10", root=tmp_path).train) == 20


# the file system


def test_a_data_root_that_is_a_file(tmp_path):
    (tmp_path / "root").write_text("x")
    with pytest.raises(UserError, match="Not a directory.*set GONLIB_DATA to a folder"):
        datasets.load("mnist", root=tmp_path / "root")


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path):
    (tmp_path / "prepared").mkdir()
    os.mkfifo(tmp_path / "prepared" / "mnist.npz")
    with pytest.raises(UserError, match="mnist.npz is not a file"):
        datasets.load("mnist", root=tmp_path)


def test_what_is_only_unreadable_is_not_to_be_deleted(tmp_path, monkeypatch):
    put(tmp_path, "cifar10", example("cifar10"))

    def denied(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(prepared.zipfile, "ZipFile", denied)
    with pytest.raises(UserError, match="cifar10.npz cannot be read .Permission denied") as fault:
        datasets.load("cifar10", root=tmp_path)
    assert "delete" not in str(fault.value)


def test_a_broken_note_says_nothing(tmp_path):
    path = put(tmp_path, "cifar10", example("cifar10"))
    for note in ("", "[" * 100_000, '{"sha256": 3}', "[1]", "\0"):
        path.with_name("cifar10.npz.json").write_text(note)
        datasets._load.cache_clear()
        assert len(datasets.load("cifar10", root=tmp_path).train) == 20


@pytest.mark.parametrize(("name", "size"), [("patches", 10_000), ("digits", 10**9), ("shapes", 100_000)])
def test_absurd_sizes_are_refused_before_memory_is_taken(name, size):
    with pytest.raises(UserError, match="GiB of memory, and .* GiB are free; ask for a smaller size or fewer images"):
        datasets.load(name, size)


def test_devices_that_are_not_there():
    with pytest.raises(UserError, match="the device 'gpu' cannot be used"):
        datasets.load("digits", device="gpu")
