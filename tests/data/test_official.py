"""The official files in their own formats: small ones, written here."""

import gzip
import hashlib
import http.server
import io
import math
import sys
import threading
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from datafiles import example, flip, mixed, no_network, truncate  # noqa: F401 (no_network works by being here)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gonlib.data import datasets, official
from gonlib.errors import UserError


class Answers(http.server.BaseHTTPRequestHandler):
    """A web server with one file; it promises `length` bytes and gives 100."""

    length = 100

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(self.length))
        self.end_headers()
        self.wfile.write(b"x" * 100)

    def log_message(self, *args):
        pass


@pytest.fixture
def site(monkeypatch):
    """The address of a web server on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_downloads_are_whole_or_not_at_all(tmp_path, monkeypatch, site):
    path = tmp_path / "sub" / "file"
    monkeypatch.setattr(Answers, "length", 200)
    with pytest.raises(OSError, match="100"):  # requests says how many bytes came
        official.fetch(site + "file", path)
    assert list(path.parent.iterdir()) == []
    monkeypatch.setattr(Answers, "length", 100)
    official.fetch(site + "file", path)
    assert [file.name for file in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == b"x" * 100


def test_another_mirror_is_tried(tmp_path, site):
    path = tmp_path / "MNIST" / "x"
    raw = official._published(path, hashlib.md5(b"").hexdigest(), 100, ["http://127.0.0.1:9/", site])
    assert raw == b"" and path.with_name("x.gz").read_bytes() == b"x" * 100  # rubbish that is no gzip: nothing is in it


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    path.write_bytes(raw)
    return hashlib.md5(raw).hexdigest()


def test_mnist_from_idx_files(tmp_path, monkeypatch):
    arrays, known = example("mnist"), {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for key, kind in (("images", "images-idx3"), ("labels", "labels-idx1")):
            path = tmp_path / "MNIST" / "raw" / f"{prefix}-{kind}-ubyte"
            known[f"{part}_{key}"] = write_idx(path, arrays[f"{part}_{key}"])
    with pytest.raises(UserError, match="train-images-idx3-ubyte is not the published file: it is damaged, delete it"):
        datasets.load("mnist", root=tmp_path)
    assert not list((tmp_path / "prepared").glob("[!.]*"))
    monkeypatch.setitem(official.IDX_MD5, "mnist", known)
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
    with pytest.raises(UserError, match="coil-20-proc.zip is not a whole zip.*put coil-20-proc.zip.*in place of damaged"):
        datasets.load("coil20", root=tmp_path)


def matrix(array):
    """The bytes of Small NORB's binary matrix format."""
    magic = {np.dtype("u1"): 0x1E3D4C55, np.dtype("<i4"): 0x1E3D4C54}[array.dtype]
    sizes = [*array.shape, 1, 1][: max(3, array.ndim)]
    return np.array([magic, array.ndim, *sizes], "<u4").tobytes() + array.tobytes()


def norb_files(root, monkeypatch, zipped):
    content, known = {}, {}
    for name in official.NORB_MD5:
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
    monkeypatch.setattr(official, "NORB_MD5", known)
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
        official.read_matrix(raw)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from(["u1", "<i4"]), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_matrix_reader(shape, kind, cut):
    array = np.arange(math.prod(shape)).astype(kind).reshape(shape)
    assert np.array_equal(official.read_matrix(matrix(array)), array)
    with pytest.raises(ValueError, match="binary matrix"):
        official.read_matrix(matrix(array)[:-cut])


@pytest.fixture
def celeba(tmp_path, monkeypatch):
    """CelebA's official files with 12 pictures: of the training, validation and test part by turns."""
    folder, names = tmp_path / "celeba", [f"{i:06d}.jpg" for i in range(1, 13)]
    folder.mkdir()
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for i, name in enumerate(names):
            picture = np.full((218, 178, 3), 255, np.uint8)
            picture[20:198] = 10 * i  # only the middle 178 rows are kept
            out = io.BytesIO()
            Image.fromarray(picture).save(out, "jpeg", quality=95)
            archive.writestr(f"img_align_celeba/{name}", out.getvalue())
    known = {}
    for name, row in (("list_eval_partition.txt", "{2}"), ("identity_CelebA.txt", "{1}")):
        rows = [f"{image} {row.format(0, 100 + i, i % 3)}\n" for i, image in enumerate(names)]
        (folder / name).write_text("".join(rows))
        known[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(official, "CELEBA_MD5", official.CELEBA_MD5 | known)
    return folder


@pytest.mark.parametrize("state", ["packed", "stopped while unpacking", "unpacked"])
def test_celeba_from_its_files(tmp_path, celeba, state):
    archive = celeba / "img_align_celeba.zip"
    if state != "packed":
        with zipfile.ZipFile(archive) as file:
            file.extractall(celeba)
        if state == "unpacked":
            archive.unlink()
        else:
            (celeba / "img_align_celeba" / "000001.jpg").unlink()
    found = datasets.load("celeba", 64, root=tmp_path)
    assert found.train.shape == (4, 3, 64, 64)
    assert found.train_labels.tolist() == mixed(np.array([100, 103, 106, 109])).tolist()
    assert found.test_labels.tolist() == mixed(np.array([102, 105, 108, 111])).tolist()
    reds = mixed(torch.tensor([0.0, 30, 60, 90]))
    assert (found.train[:, 0, 1:-1].float().mean((1, 2)) - reds).abs().max() < 2


def test_celeba_whose_unpacking_was_stopped_is_taken_from_its_archive(tmp_path, celeba, monkeypatch):
    archive = celeba / "img_align_celeba.zip"
    with zipfile.ZipFile(archive) as file:
        file.extract("img_align_celeba/000001.jpg", celeba)
    archive.rename(celeba / "elsewhere")
    monkeypatch.setattr(official, "_fetch_celeba", lambda path: (celeba / "elsewhere").rename(path))
    assert len(datasets.load("celeba", 64, root=tmp_path).train) == 4


def test_damaged_celeba(tmp_path, celeba):
    flip(celeba / "img_align_celeba.zip")
    with pytest.raises(UserError, match="celeba is not prepared.*damaged"):
        datasets.load("celeba", root=tmp_path)
    (celeba / "identity_CelebA.txt").write_text("<html>quota exceeded</html>")
    with pytest.raises(UserError, match="identity_CelebA.txt is not the published file"):
        datasets.load("celeba", root=tmp_path)


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
    monkeypatch.setattr(official, "LSUN_IMAGES", 20)
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
