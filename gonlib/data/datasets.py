"""`load`: a data set by its name, as uint8 tensors on the device, at the image size asked for."""

import functools
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Num, UInt8
from torch import Tensor

from ..errors import UserError
from . import folders, prepared
from .builtin import Arrays
from .images import channels_first, resize
from .paths import data_root, exists, prepared_path, stamp, user_path
from .registry import available, check_name, facts, title, variant_of


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """The images of a data set, and what is known of them.

    The tensors may be shared with other callers of `load`: do not change them in place.

    Args:
        name: under which `load` knows it.
        size: side of the images in pixels.
        train: training images.
        test: test images.
        train_labels: class of each training image, from 0.
        test_labels: class of each test image.
        source: where the images come from, in a sentence.
        checksum: SHA-256 of what was used: after the limits, before resizing.
        train_factors: what else is known of each training image.
        test_factors: the same of each test image.
        title: the name for readers, which says so if images are missing.
        complete: whether all images of the published set are there (before the limits).
    """

    name: str
    size: int
    train: UInt8[Tensor, "train c h w"]
    test: UInt8[Tensor, "test c h w"]
    train_labels: Int64[Tensor, " train"]
    test_labels: Int64[Tensor, " test"]
    source: str
    checksum: str
    train_factors: dict[str, Num[Tensor, " train"]] = field(default_factory=dict)
    test_factors: dict[str, Num[Tensor, " test"]] = field(default_factory=dict)
    title: str = ""
    complete: bool = True

    def __post_init__(self) -> None:
        shape = self.train.shape[1:]
        for part, images, labels in (("train", self.train, self.train_labels), ("test", self.test, self.test_labels)):
            if images.dtype != torch.uint8 or images.ndim != 4 or not len(images) or images.shape[1:] != shape:
                raise UserError(f"the {part} images of a data set must be a uint8 tensor (n, C, H, W), at least one, all "
                                f"of one size, not {images.dtype} {tuple(images.shape)}.")
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1] or labels.min() < 0:
                raise UserError(f"the {part} labels of a data set must be int64, from 0, one for each of {len(images):,} "
                                f"images; they are {labels.dtype} {tuple(labels.shape)}.")

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        return self.train.shape[1]

    @property
    def mean_image(self) -> Float[Tensor, "c h w"]:
        """Mean of the training images, in [0, 1]."""
        total = sum(part.sum(0, dtype=torch.int64) for part in self.train.split(4096))
        return (total.double() / (255 * len(self.train))).float()

    @property
    def identity(self) -> dict[str, Any]:
        """What a run notes of its data: name and checksum, and of a variant what it is, to be said beside its numbers."""
        said = {"title": self.title, "source": self.source, "complete": self.complete} if variant_of(self.name) else {}
        return {"name": self.name, "checksum": self.checksum} | said

    def summary(self) -> str:
        """One line for the book."""
        return (f"{self.name}: {len(self.train):,} train / {len(self.test):,} test images, {self.size} x {self.size}, "
                f"{self.channels} channel{'s' * (self.channels > 1)}; source: {self.source}")

    __repr__ = summary


def load(name: str, size: int = 32, train_images: int = 0, test_images: int = 0, device: str | torch.device = "cpu",
         root: str | Path | None = None) -> Dataset:
    """The data set `name` at size x size pixels.

        digits = gonlib.load("digits", size=32)

    Images are resized from their own size, bilinear and antialiased (`patches` are 32 x 32); `shapes` are drawn anew.
    The order is fixed and mixed. Built-in sets are mixed already; the others are shuffled with a fixed seed: files may be
    sorted by class, as COIL-20's are, and with `batch` statistics an image's latent depends on its batch-mates. A
    larger limit holds the images of a smaller one. Never are other data taken than those asked for.

    Args:
        name: one of `registry.DATASETS`; NAME@VARIANT, a variant of an official set, which is only read; or folder:PATH.
        size: side of the images in pixels.
        train_images: how many of the training images to take, from the first on; 0: all.
        test_images: how many of the test images; 0: all.
        device: where the tensors are to be.
        root: the data root (default: `paths.data_root()`). What is read there is prepared/<name>.npz, made on first use
            from the official files, which are downloaded if need be.

    Raises:
        UserError: if data are missing or damaged, fewer than asked for, or too large for this machine's memory.
    """
    check_name(name)
    for what, value, least in (("size", size, 1), ("train_images", train_images, 0), ("test_images", test_images, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{what} must be a whole number of at least {least}, not {value!r}.")
    path = _place(name, root)
    if path and not name.startswith("folder:") and not exists(path):
        if variant_of(name):
            raise UserError(_no_variant(name, path))
        prepared.prepare(name, facts(name), path)
    return _load(name, size, (train_images, test_images), str(device), path, _stamps(name, path))


def fingerprint(name: str) -> str:
    """What changes whenever the files of a data set do, found without reading them; "" if it has none yet.

    It is made of their names, sizes and times. The same data elsewhere have another fingerprint, but the same checksum.
    """
    path = _place(name, None)
    if not path or not (name.startswith("folder:") or exists(path)):
        return ""
    return hashlib.sha256(repr(_stamps(name, path)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _place(name: str, root: str | Path | None) -> Path | None:
    """The folder of pictures, or the prepared file, of a data set; None if it is built in."""
    if name.startswith("folder:"):
        return user_path(name.removeprefix("folder:"))
    return None if facts(name).built_in else prepared_path(name, user_path(root or data_root()))


def _stamps(name: str, path: Path | None) -> tuple[tuple[Any, ...], ...]:
    if path is None:
        return ()
    return tuple((file, *stamp(file)) for file in (folders.pictures(path) if name.startswith("folder:") else [path]))


def _no_variant(name: str, path: Path) -> str:
    others = [other for other in available() if variant_of(other)]
    return (f"{path} is not there: {name} is a variant of {facts(name.partition('@')[0]).title}, which is only read, never "
            f"made or downloaded; put its file there, or set GONLIB_DATA to the folder that has it"
            + (f" (at hand: {', '.join(others)})." if others else "."))


@functools.lru_cache(maxsize=2)  # the seeds of an experiment share one copy; `stamps` tell a changed file
def _load(name: str, size: int, limits: tuple[int, int], device: str, path: Path | None, stamps: tuple[Any, ...]) -> Dataset:
    entry, files = facts(name), [file for file, *_ in stamps]
    if path is None:
        arrays = entry.make()
    elif name.startswith("folder:"):
        arrays = folders.split(path, files)
    else:
        arrays = prepared.read(name, entry, path, variant=bool(variant_of(name)))
    complete, images = arrays.pop("complete", True), len(arrays["train_labels"])
    for part, limit in zip(("train", "test"), limits, strict=True):
        chosen = _chosen(name, part, len(arrays[f"{part}_labels"]), limit)
        arrays |= {key: value[chosen] for key, value in arrays.items() if key.startswith(part + "_")}
    _check_memory(name, size, entry.channels, sum(len(arrays[f"{part}_labels"]) for part in ("train", "test")))
    _check_device(device)
    checksum = folders.read(path, files, arrays, size) if path and "train_files" in arrays else _checksum(arrays)
    source = arrays.pop("source")
    fields: dict[str, Any] = {}
    for part in ("train", "test"):
        mine = {key.removeprefix(part + "_"): arrays.pop(key) for key in list(arrays) if key.startswith(part + "_")}
        fields |= {f"{part}{key}": value for key, value in _tensors(mine, size, entry.draw, device).items()}
    return Dataset(name=name, size=size, source=source, checksum=checksum, complete=complete,
                   title=title(name, images, complete), **fields)


def _tensors(arrays: Arrays, size: int, draw: Any, device: str) -> dict[str, Any]:
    """One part's images, labels and factors on the device, under the ends of their names in `Dataset`."""
    labels = torch.from_numpy(arrays.pop("labels").astype(np.int64))
    images = resize(channels_first(arrays.pop("images")), size) if "images" in arrays else draw(arrays, size)
    kinds = {key: np.float32 if value.dtype.kind == "f" else np.int64 for key, value in arrays.items()}
    factors = {key: torch.from_numpy(value.astype(kinds[key])).to(device) for key, value in arrays.items()}
    return {"": images.to(device), "_labels": labels.to(device), "_factors": factors}


def _chosen(name: str, part: str, available: int, limit: int) -> Any:
    """Which rows a limit (0: none) keeps, in which order: a slice, or indices."""
    if limit > available:
        raise UserError(f"{part}_images = {limit:,} is more than the {available:,} {part} images of {name}; ask for "
                        "fewer, or 0 for all.")
    limit = limit or available
    built_in = not name.startswith("folder:") and facts(name).built_in
    return slice(limit) if built_in else np.random.default_rng(0).permutation(available)[:limit]


def _checksum(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and bytes of the arrays."""
    total = hashlib.sha256()
    for key in sorted(key for key in arrays if key != "source"):
        total.update(f"{key} {arrays[key].dtype} {arrays[key].shape};".encode())
        total.update(np.ascontiguousarray(arrays[key]).data)
    return total.hexdigest()


def _check_memory(name: str, size: int, channels: int, images: int) -> None:
    """`UserError` if so many images at this size cannot be held."""
    needed, free = images * channels * size**2, _free_memory()
    if needed > free:
        raise UserError(f"{images:,} images of {name} at {size:,} x {size:,} pixels need {needed / 2**30:,.1f} GiB of "
                        f"memory, and {free / 2**30:,.1f} GiB are free; ask for a smaller size or fewer images.")


def _free_memory() -> float:
    """Free memory in bytes, as far as it can be found out."""
    try:
        import psutil
    except ImportError:
        return math.inf
    return float(psutil.virtual_memory().available)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as fault:
        raise UserError(f"the device {device!r} cannot be used ({str(fault).splitlines()[0]}); take cpu.") from fault
