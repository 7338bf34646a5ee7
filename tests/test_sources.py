"""The built-in sets, and the official files in their own formats (small ones, written here)."""

import gzip
import hashlib
import io
import math
import sys
import types
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from datafiles import example, flip, mixed, no_network, truncate  # noqa: F401 (no_network works by being here)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gonlib.data import datasets
from gonlib.data import official as sources
from gonlib.errors import UserError


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


@pytest.mark.parametrize("name", datasets.BUILT_IN)
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
    again = datasets.shapes_images(small.train_factors, 256)
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
    square = datasets.shapes_images({k: torch.tensor(v) for k, v in still.items()}, 64)[0, 0]
    turned = datasets.shapes_images({k: torch.tensor(v) for k, v in (still | {"rotation": [45.0]}).items()}, 64)[0, 0]
    assert square[32, 14] > 0  # a corner on the axis
    assert turned[32, 14] == 0
    assert turned[20, 20] > 0
    triangle = datasets.shapes_images({k: torch.tensor(v) for k, v in (still | {"shape": [2]}).items()}, 64)[0, 0]
    down = datasets.shapes_images({k: torch.tensor(v) for k, v in (still | {"shape": [2], "rotation": [90.0]}).items()}, 64)
    assert (triangle.T.int() - down[0, 0].int()).abs().max() <= 1  # the corner on the right moves to the bottom


# official formats


class Answer(io.BytesIO):
    def __init__(self, content, length):
        super().__init__(content)
        self.headers = {"Content-Length": str(length)}


def test_downloads_are_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(b"x" * 100, 200))
    with pytest.raises(OSError, match="broke off"):
        sources.fetch("http://example.invalid/file", tmp_path / "sub" / "file")
    assert list((tmp_path / "sub").iterdir()) == []
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(b"x" * 100, 100))
    sources.fetch("http://example.invalid/file", tmp_path / "sub" / "file")
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["file"]
    assert (tmp_path / "sub" / "file").read_bytes() == b"x" * 100


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    path.write_bytes(raw)
    return hashlib.md5(raw).hexdigest()


def test_mnist_from_idx_files(tmp_path, monkeypatch):
    arrays, known = example("mnist"), {}
    for part, official in (("train", "train"), ("test", "t10k")):
        for key, kind in (("images", "images-idx3"), ("labels", "labels-idx1")):
            path = tmp_path / "MNIST" / "raw" / f"{official}-{kind}-ubyte"
            known[f"{part}_{key}"] = write_idx(path, arrays[f"{part}_{key}"])
    with pytest.raises(UserError, match=r"train_images are not those published; delete the damaged .*MNIST/raw"):
        datasets.load("mnist", root=tmp_path)
    assert not list((tmp_path / "prepared").iterdir())
    monkeypatch.setitem(sources.IDX_MD5, "mnist", known)
    found = datasets.load("mnist", 28, root=tmp_path)
    assert np.array_equal(found.train[:, 0].numpy(), mixed(arrays["train_images"]))
    assert np.array_equal(found.test_labels.numpy(), mixed(arrays["test_labels"]))


def png(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, "png", compress_level=0)
    return out.getvalue()


def coil_archive(root, views=72, side=128):
    path = root / "coil20" / "coil-20-proc.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for thing in range(20, 0, -1):
            for view in range(views):
                content = png(np.full((side, side), thing * 10 + view % 10, np.uint8))
                file.writestr(f"coil-20-proc/obj{thing}__{view}.png", content)
    return path


def test_coil20_from_its_archive(tmp_path):
    coil_archive(tmp_path)
    found = datasets.load("coil20", root=tmp_path)
    assert found.train.shape == (1160, 1, 32, 32)
    assert found.test.shape == (280, 1, 32, 32)
    for images, labels, factors, test in ((found.train, found.train_labels, found.train_factors, False),
                                          (found.test, found.test_labels, found.test_factors, True)):
        views = factors["angles"] // 5
        assert ((views % 5 == 2) == test).all()
        assert torch.equal(images[:, 0, 0, 0].long(), (labels + 1) * 10 + views % 10)
    assert found.test_labels.bincount().tolist() == [14] * 20


@pytest.mark.parametrize(("views", "side", "reason"), [(71, 16, "does not hold obj1__0.png"), (72, 16, "128 x 128")])
def test_wrong_coil20_archives(tmp_path, views, side, reason):
    path = coil_archive(tmp_path, views, side)
    with pytest.raises(UserError, match=reason):
        datasets.load("coil20", root=tmp_path)
    truncate(path)
    with pytest.raises(UserError, match="put coil-20-proc.zip.*in place of damaged"):
        datasets.load("coil20", root=tmp_path)


def matrix(array):
    """The bytes of Small NORB's binary matrix format."""
    magic = {np.dtype("u1"): 0x1E3D4C55, np.dtype("<i4"): 0x1E3D4C54}[array.dtype]
    sizes = [*array.shape, 1, 1][: max(3, array.ndim)]
    return np.array([magic, array.ndim, *sizes], "<u4").tobytes() + array.tobytes()


def norb_files(root, monkeypatch, zipped):
    content, known = {}, {}
    for name in sources.NORB_MD5:
        random, count = np.random.default_rng(len(name)), 10 if "training" in name else 5
        if "dat" in name:
            content[name] = random.integers(0, 256, (count, 2, 96, 96), np.uint8)
        elif "cat" in name:
            content[name] = np.arange(count, dtype="<i4") % 5
        else:
            content[name] = np.stack([np.arange(count) % k for k in (10, 9, 34, 6)], 1).astype("<i4")
        raw = matrix(content[name])
        known[name] = hashlib.md5(raw).hexdigest()
        (root / "small_norb").mkdir(exist_ok=True)
        path = root / "small_norb" / (name + ".gz" * zipped)
        path.write_bytes(gzip.compress(raw) if zipped else raw)
    monkeypatch.setattr(sources, "NORB_MD5", known)
    return content, path


@pytest.mark.parametrize("zipped", [True, False])
def test_small_norb_from_its_matrices(tmp_path, monkeypatch, zipped):
    content, path = norb_files(tmp_path, monkeypatch, zipped)
    found = datasets.load("small_norb", 96, root=tmp_path)
    pairs, cat, info = (content[f"smallnorb-5x46789x9x18x6x2x96x96-training-{k}.mat"] for k in ("dat", "cat", "info"))
    assert np.array_equal(found.train[:, 0].numpy(), mixed(pairs[:, 0]))
    assert np.array_equal(found.train_labels.numpy(), mixed(cat))
    for key, column, unit, first in (("instance", 0, 1, 0), ("elevation", 1, 5, 30), ("azimuth", 2, 10, 0),
                                     ("lighting", 3, 1, 0)):
        assert np.array_equal(found.train_factors[key].numpy(), mixed(first + unit * info[:, column]))
    assert len(found.test) == 5
    (tmp_path / "prepared" / "small_norb.npz").unlink()
    (truncate if zipped else flip)(path)
    with pytest.raises(UserError, match=f"{path.name} is not the published file: it is damaged, delete it"):
        datasets.load("small_norb", 96, root=tmp_path)


@given(st.binary(max_size=64))
@settings(max_examples=200, deadline=None)
def test_matrix_reader_refuses_anything_else(raw):
    with pytest.raises(ValueError, match="binary matrix"):
        sources.read_matrix(raw)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from(["u1", "<i4"]), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_matrix_reader(shape, kind, cut):
    array = np.arange(math.prod(shape)).astype(kind).reshape(shape)
    assert np.array_equal(sources.read_matrix(matrix(array)), array)
    with pytest.raises(ValueError, match="binary matrix"):
        sources.read_matrix(matrix(array)[:-cut])


def test_celeba_from_its_files(tmp_path, monkeypatch):
    from torchvision.datasets import CelebA

    folder, count = tmp_path / "celeba", 12
    folder.mkdir()
    names = [f"{i:06d}.jpg" for i in range(1, count + 1)]
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for i, name in enumerate(names):
            picture = np.full((218, 178, 3), 255, np.uint8)
            picture[20:198] = 10 * i  # only the middle 178 rows are kept
            out = io.BytesIO()
            Image.fromarray(picture).save(out, "jpeg", quality=95)
            archive.writestr(f"img_align_celeba/{name}", out.getvalue())
    tables = {"list_eval_partition.txt": ("", "{2}"), "identity_CelebA.txt": ("", "{1}"),
              "list_bbox_celeba.txt": ("12\na b\n", "0 0"), "list_landmarks_align_celeba.txt": ("12\na b\n", "0 0"),
              "list_attr_celeba.txt": ("12\nSmiling Young\n", "1 -1")}
    for name, (head, row) in tables.items():
        rows = [f"{image} {row.format(0, 100 + i, i % 3)}\n" for i, image in enumerate(names)]
        (folder / name).write_text(head + "".join(rows))
    # the texts have not the published checksums
    monkeypatch.setattr(CelebA, "_check_integrity", lambda self: (folder / "img_align_celeba").is_dir())
    found = datasets.load("celeba", 64, root=tmp_path)
    assert found.train.shape == (4, 3, 64, 64)
    assert found.train_labels.tolist() == mixed(np.array([100, 103, 106, 109])).tolist()
    assert found.test_labels.tolist() == mixed(np.array([102, 105, 108, 111])).tolist()
    reds = mixed(torch.tensor([0.0, 30, 60, 90]))
    assert (found.train[:, 0, 1:-1].float().mean((1, 2)) - reds).abs().max() < 2


def test_lsun_from_its_databases(tmp_path, monkeypatch):
    """With stand-ins for lmdb and torchvision's reader, as lmdb is not among our requirements."""
    import torchvision.datasets

    where = []

    def reader(root, classes):
        where.append((Path.cwd(), root, classes))
        count = 30 if classes == ["bedroom_train"] else 3
        return [(Image.new("RGB", (341, 256), (i, 0, 255)), 0) for i in range(count)]

    monkeypatch.setitem(sys.modules, "lmdb", types.SimpleNamespace(Error=type("Error", (Exception,), {})))
    monkeypatch.setattr(torchvision.datasets, "LSUN", reader)
    monkeypatch.setattr(sources, "LSUN_IMAGES", 20)
    with pytest.raises(UserError, match="bedroom_train_lmdb is missing"):
        datasets.load("lsun_bedroom", root=tmp_path)
    for part in ("train", "val"):
        (tmp_path / "lsun" / f"bedroom_{part}_lmdb").mkdir(parents=True)
    before, found = Path.cwd(), datasets.load("lsun_bedroom", 128, root=tmp_path)
    assert found.train.shape == (20, 3, 128, 128)
    assert found.test.shape == (3, 3, 128, 128)
    reds = found.train[:, 0, 5, 5].tolist()
    assert len(set(reds)) == 20
    assert max(reds) > 20
    folder = tmp_path / "lsun"
    assert where == [(folder, str(folder), ["bedroom_train"]), (folder, str(folder), ["bedroom_val"])]
    assert Path.cwd() == before
