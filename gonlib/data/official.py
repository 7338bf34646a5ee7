"""The official files of the paper's data sets: downloaded if need be, checked, and read.

Each function takes the data root and returns numpy arrays, train_* and test_*: images (uint8, (N, H, W) or (N, H, W, 3)),
labels, any known factors; and a text `source`. It raises whatever went wrong, in words that can stand in brackets;
`prepared.prepare` turns that into what the user is told.
"""

import contextlib
import gzip
import hashlib
import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from .. import files
from .builtin import Arrays, split
from .images import square

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
IDX_FILES = {
    "train_images": "train-images-idx3-ubyte", "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte", "test_labels": "t10k-labels-idx1-ubyte",
}
CIFAR_MD5 = "c58f30108f718f92721af3b95e74349a"  # of cifar-10-python.tar.gz
CELEBA_MD5 = {
    "img_align_celeba.zip": "00d2c5bc6d35e252742224ab0c1e8fcb",
    "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
    "identity_CelebA.txt": "32bd1bd63d3c78cd57e08160ec5ed1e2",
}
LSUN_IMAGES = 100_000  # of 3,033,042: 4.9 GB at 128 x 128, where all would be 149 GB
SMALL = 2**20  # bytes: no picture in an official archive is larger


def mnist(root: Path) -> Arrays:
    """MNIST, 28 x 28 grey, from its idx files."""
    from torchvision.datasets import MNIST

    return _idx_set(root / "MNIST" / "raw", "mnist", MNIST.mirrors) | {"source": "LeCun, Cortes, Burges 1998"}


def fashion_mnist(root: Path) -> Arrays:
    """Fashion-MNIST, 28 x 28 grey, from its idx files."""
    from torchvision.datasets import FashionMNIST

    arrays = _idx_set(root / "FashionMNIST" / "raw", "fashion_mnist", FashionMNIST.mirrors)
    return arrays | {"source": "Xiao, Rasul, Vollgraf 2017, MIT licence"}


def _idx_set(folder: Path, name: str, mirrors: Iterable[str]) -> Arrays:
    return {key: read_idx(_published(folder / file, IDX_MD5[name][key], 2**26, mirrors))
            for key, file in IDX_FILES.items()}


def _published(path: Path, md5: str, limit: int, sites: Iterable[str]) -> bytes:
    """The content of an official file, which may lie there gzipped, and is downloaded if it does not lie there.

    Args:
        path: of the file when unzipped.
        md5: of its content as published.
        limit: more bytes than it has: no more are unzipped.
        sites: addresses of folders that have it as `path.name`.gz; the first that answers is taken.
    """
    zipped = path.with_name(path.name + ".gz")
    if not path.exists() and not zipped.exists():
        _first(fetch, [site + zipped.name for site in sites], zipped)
    there = path if path.exists() else zipped
    try:
        with open(there, "rb") if there == path else gzip.open(there) as file:
            raw = file.read(limit)
    except (EOFError, gzip.BadGzipFile, zlib.error):  # of a broken archive, nothing
        raw = b""
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != md5:
        raise ValueError(f"{there} is not the published file: it is damaged, delete it")
    return raw


def _first(download: Callable[[str, Path], None], urls: list[str], path: Path) -> None:
    for url in urls[:-1]:
        with contextlib.suppress(OSError, ValueError):
            return download(url, path)
    return download(urls[-1], path)


def fetch(url: str, path: Path) -> None:
    """Download `url` to `path`, whole or not at all, with a progress bar."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it says how to write down a hash that we do not need
    path.parent.mkdir(parents=True, exist_ok=True)
    pooch.retrieve(url, None, path.name, path.parent, progressbar=True)


def read_idx(raw: bytes) -> UInt8[np.ndarray, "..."]:
    """An array from the bytes of an idx file of unsigned bytes, the format of MNIST.

    Raises:
        ValueError: if the bytes are something else.
    """
    if len(raw) < 4 or raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise ValueError("not an idx file of unsigned bytes")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", raw[3], offset=4))
    if len(raw) != 4 + 4 * len(shape) + math.prod(shape):
        raise ValueError(f"an idx file of shape {shape} with {len(raw):,} bytes, too few or too many")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def altered_idx(name: str, arrays: Arrays) -> str | None:
    """The first array whose MD5, written as an idx file, is not the one published for the set; None if all are."""
    for key, published in IDX_MD5[name].items():
        header = bytes([0, 0, 8, arrays[key].ndim]) + np.array(arrays[key].shape, ">u4").tobytes()
        total = hashlib.md5(header, usedforsecurity=False)
        total.update(np.ascontiguousarray(arrays[key], np.uint8).data)
        if total.hexdigest() != published:
            return key
    return None


def cifar10(root: Path) -> Arrays:
    """CIFAR-10, 32 x 32 colour, from its Python archive, fetched by torchvision."""
    from torchvision.datasets import CIFAR10

    archive = root / "cifar-10-python.tar.gz"
    arrays: dict[str, Any] = {}
    if archive.exists() and not (root / "cifar-10-batches-py").is_dir() and _md5(archive) != CIFAR_MD5:
        raise ValueError(f"{archive} is not the published file: it is damaged, delete it")
    for part in ("train", "test"):
        data = CIFAR10(root, train=part == "train", download=True)
        arrays |= {f"{part}_images": data.data, f"{part}_labels": np.array(data.targets, np.uint8)}
    return arrays | {"source": "Krizhevsky 2009"}


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def celeba(root: Path) -> Arrays:
    """CelebA, aligned faces, 64 x 64 colour: the middle 178 x 178, the full width, resized. Labels: the person.

    The official training and test parts; the validation part is left out. The pictures are read from their archive, or
    from the folder img_align_celeba if only that is there.
    """
    folder, arrays = root / "celeba", {}
    archive, unpacked = folder / "img_align_celeba.zip", folder / "img_align_celeba"
    parts, people = (_celeba_table(folder / name) for name in ("list_eval_partition.txt", "identity_CelebA.txt"))
    # whoever unpacked it may have been stopped: then the folder is left alone
    if not archive.exists() and not (unpacked.is_dir() and parts.keys() <= set(os.listdir(unpacked))):
        _fetch_celeba(archive)
    with _unzipped(archive) if archive.exists() else contextlib.nullcontext() as opened:
        for part, number in (("train", 0), ("test", 2)):
            names = [name for name, its_part in parts.items() if its_part == number]
            raw = (_member(opened, f"img_align_celeba/{name}") if opened else (unpacked / name).read_bytes()
                   for name in names)
            arrays[f"{part}_images"] = _squares((_open(one, (178, 218)) for one in raw), len(names), 64, f"celeba {part}")
            arrays[f"{part}_labels"] = np.array([people[name] for name in names])
    return arrays | {"source": "Liu, Luo, Wang, Tang 2015, middle 178 x 178 at 64 x 64"}


def _fetch_celeba(path: Path) -> None:
    from torchvision.datasets.celeba import CelebA, download_file_from_google_drive

    number = next(number for number, _, name in CelebA.file_list if name == path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as fresh:
        download_file_from_google_drive(number, path.parent, fresh.name, CELEBA_MD5[path.name])


def _celeba_table(path: Path) -> dict[str, int]:
    """{name of a picture: number} from one of CelebA's text files, downloaded if need be."""
    if not path.exists():
        _fetch_celeba(path)
    if _md5(path) != CELEBA_MD5[path.name]:
        raise ValueError(f"{path} is not the published file: it is damaged, delete it")
    rows = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {name: int(number) for name, number in rows}


def _unzipped(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as fault:
        raise ValueError(f"{path} is not a whole zip archive: it is damaged, delete it") from fault


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A small file of an archive; its CRC-32 is checked."""
    if archive.getinfo(name).file_size > SMALL:
        raise ValueError(f"{name} in {archive.filename} is too large for a picture of this set")
    return archive.read(name)


def _open(raw: bytes, size: tuple[int, int]) -> Any:
    """A Pillow image from the bytes of its file; ValueError if it has not `size` (width, height)."""
    from PIL import Image

    picture = Image.open(io.BytesIO(raw))
    if picture.size != size:
        raise ValueError("a picture of {} x {} instead of {} x {} pixels".format(*picture.size, *size))
    return picture


def _squares(pictures: Iterable[Any], count: int, side: int, label: str) -> UInt8[np.ndarray, "n h w 3"]:
    """Pictures cut to the middle square and resized."""
    images = np.empty((count, side, side, 3), np.uint8)
    for row, picture in enumerate(tqdm(pictures, label, count)):
        images[row] = np.asarray(square(picture, side))
    return images


def lsun_bedroom(root: Path) -> Arrays:
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
            pictures: Iterator[Any] = (data[index][0] for index in chosen)
            arrays[f"{part}_images"] = _squares(pictures, len(chosen), 128, f"lsun_bedroom {part}")
        except lmdb.Error as fault:
            raise ValueError(f"{folder / (official + '_lmdb')}: {fault}") from fault
        arrays[f"{part}_labels"] = np.zeros(len(chosen), np.uint8)
    return arrays | {"source": "Yu et al. 2015, middle squares at 128 x 128"}


def coil20(root: Path) -> Arrays:
    """COIL-20, processed, 128 x 128 grey, from its archive of PNG files. Labels: the object; factor: angle in degrees.

    There is no official split: the views whose index in 0..71 is 2 modulo 5 are the test set. No hash of the archive is
    published: it is checked by its content.
    """
    archive = root / "coil20" / "coil-20-proc.zip"
    if not archive.exists():
        fetch(COIL20_URL, archive)
    images = np.zeros((1440, 128, 128), np.uint8)
    with _unzipped(archive) as opened:
        names = {tuple(map(int, found.groups())): name for name in opened.namelist()
                 if (found := re.search(r"(?:^|/)obj(\d+)__(\d+)\.png$", name))}
        wanted = [(thing, view) for thing in range(1, 21) for view in range(72)]
        if sorted(names) != wanted:
            raise ValueError(f"{archive} does not hold obj1__0.png to obj20__71.png")
        for row, key in enumerate(tqdm(wanted, "coil20")):
            picture = _open(_member(opened, names[key]), (128, 128))
            if picture.mode != "L":
                raise ValueError(f"{names[key]} in {archive} is not a grey image of 128 x 128 pixels")
            images[row] = np.asarray(picture)
    thing, view = np.array(wanted).T
    order = np.argsort(view % 5 == 2, kind="stable")  # training images first, else the order of the archive
    arrays = {"images": images, "labels": (thing - 1).astype(np.uint8), "angles": (view * 5).astype(np.uint16)}
    arrays = split({key: value[order] for key, value in arrays.items()}, int((view % 5 != 2).sum()))
    return arrays | {"source": "Nene, Nayar, Murase 1996, processed images, 128 x 128"}


def small_norb(root: Path) -> Arrays:
    """Small NORB, 96 x 96 grey: of each stereo pair the first image. Labels: the category, 0..4.

    Factors: `instance` of the toy, `elevation` and `azimuth` of the camera in degrees, `lighting` 0..5. The toys of
    the test set are not in the training set.
    """
    arrays: dict[str, Any] = {}
    for part, prefix in (("train", "5x46789x9x18x6x2x96x96-training"), ("test", "5x01235x9x18x6x2x96x96-testing")):
        names = [f"smallnorb-{prefix}-{kind}.mat" for kind in ("dat", "cat", "info")]
        pairs, labels, info = (
            read_matrix(_published(root / "small_norb" / name, NORB_MD5[name], 2**29, [NORB_URL])) for name in names)
        if pairs.shape[1:] != (2, 96, 96) or labels.shape != pairs.shape[:1] or info.shape != (len(pairs), 4):
            raise ValueError(f"shapes {pairs.shape}, {labels.shape}, {info.shape} of the {part} files do not fit")
        arrays |= {f"{part}_images": pairs[:, 0], f"{part}_labels": labels.astype(np.uint8)}
        arrays |= {f"{part}_instance": info[:, 0], f"{part}_elevation": 30 + 5 * info[:, 1],
                   f"{part}_azimuth": 10 * info[:, 2], f"{part}_lighting": info[:, 3]}
    return arrays | {"source": "LeCun, Huang, Bottou 2004, first image of each stereo pair, 96 x 96"}


def read_matrix(raw: bytes) -> np.ndarray:
    """An array from the bytes of Small NORB's binary matrix format (see the data set's page), bytes or integers.

    All numbers are little-endian: a magic number for the type, the number of dimensions, their sizes (three are
    written even if there are fewer dimensions), then the values.

    Raises:
        ValueError: if the bytes are something else.
    """
    kinds: dict[int, np.dtype] = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
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
