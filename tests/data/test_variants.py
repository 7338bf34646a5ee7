"""NAME@VARIANT: only read, with what its file says of it; its other facts are those of the official set."""

import numpy as np
import pytest
from datafiles import example, mixed, no_network, put  # noqa: F401 (no_network works by being here)

import gonlib
from gonlib.data import datasets
from gonlib.data.registry import at_hand, available, facts
from gonlib.errors import UserError


def test_a_variant_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("GONLIB_DATA", str(tmp_path))
    arrays = example("celeba@part") | {"complete": np.bool_(False)}
    arrays |= {"train_index": np.arange(20), "test_index": np.arange(10)}
    put(tmp_path, "celeba@part", arrays | {"train_key": np.array(["name"] * 20), "test_key": np.array(["name"] * 10)})
    put(tmp_path, "small_norb@jpeg", example("small_norb@jpeg") | {"complete": np.bool_(True)})
    part, copies = gonlib.load("celeba@part", 64, 5), gonlib.load("small_norb@jpeg")
    assert (part.title, part.complete, part.source) == ("CelebA (part: 20 images)", False, "a test")
    assert (copies.title, copies.complete) == ("Small NORB (from JPEG copies)", True)
    assert part.identity == {"name": "celeba@part", "checksum": part.checksum, "title": part.title, "source": "a test",
                             "complete": False}
    assert gonlib.load("digits").identity.keys() == {"name", "checksum"}
    assert list(part.train_factors) == ["index"]  # names are no factors
    assert np.array_equal(part.train.permute(0, 2, 3, 1), mixed(arrays["train_images"])[:5])
    assert available() == ["digits", "patches", "shapes", "celeba@part", "small_norb@jpeg"]
    assert at_hand("celeba@part") and not at_hand("celeba")
    assert gonlib.load("digits").complete


def test_a_variant_is_never_made(tmp_path):
    with pytest.raises(UserError, match="celeba@part.npz is not there: celeba@part is a variant of CelebA, which is only "):
        datasets.load("celeba@part", root=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("change", "reason"), [
    ({}, "complete is missing"), ({"complete": np.bool_(True), "train_images": np.zeros((20, 8, 8), np.uint8)},
                                  "train_images is uint8 .20, 8, 8., not uint8")])
def test_wrong_variants_are_not_to_be_deleted(tmp_path, change, reason):
    put(tmp_path, "small_norb@jpeg", example("small_norb@jpeg") | change)
    with pytest.raises(UserError, match=f"jpeg.npz is damaged or was altered .{reason}.*; put a whole copy in its place"):
        datasets.load("small_norb@jpeg", root=tmp_path)


def test_facts():
    assert [facts(name).title for name in ("mnist", "celeba@part", "small_norb@jpeg", "coil20@x")] == [
        "MNIST", "CelebA (part)", "Small NORB (from JPEG copies)", "COIL-20 (x)"]
    assert [facts(name).channels for name in ("patches", "celeba@part", "folder:x", "digits")] == [3, 3, 3, 1]
    assert [facts(name).side for name in ("mnist", "shapes", "lsun_bedroom@part", "folder:x")] == [28, float("inf"), 128, 0]
    assert facts("coil20").views == ("angles",) and not facts("folder:x").views
    assert facts("folder:/some/where/").title == "the folder where"
    with pytest.raises(UserError, match="unknown data set 'celeba@'"):
        facts("celeba@")
