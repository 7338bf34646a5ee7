"""Data sets as uint8 tensors on the device, at the image size asked for: built in, prepared once, or any folder."""

import errno
import functools
import hashlib
import http.client
import io
import json
import os
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ..errors import UserError, unknown
from . import official
from .official import SHAPES, shapes_images  # noqa: F401 (public here)

BUILT_IN = {"digits": official.digits, "patches": official.patches, "shapes": official.shapes_factors}
IDX_FILES = ", ".join(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k")
                      for kind in ("images-idx3", "labels-idx1"))
OFFICIAL = {  # name: maker, shape of an image, folder in the data root, official files, where they are published
    "mnist": (official.mnist, (28, 28), "MNIST/raw", IDX_FILES, "http://yann.lecun.com/exdb/mnist"),
    "fashion_mnist": (official.fashion_mnist, (28, 28), "FashionMNIST/raw", IDX_FILES,
                      "https://github.com/zalandoresearch/fashion-mnist"),
    "cifar10": (official.cifar10, (32, 32, 3), "", "cifar-10-python.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar.html"),
    "celeba": (official.celeba, (64, 64, 3), "celeba",
               ("img_align_celeba.zip, list_attr_celeba.txt, identity_CelebA.txt, list_bbox_celeba.txt, "
                "list_landmarks_align_celeba.txt, list_eval_partition.txt"),
               "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"),
    "lsun_bedroom": (official.lsun_bedroom, (128, 128, 3), "lsun",
                     "bedroom_train_lmdb, bedroom_val_lmdb (unzipped; reading them needs the package lmdb)",
                     "https://github.com/fyu/lsun"),
    "coil20": (official.coil20, (128, 128), "coil20", "coil-20-proc.zip", official.COIL20_URL),
    "small_norb": (official.small_norb, (96, 96), "small_norb", ", ".join(f"{name}.gz" for name in official.NORB_MD5),
                   official.NORB_URL),
}
NAMES = (*BUILT_IN, *OFFICIAL)
PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
FAULTS = (OSError, RuntimeError, ValueError, EOFError, ImportError, http.client.HTTPException, tarfile.TarError,
          zipfile.BadZipFile, zlib.error)  # what absent, broken or unreachable files raise


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Images (N, C, size, size), uint8, and what is known of them; labels int64 (N,), factors name -> (N,).

    The tensors may be shared with other callers of `load`: do not change them in place.
    """

    name: str
    size: int
    train: torch.Tensor
    test: torch.Tensor
    train_labels: torch.Tensor
    test_labels: torch.Tensor
    source: str
    checksum: str  # SHA-256 of what was used: after the limits, before resizing
    train_factors: dict = field(default_factory=dict)
    test_factors: dict = field(default_factory=dict)

    @property
    def channels(self):
        """1 (grey) or 3 (colour)."""
        return self.train.shape[1]

    @property
    def mean_image(self):
        """Mean of the training images: float (C, size, size) in [0, 1]."""
        total = sum(part.sum(0, dtype=torch.int64) for part in self.train.split(4096))
        return (total.double() / (255 * len(self.train))).float()

    def summary(self):
        """One line for the book."""
        return (f"{self.name}: {len(self.train):,} train / {len(self.test):,} test images, {self.size} x {self.size}, "
                f"{self.channels} channel{'s' * (self.channels > 1)}; source: {self.source}")

    __repr__ = summary


def known_dataset(name):
    """Whether `load` knows this name: one of NAMES, or folder:PATH."""
    return name in NAMES or (isinstance(name, str) and name.startswith("folder:") and len(name) > len("folder:"))


def data_root():
    """Where official data sets are kept: $GONLIB_DATA, else data/ in the checkout (or in the working folder)."""
    checkout = Path(__file__).resolve().parents[2]
    default = checkout / "data" if (checkout / "pyproject.toml").is_file() else Path("data")
    return Path(os.environ.get("GONLIB_DATA") or default).expanduser()


def at_hand(name):
    """Whether a data set can be loaded without fetching anything: built in, prepared, or a folder that is there."""
    if name.startswith("folder:"):
        return Path(name.removeprefix("folder:")).expanduser().is_dir()
    return name in BUILT_IN or (data_root() / "prepared" / f"{name}.npz").is_file()


def load(name, size=32, train_images=0, test_images=0, device="cpu", root=None):
    """The data set `name` at size x size pixels, with the first so many images of each part (0: all).

    Images are resized from their own size, bilinear and antialiased (`patches` are 32 x 32); `shapes` are drawn anew.
    The order is fixed and mixed. Built-in sets are mixed already; the others are shuffled with a fixed seed: files may be
    sorted by class, as COIL-20's are, and with `batch` statistics an image's latent depends on its batch-mates. A
    larger limit holds the images of a smaller one.
    `root` is the data root (default: `data_root()`); what is read there is
    prepared/<name>.npz, made on first use from the official files, which are downloaded if need be.
    Raises `UserError` if data are missing or damaged, or fewer than asked for; never falls back to other data.
    """
    if not known_dataset(name):
        raise unknown("data set", name, [*NAMES, "folder:PATH"])
    for what, value, least in (("size", size, 1), ("train_images", train_images, 0), ("test_images", test_images, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{what} must be a whole number of at least {least}, not {value!r}.")
    path, stamp = None, None
    if name in OFFICIAL:
        root = Path(root or data_root()).expanduser().absolute()
        path = root / "prepared" / f"{name}.npz"
        if not path.exists():
            prepare(name, path)
        stamp = _stamp(path)
    elif name not in BUILT_IN:
        path = Path(name.removeprefix("folder:")).expanduser().absolute()
        stamp = tuple((file, *_stamp(file)) for file in _pictures(path))
    return _load(name, size, (train_images, test_images), str(device), path, stamp)


@functools.lru_cache(maxsize=2)  # the seeds of an experiment share one copy; `stamp` tells a changed file
def _load(name, size, limits, device, path, stamp):
    if name in BUILT_IN:
        arrays = BUILT_IN[name]()
    elif name in OFFICIAL:
        arrays = read_prepared(name, path)
    else:
        arrays = _folder(path, [file for file, *_ in stamp])
    source = arrays.pop("source")
    for part, limit in zip(("train", "test"), limits, strict=True):
        chosen = _chosen(name, part, len(arrays[f"{part}_labels"]), limit)
        arrays |= {key: value[chosen] for key, value in arrays.items() if key.startswith(part + "_")}
    if "train_files" in arrays:
        checksum = _read_pictures(arrays, size)
    else:
        checksum = _checksum(arrays)
    fields = {}
    for part in ("train", "test"):
        mine = {key.removeprefix(part + "_"): arrays.pop(key) for key in list(arrays) if key.startswith(part + "_")}
        labels = mine.pop("labels").astype(np.int64)
        images = resize(_tensor(mine.pop("images")), size) if "images" in mine else shapes_images(mine, size)
        fields |= {part: images.to(device), f"{part}_labels": torch.from_numpy(labels).to(device)}
        kinds = {key: np.float32 if value.dtype.kind == "f" else np.int64 for key, value in mine.items()}
        factors = {key: torch.from_numpy(value.astype(kinds[key])).to(device) for key, value in mine.items()}
        fields |= {f"{part}_factors": factors}
    return Dataset(name=name, size=size, source=source, checksum=checksum, **fields)


def _chosen(name, part, available, limit):
    """Which rows a limit (0: none) keeps, in which order: a slice, or indices."""
    if limit > available:
        raise UserError(f"{part}_images = {limit:,} is more than the {available:,} {part} images of {name}; ask for "
                        "fewer, or 0 for all.")
    limit = limit or available
    return slice(limit) if name in BUILT_IN else np.random.default_rng(0).permutation(available)[:limit]


def _tensor(images):
    """(N, H, W) or (N, H, W, 3) as a tensor (N, C, H, W)."""
    images = torch.from_numpy(np.ascontiguousarray(images))
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()


def resize(images, size, chunk=1024):
    """uint8 images (N, C, H, W) at size x size pixels: bilinear, antialiased, rounded."""
    if images.shape[-2:] == (size, size):
        return images
    out = torch.empty(*images.shape[:2], size, size, dtype=torch.uint8)
    for i in range(0, len(images), chunk):
        part = images[i : i + chunk].float()
        part = torch.nn.functional.interpolate(part, (size, size), mode="bilinear", antialias=True)
        out[i : i + chunk] = part.round_().clamp_(0, 255).to(torch.uint8)
    return out


def _checksum(arrays):
    """SHA-256 over names, types, shapes and bytes of the arrays."""
    total = hashlib.sha256()
    for key in sorted(arrays):
        total.update(f"{key} {arrays[key].dtype} {arrays[key].shape};".encode())
        total.update(np.ascontiguousarray(arrays[key]))
    return total.hexdigest()


# prepared files


def prepare(name, path):
    """Make the prepared file of an official set from its official files, whole or not at all, and note its SHA-256."""
    maker, _, folder, files, site = OFFICIAL[name]
    root, partial, note = path.parent.parent, path.with_name(f"{path.name}.{os.getpid()}.part"), _note(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = maker(root)
        if problem := _problem(name, arrays):
            raise ValueError(problem)
        with open(partial, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        note.unlink(missing_ok=True)  # never a new file with an old note
        partial.replace(path)
        _write_note(path, _sha256(path))
    except FAULTS as fault:
        if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"no space is left on the disk of {root} to prepare the data set {name}; free some space, "
                            "or set GONLIB_DATA to a folder on another disk, and start again.") from fault
        raise UserError(f"the data set {name} is not prepared, and making it failed ({' '.join(str(fault).split())}); "
                        f"put {files}, published at {site}, into {root / folder} (in place of damaged ones) and start "
                        f"again, or put a prepared file at {path}.") from fault
    finally:
        partial.unlink(missing_ok=True)


def read_prepared(name, path):
    """The arrays of a prepared file, after checking them; `UserError` if it is damaged or not what it should be."""
    try:
        noted = json.loads(_note(path).read_text()) if _note(path).exists() else None
        if noted and _stamp(path) != (noted["mtime_ns"], noted["bytes"]):
            if _sha256(path) != noted["sha256"]:
                raise ValueError(f"its SHA-256 is not the one in {_note(path).name}")
            _write_note(path, noted["sha256"])  # only moved or copied: do not read it twice next time
        with np.load(path, allow_pickle=False) as file:  # the CRC-32 of every member is checked as it is read
            arrays = {key: file[key] for key in file.files}
        if problem := _problem(name, arrays):
            raise ValueError(problem)
    except (*FAULTS, KeyError, TypeError, AttributeError, SyntaxError) as fault:
        raise UserError(f"{path} is damaged or was altered ({' '.join(str(fault).split())}); delete it and start "
                        f"again: it is then made anew from the files published at {OFFICIAL[name][-1]}.") from fault
    return arrays | {"source": str(arrays["source"])}


def _problem(name, arrays):
    """What is wrong with the arrays of a prepared file, or None."""
    for part in ("train", "test"):
        if missing := {f"{part}_images", f"{part}_labels", "source"} - set(arrays):
            return f"{min(missing)} is missing"
        images = arrays[f"{part}_images"]
        if images.dtype != np.uint8 or images.shape[1:] != OFFICIAL[name][1] or len(images) == 0:
            return f"{part}_images is {images.dtype} {images.shape}, not uint8 {('N', *OFFICIAL[name][1])}"
        for key in arrays:
            if key.startswith(f"{part}_") and len(arrays[key]) != len(images):
                return f"{key} has {len(arrays[key])} entries for {len(images)} images"
        if arrays[f"{part}_labels"].dtype.kind not in "iu" or arrays[f"{part}_labels"].ndim != 1:
            return f"{part}_labels is not a list of whole numbers"
    altered = official.altered_idx(name, arrays)
    return f"{altered} are not those published" if altered else None


def _note(path):
    return path.with_name(path.name + ".json")


def _stamp(path):
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_note(path, sha256):
    mtime, size = _stamp(path)
    partial = _note(path).with_name(f"{_note(path).name}.{os.getpid()}.part")
    try:
        partial.write_text(json.dumps({"sha256": sha256, "bytes": size, "mtime_ns": mtime}))
        partial.replace(_note(path))
    except OSError:  # a full or read-only disk: without a note the file is checked by its CRC-32 alone
        partial.unlink(missing_ok=True)


# any folder of images


def _pictures(folder):
    """The image files of a folder and its subfolders, by name; hidden ones are left out."""
    if not folder.is_dir():
        raise UserError(f"the folder of images {folder} is not there; give folder:PATH with the path of a folder.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES and file.is_file()
                   and not any(part.startswith(".") for part in file.relative_to(folder).parts))
    if len(files) < 10:
        raise UserError(f"the folder {folder} holds {len(files)} images ({', '.join(sorted(PICTURES))}); at least 10 "
                        "are needed, as every tenth is for the test.")
    return files


def _folder(folder, files):
    """Every tenth image is for the test; the label is the number of the image's subfolder."""
    places = sorted({file.parent for file in files})
    labels = np.array([places.index(file.parent) for file in files])
    test = np.arange(len(files)) % 10 == 9
    files = np.array(files, dtype=object)
    return {"train_files": files[~test], "train_labels": labels[~test], "test_files": files[test],
            "test_labels": labels[test], "source": f"images of the folder {folder.name}"}


def _read_pictures(arrays, size):
    """Replace the files by their images, grey if all are grey; returns a SHA-256 over the contents of the files.

    The middle square of each image, resized with antialiasing; transparency is ignored.
    """
    total = hashlib.sha256()
    for part in ("train", "test"):
        files = arrays.pop(f"{part}_files")
        images = arrays[f"{part}_images"] = np.empty((len(files), size, size, 3), np.uint8)
        for row, file in enumerate(files):
            try:
                raw = file.read_bytes()
                images[row] = _square(raw, size)
            except Exception as fault:  # decoders of broken images raise all kinds
                raise UserError(f"the image {file} cannot be read ({fault}); mend or remove it.") from fault
            total.update(hashlib.sha256(raw).digest())
    both = [arrays[f"{part}_images"] for part in ("train", "test")]
    if all((images == images[..., :1]).all() for images in both):
        arrays |= {"train_images": both[0][..., 0], "test_images": both[1][..., 0]}
    return total.hexdigest()


def _square(raw, size):
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(raw)))
    if picture.mode.startswith("I"):  # 16 bits per pixel, which Pillow would clip
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    return np.asarray(official.square(picture, size))
