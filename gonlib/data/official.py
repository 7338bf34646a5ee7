"""Where images come from: the built-in sets, made here, and the official files, downloaded and read.

Every maker returns a dictionary of numpy arrays, train_* and test_*: images (uint8, (N, H, W) or (N, H, W, 3)), labels,
any known factors, and a text `source`. A maker of an official set takes the data root and raises whatever went wrong,
in words that can stand in brackets; data.py turns that into what the user is told.
"""

import contextlib
import gzip
import hashlib
import io
import math
import os
import re
import shutil
import urllib.request
import zipfile
import zlib

import numpy as np
import torch
from tqdm import tqdm

COIL20_URL = "https://www.cs.columbia.edu/CAVE/databases/SLAM_coil-20_coil-100/coil-20/coil-20-proc.zip"
NORB_URL = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
NORB_MD5 = {  # of the files when unzipped
    "smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat": "8138a0902307b32dfa0025a36dfa45ec",
    "smallnorb-5x46789x9x18x6x2x96x96-training-cat.mat": "fd5120d3f770ad57ebe620eb61a0b633",
    "smallnorb-5x46789x9x18x6x2x96x96-training-info.mat": "19faee774120001fc7e17980d6960451",
    "smallnorb-5x01235x9x18x6x2x96x96-testing-dat.mat": "e9920b7f7b2869a8f1a12e945b2c166c",
    "smallnorb-5x01235x9x18x6x2x96x96-testing-cat.mat": "fd5120d3f770ad57ebe620eb61a0b633",
    "smallnorb-5x01235x9x18x6x2x96x96-testing-info.mat": "7c5b871cc69dcadec1bf6a18141f5edc",
}
IDX_MD5 = {  # of the unzipped idx files, as published
    "mnist": {
        "train_images": "6bbc9ace898e44ae57da46a324031adb", "train_labels": "a25bea736e30d166cdddb491f175f624",
        "test_images": "2646ac647ad5339dbf082846283269ea", "test_labels": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train_images": "f4a8712d7a061bf5bd6d2ca38dc4d50a", "train_labels": "9018921c3c673c538a1fc5bad174d6f9",
        "test_images": "8181f5470baa50b63fa0f6fddb340f0a", "test_labels": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
LSUN_IMAGES = 100_000  # of 3,033,042: 4.9 GB at 128 x 128, where all would be 149 GB
SHAPES = ("ellipse", "square", "triangle", "star")
# sides, and inner over outer radius: a regular n-gon is a star whose inner corners lie on the middles of its sides
_CORNERS = torch.tensor([[2, 0.6], [4, math.cos(math.pi / 4)], [3, math.cos(math.pi / 3)], [5, 0.45]])


def split(arrays, train):
    """Arrays of equal length as train_* (the first `train` rows) and test_* (the others)."""
    first = {f"train_{key}": value[:train] for key, value in arrays.items()}
    return first | {f"test_{key}": value[train:] for key, value in arrays.items()}


def digits():
    """Scikit-learn's 1,797 handwritten digits, 8 x 8, 0..16 scaled to 0..255, shuffled; the first 1,437 train."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    order = np.random.default_rng(0).permutation(len(raw.images))
    images = np.rint(raw.images[order] * (255 / 16)).astype(np.uint8)
    source = "scikit-learn's digits (Alpaydin, Kaynak 1998), built in"
    return split({"images": images, "labels": raw.target[order]}, 1437) | {"source": source}


def patches(side=32):
    """10,000 colour crops, `side` x `side`, of scikit-learn's two photographs; 8,000 train.

    Each photograph is divided into 4 x 5 blocks of 106 x 128 pixels; test crops come from one block of each row, in
    other columns, training crops from the rest, and no crop crosses a border: no pixel is in both. Half are cut from
    the block itself, half from the block at half scale. Labels: 0 china, 1 flower.
    Factors: `top` and `left` in pixels of the photograph, and `scale`, photograph pixels per pixel (1 or 2).
    """
    from sklearn.datasets import load_sample_images

    random, found = np.random.default_rng(0), {"train": [], "test": []}
    blocks = [(label, row, column) for label in range(2) for row in range(4) for column in range(5)]
    photos = load_sample_images().images
    for label, row, column in blocks:
        top, left = 106 * row, 128 * column
        block = photos[label][top : top + 106, left : left + 128]
        for scale in (1, 2):
            small = block.reshape(106 // scale, scale, 128 // scale, scale, 3).mean((1, 3)).round().astype(np.uint8)
            windows = np.lib.stride_tricks.sliding_window_view(small, (side, side), axis=(0, 1))
            i, j = (random.integers(0, n, 125) for n in windows.shape[:2])  # 2 x 4 x 5 blocks, 2 scales: 10,000
            place = np.stack([np.full(125, label), top + i * scale, left + j * scale, np.full(125, scale)], 1)
            part = "test" if column == (2 * row + 1) % 5 else "train"
            found[part].append((windows[i, j].transpose(0, 2, 3, 1), place))
    arrays = {"source": "crops of scikit-learn's photographs china and flower, built in"}
    for part, pieces in found.items():
        images, place = (np.concatenate(both) for both in zip(*pieces, strict=True))
        order = random.permutation(len(images))
        arrays |= {f"{part}_images": images[order], f"{part}_labels": place[order, 0]}
        arrays |= {f"{part}_{key}": place[order, i] for i, key in enumerate(("top", "left", "scale"), 1)}
    return arrays


def shapes_factors():
    """The factors of the 10,000 training and 2,000 test scenes of `shapes`, independent and uniform.

    `shape` (0..3, see SHAPES), `radius` of the circumscribed circle and centre `x`, `y` (in image sides, y downwards),
    `rotation` (degrees, clockwise), `grey` (level of the shape, 0..1; the background is 0).
    """
    random = np.random.default_rng(0)
    ranges = {"radius": (0.15, 0.35), "x": (0.35, 0.65), "y": (0.35, 0.65), "rotation": (0, 360), "grey": (0.4, 1)}
    arrays = {"shape": random.integers(0, len(SHAPES), 12000)}
    arrays |= {key: random.uniform(*span, 12000).astype(np.float32) for key, span in ranges.items()}
    return split(arrays | {"labels": arrays["shape"]}, 10000) | {"source": "generated shapes, built in"}


def shapes_images(factors, size, device="cpu"):
    """Scenes drawn at any resolution: dict of (N,) factors -> uint8 (N, 1, size, size).

    A pixel's level is the grey level times its coverage, taken from the signed distance to the outline, so the same
    factors show the same anti-aliased scene at every size.
    """
    factors = {key: torch.as_tensor(value, device=device) for key, value in factors.items()}
    count, chunk = len(factors["shape"]), max(1, 2**21 // size**2)  # 8 MB per intermediate image of floats
    out = torch.empty(count, 1, size, size, dtype=torch.uint8, device=device)
    grid = (torch.arange(size, device=device) + 0.5) / size
    for i in range(0, count, chunk):
        part = {key: value[i : i + chunk, None, None] for key, value in factors.items()}
        distance = _signed_distance(part, grid[None, None, :] - part["x"], grid[None, :, None] - part["y"])
        coverage = (0.5 - distance * size).clamp(0, 1)
        out[i : i + chunk, 0] = (coverage * part["grey"] * 255).round().to(torch.uint8)
    return out


def _signed_distance(part, x, y):
    """Distance to the outline in image sides, negative inside; `x`, `y` relative to the centre."""
    turn = torch.deg2rad(part["rotation"])
    x, y = turn.cos() * x + turn.sin() * y, turn.cos() * y - turn.sin() * x
    outer = part["radius"]
    sides, ratio = _CORNERS.to(x.device)[part["shape"]].unbind(-1)
    # by symmetry all sectors fold onto the one between an outer corner (angle 0) and the next inner one (pi / sides)
    sector, length = math.pi / sides, (x * x + y * y).sqrt()
    angle = torch.atan2(y, x)
    angle = (angle - 2 * sector * (angle / (2 * sector)).round()).abs()
    px, py = length * angle.cos() - outer, length * angle.sin()
    ex, ey = outer * (ratio * sector.cos() - 1), outer * ratio * sector.sin()
    along = ((px * ex + py * ey) / (ex * ex + ey * ey)).clamp(0, 1)
    outside = torch.sign(ey * px - ex * py)
    polygon = outside * torch.hypot(px - along * ex, py - along * ey)
    # to first order, f / |grad f| is the distance to the ellipse f = 0
    f = torch.hypot(x / outer, y / (ratio * outer)).clamp(min=1e-6)
    slope = torch.hypot(x / outer**2, y / (ratio * outer) ** 2).clamp(min=1e-6)
    return torch.where(part["shape"] == 0, f * (f - 1) / slope, polygon)


def mnist(root):
    """MNIST, 28 x 28 grey, from its idx files, fetched by torchvision."""
    return _idx_set(root, "MNIST", "mnist") | {"source": "LeCun, Cortes, Burges 1998"}


def fashion_mnist(root):
    """Fashion-MNIST, 28 x 28 grey, from its idx files, fetched by torchvision."""
    return _idx_set(root, "FashionMNIST", "fashion_mnist") | {"source": "Xiao, Rasul, Vollgraf 2017, MIT licence"}


def _idx_set(root, kind, name):
    from torchvision import datasets

    arrays = {}
    for part in ("train", "test"):
        data = getattr(datasets, kind)(root, train=part == "train", download=True)
        arrays |= {f"{part}_images": data.data.numpy(), f"{part}_labels": data.targets.numpy().astype(np.uint8)}
    if altered := altered_idx(name, arrays):
        raise ValueError(f"{altered} are not those published; delete the damaged files in {root / kind / 'raw'}")
    return arrays


def altered_idx(name, arrays):
    """The first array whose MD5, written as an idx file, is not the one published for the set; None if all are."""
    for key, published in IDX_MD5.get(name, {}).items():
        header = bytes([0, 0, 8, arrays[key].ndim]) + np.array(arrays[key].shape, ">u4").tobytes()
        total = hashlib.md5(header, usedforsecurity=False)
        total.update(np.ascontiguousarray(arrays[key], np.uint8))
        if total.hexdigest() != published:
            return key
    return None


def cifar10(root):
    """CIFAR-10, 32 x 32 colour, from its Python archive, fetched by torchvision."""
    from torchvision.datasets import CIFAR10

    arrays = {}
    for part in ("train", "test"):
        data = CIFAR10(root, train=part == "train", download=True)
        arrays |= {f"{part}_images": data.data, f"{part}_labels": np.array(data.targets, np.uint8)}
    return arrays | {"source": "Krizhevsky 2009"}


def celeba(root):
    """CelebA, aligned faces, 64 x 64 colour: the middle 178 x 178, the full width, resized. Labels: the person.

    The official training and test parts; the validation part is left out.
    """
    from torchvision.datasets import CelebA
    from torchvision.datasets.utils import extract_archive

    archive = root / "celeba" / "img_align_celeba.zip"
    if archive.exists() and not archive.with_suffix("").exists():
        extract_archive(str(archive), str(archive.parent))
    arrays = {}
    for part in ("train", "test"):
        data = CelebA(root, split=part, target_type="identity", download=True)
        arrays |= {f"{part}_images": _squares(data, range(len(data)), 64, f"celeba {part}"),
                   f"{part}_labels": data.identity[:, 0].numpy()}
    return arrays | {"source": "Liu, Luo, Wang, Tang 2015, middle 178 x 178 at 64 x 64"}


def lsun_bedroom(root):
    """LSUN bedrooms, 128 x 128 colour: 100,000 training images, picked with a fixed seed, and the 300 of validation.

    The middle square of each image, resized. Needs the package lmdb and the unzipped official databases.
    """
    import lmdb
    from torchvision.datasets import LSUN

    arrays, folder = {}, (root / "lsun").absolute()
    for part, official in (("train", "bedroom_train"), ("test", "bedroom_val")):
        if not (folder / f"{official}_lmdb").is_dir():
            raise FileNotFoundError(f"{folder / (official + '_lmdb')} is missing")
        try:
            # torchvision writes its list of keys into the working folder: let that be the folder of the data
            with contextlib.chdir(folder):
                data = LSUN(str(folder), classes=[official])
            chosen = np.sort(np.random.default_rng(0).permutation(len(data))[:LSUN_IMAGES])
            arrays[f"{part}_images"] = _squares(data, chosen, 128, f"lsun_bedroom {part}")
        except lmdb.Error as fault:
            raise OSError(f"{folder / (official + '_lmdb')}: {fault}") from fault
        arrays[f"{part}_labels"] = np.zeros(len(chosen), np.uint8)
    return arrays | {"source": "Yu et al. 2015, middle squares at 128 x 128"}


def _squares(data, indices, side, label):
    """The images data[i][0] for i in indices, cut to the middle square and resized: uint8 (N, side, side, 3)."""
    images = np.empty((len(indices), side, side, 3), np.uint8)
    for row, index in enumerate(tqdm(indices, label)):
        images[row] = square(data[index][0], side)
    return images


def square(picture, side):
    """The middle square of a picture at side x side pixels, in colour: bilinear, antialiased."""
    from PIL import Image

    half = abs(picture.width - picture.height) // 2
    left, top = (half, 0) if picture.width > picture.height else (0, half)
    # cropped first: resizing a box would let in what lies just outside
    picture = picture.convert("RGB").crop((left, top, left + min(picture.size), top + min(picture.size)))
    return picture.resize((side, side), Image.Resampling.BILINEAR)


def coil20(root):
    """COIL-20, processed, 128 x 128 grey, from its archive of PNG files. Labels: the object; factor: angle in degrees.

    There is no official split: the views whose index in 0..71 is 2 modulo 5 are the test set.
    """
    from PIL import Image

    archive = root / "coil20" / "coil-20-proc.zip"
    if not archive.exists():
        fetch(COIL20_URL, archive)
    images = np.zeros((1440, 128, 128), np.uint8)
    with zipfile.ZipFile(archive) as files:
        names = {tuple(map(int, found.groups())): name for name in files.namelist()
                 if (found := re.search(r"(?:^|/)obj(\d+)__(\d+)\.png$", name))}
        wanted = [(thing, view) for thing in range(1, 21) for view in range(72)]
        if sorted(names) != wanted:
            raise ValueError(f"{archive} does not hold obj1__0.png to obj20__71.png")
        for row, key in enumerate(tqdm(wanted, "coil20")):
            picture = np.asarray(Image.open(io.BytesIO(files.read(names[key]))))
            if picture.shape != (128, 128) or picture.dtype != np.uint8:
                raise ValueError(f"{names[key]} in {archive} is not a grey image of 128 x 128 pixels")
            images[row] = picture
    thing, view = np.array(wanted).T
    order = np.argsort(view % 5 == 2, kind="stable")  # training images first, else the order of the archive
    arrays = {"images": images, "labels": (thing - 1).astype(np.uint8), "angles": (view * 5).astype(np.uint16)}
    arrays = split({key: value[order] for key, value in arrays.items()}, int((view % 5 != 2).sum()))
    return arrays | {"source": "Nene, Nayar, Murase 1996, processed images, 128 x 128"}


def small_norb(root):
    """Small NORB, 96 x 96 grey: of each stereo pair the first image. Labels: the category, 0..4.

    Factors: `instance` of the toy, `elevation` and `azimuth` of the camera in degrees, `lighting` 0..5. The toys of
    the test set are not in the training set.
    """
    arrays = {}
    for part, prefix in (("train", "5x46789x9x18x6x2x96x96-training"), ("test", "5x01235x9x18x6x2x96x96-testing")):
        pairs, labels, info = (_norb_file(root, f"smallnorb-{prefix}-{kind}.mat") for kind in ("dat", "cat", "info"))
        if pairs.shape[1:] != (2, 96, 96) or labels.shape != pairs.shape[:1] or info.shape != (len(pairs), 4):
            raise ValueError(f"shapes {pairs.shape}, {labels.shape}, {info.shape} of the {part} files do not fit")
        arrays |= {f"{part}_images": pairs[:, 0], f"{part}_labels": labels.astype(np.uint8)}
        arrays |= {f"{part}_instance": info[:, 0], f"{part}_elevation": 30 + 5 * info[:, 1],
                   f"{part}_azimuth": 10 * info[:, 2], f"{part}_lighting": info[:, 3]}
    return arrays | {"source": "LeCun, Huang, Bottou 2004, first image of each stereo pair, 96 x 96"}


def _norb_file(root, name):
    path, raw = root / "small_norb" / name, b""
    zipped = path.with_name(name + ".gz")
    if path.exists():
        raw = path.read_bytes()
    else:
        if not zipped.exists():
            fetch(NORB_URL + zipped.name, zipped)
        with contextlib.suppress(OSError, EOFError, zlib.error):  # of a broken archive, nothing: refused below
            raw = gzip.decompress(zipped.read_bytes())
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != NORB_MD5[name]:
        raise ValueError(f"{path if path.exists() else zipped} is not the published file: it is damaged, delete it")
    return read_matrix(raw)


def read_matrix(raw):
    """An array from the bytes of Small NORB's binary matrix format (see the data set's page), bytes or integers.

    All numbers are little-endian: a magic number for the type, the number of dimensions, their sizes (three are
    written even if there are fewer dimensions), then the values. Raises ValueError if the bytes are something else.
    """
    kinds = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
    head = np.frombuffer(raw, "<u4", min(2, len(raw) // 4))
    if len(head) < 2 or int(head[0]) not in kinds or not 1 <= head[1] <= 8:
        raise ValueError("not a binary matrix of bytes or integers")
    kind, written = kinds[int(head[0])], max(3, int(head[1]))
    if len(raw) < 8 + 4 * written:
        raise ValueError("a binary matrix cut off in its header")
    shape = tuple(int(n) for n in np.frombuffer(raw, "<u4", int(head[1]), offset=8))
    if len(raw) != 8 + 4 * written + kind.itemsize * math.prod(shape):
        raise ValueError(f"a binary matrix of shape {shape} with {len(raw):,} bytes, too few or too many")
    return np.frombuffer(raw, kind, offset=8 + 4 * written).reshape(shape)


def fetch(url, path):
    """Download `url` to `path`, whole or not at all, with a progress bar."""

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, open(partial, "wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            with tqdm.wrapattr(file, "write", total=total or None, desc=path.name) as writer:
                shutil.copyfileobj(answer, writer)
        if total and partial.stat().st_size != total:
            raise OSError(f"the download of {url} broke off")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
