"""The data sets that gonlib knows, and the facts about each: one line of `DATASETS` adds a data set."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import printable, unknown
from . import builtin, official
from .builtin import Arrays
from .paths import data_root, prepared_path, user_path

VARIANT = re.compile(r"(?P<name>[a-z0-9_]+)@(?P<variant>[A-Za-z0-9][A-Za-z0-9._-]*)")
WORDS = {"jpeg": "from JPEG copies"}  # what the name of a variant means, where it is no plain word


@dataclass(frozen=True)
class Entry:
    """The facts about a data set: what is known of it without its images.

    Args:
        title: the name that readers know.
        make: for a set that is built in, a function of nothing; else of the data root. It gives numpy arrays train_*
            and test_*: images (uint8; (N, H, W) or (N, H, W, 3)), labels, any known factors; and the text `source`.
        shape: of one image as published: (H, W) or (H, W, 3); of a folder, whose images differ: (0, 0, 3).
        counts: numbers of training and test images.
        labels: what a label says: "digit", "object" ...; "" if labels say nothing.
        licence: the terms of use, in one sentence.
        site: where it is published; "" if it is built in.
        files: the official files, for the reader who has to fetch them himself.
        folder: where they belong, below the data root.
        factors: what else is known of each image.
        views: the factors along which the true views between two images are known (chapter 16).
        draw: for a set without images of its own, a function of its factors and the size in pixels.
        altered: a function that names the first of the arrays that is not as published, else None.
    """

    title: str
    make: Callable[..., Arrays]
    shape: tuple[int, ...]
    counts: tuple[int, int]
    labels: str
    licence: str
    site: str = ""
    files: str = ""
    folder: str = ""
    factors: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    draw: Callable[..., Any] | None = None
    altered: Callable[[Arrays], str | None] = field(default=lambda arrays: None)

    @property
    def built_in(self) -> bool:
        """Whether it needs no files."""
        return not self.site

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (colour; a folder may turn out to be grey)."""
        return 3 if len(self.shape) == 3 else 1

    @property
    def side(self) -> int | float:
        """Largest size in pixels at which its images are known: infinite if they are drawn, 0 for a folder."""
        return math.inf if self.draw else min(self.shape[:2])


_IDX = ", ".join(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))

DATASETS: dict[str, Entry] = {
    "digits": Entry(
        "Digits", builtin.digits, (8, 8), (1437, 360), "digit", "CC BY 4.0 (UCI Machine Learning Repository)."),
    "patches": Entry(
        "Patches", builtin.patches, (32, 32, 3), (8000, 2000), "photograph", "CC BY 2.0 (the photographs).",
        factors=("top", "left", "scale")),
    "shapes": Entry(
        "Shapes", builtin.shapes_factors, (32, 32), (10000, 2000), "shape", "Made by gonlib; free.",
        factors=("shape", "radius", "x", "y", "rotation", "grey"), views=("rotation", "radius", "x"),
        draw=builtin.shapes_images),
    "mnist": Entry(
        "MNIST", official.mnist, (28, 28), (60000, 10000), "digit", "CC BY-SA 3.0.",
        "http://yann.lecun.com/exdb/mnist", _IDX, "MNIST/raw",
        altered=lambda arrays: official.altered_idx("mnist", arrays)),
    "fashion_mnist": Entry(
        "Fashion-MNIST", official.fashion_mnist, (28, 28), (60000, 10000), "garment", "MIT licence (Zalando SE).",
        "https://github.com/zalandoresearch/fashion-mnist", _IDX, "FashionMNIST/raw",
        altered=lambda arrays: official.altered_idx("fashion_mnist", arrays)),
    "cifar10": Entry(
        "CIFAR-10", official.cifar10, (32, 32, 3), (50000, 10000), "class", "No formal licence; cite its author.",
        "https://www.cs.toronto.edu/~kriz/cifar.html", "cifar-10-python.tar.gz"),
    "celeba": Entry(
        "CelebA", official.celeba, (64, 64, 3), (162770, 19962), "person", "For non-commercial research only.",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html", ", ".join(official.CELEBA_MD5), "celeba"),
    "lsun_bedroom": Entry(
        "LSUN Bedroom", official.lsun_bedroom, (128, 128, 3), (3033042, 300), "", "For research; images from the web.",
        "https://github.com/fyu/lsun",
        "bedroom_train_lmdb, bedroom_val_lmdb (unzipped; reading them needs the package lmdb)", "lsun"),
    "coil20": Entry(
        "COIL-20", official.coil20, (128, 128), (1160, 280), "object", "For research only.",
        official.COIL20_URL, "coil-20-proc.zip", "coil20", factors=("angles",), views=("angles",)),
    "small_norb": Entry(
        "Small NORB", official.small_norb, (96, 96), (24300, 24300), "category", "For research; it cannot be sold.",
        official.NORB_URL, ", ".join(f"{name}.gz" for name in official.NORB_MD5), "small_norb",
        factors=("instance", "elevation", "azimuth", "lighting")),
}


def known_dataset(name: object) -> bool:
    """Whether `load` knows this name: one of DATASETS, NAME@VARIANT of an official one, or folder:PATH."""
    if not isinstance(name, str):
        return False
    return name in DATASETS or (len(name) > len("folder:") and name.startswith("folder:")) or bool(variant_of(name))


def check_name(name: object) -> None:
    """Does nothing if `load` knows this name.

    Raises:
        UserError: for any other name, the nearest known ones suggested.
    """
    if not known_dataset(name):
        raise unknown("data set", name, [*DATASETS, "folder:PATH"])


def variant_of(name: str) -> str:
    """VARIANT of NAME@VARIANT, where NAME is an official set; "" for any other name."""
    found = VARIANT.fullmatch(name)
    official_set = found and found["name"] in DATASETS and not DATASETS[found["name"]].built_in
    return found["variant"] if found and official_set else ""


def facts(name: str) -> Entry:
    """The facts about a data set; those of a variant are its official set's, those of a folder what all folders share.

    Raises:
        UserError: if the name is unknown.
    """
    check_name(name)
    if name in DATASETS:
        return DATASETS[name]
    if variant := variant_of(name):
        known = DATASETS[name.partition("@")[0]]
        return replace(known, title=f"{known.title} ({WORDS.get(variant, variant)})", altered=lambda arrays: None)
    return Entry(folder_title(name), lambda: {}, (0, 0, 3), (0, 0), "subfolder", "That of your images.", site="your own")


def folder_title(name: str) -> str:
    """How readers see folder:PATH: by the last part of its path."""
    last = os.path.basename(os.path.abspath(name.removeprefix("folder:").rstrip("/")))
    return f"the folder {printable(last)}"


def at_hand(name: str) -> bool:
    """Whether a data set can be loaded without fetching anything: built in, prepared, or a folder that is there."""
    if name.startswith("folder:"):
        return user_path(name.removeprefix("folder:")).is_dir()
    return facts(name).built_in or prepared_path(name).is_file()


def available() -> list[str]:
    """The names of all data sets at hand: built in, prepared, and variants."""
    found = (data_root() / "prepared").glob("*@*.npz")
    return [name for name in [*DATASETS, *sorted(path.stem for path in found)] if known_dataset(name) and at_hand(name)]


def title(name: str, images: int, complete: bool) -> str:
    """The name of a data set for readers, as it stands beside numbers.

    Args:
        name: of the data set.
        images: the number of its training images.
        complete: whether all images of the official set are there.
    """
    if complete:
        return facts(name).title
    known, variant = DATASETS[name.partition("@")[0]], variant_of(name)
    return f"{known.title} ({WORDS.get(variant, variant)}: {images:,} images)"
