"""folder:PATH, any folder of pictures as a data set: which files count, and how their levels become 0..255."""

import hashlib
import io
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError, printable
from .builtin import Arrays
from .images import square
from .paths import described, unreadable

if TYPE_CHECKING:
    from PIL import Image, ImageFile

FEWEST = 10  # pictures: every tenth is for the test
PICTURES = {".apng", ".avif", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf",
            ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".rgb", ".sgi", ".tga",
            ".tif", ".tiff", ".webp"}
# pictures that are not read; a folder's `source` says how many were left out
UNREAD = {".ai", ".arw", ".bigtiff", ".cr2", ".cr3", ".crw", ".czi", ".dcm", ".dds", ".dng", ".emf", ".eps", ".exr",
          ".fit", ".fits", ".hdr", ".heic", ".heif", ".icns", ".ico", ".jxl", ".jxr", ".lsm", ".nd2", ".nef", ".nii",
          ".nrrd", ".nrw", ".orf", ".pef", ".psd", ".raf", ".raw", ".rw2", ".sr2", ".srw", ".svg", ".svs", ".wmf",
          ".x3f", ".xbm", ".xcf", ".xpm"}
# folders that machines make for themselves: thumbnails, what was deleted, what was there before
THUMBNAILS = {"@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "__MACOSX", "#snapshot", "@Recently-Snapshot", "~snapshot",
              "lost+found"}
LEVELS = (255, 1023, 4095, 65535)  # the largest level of 8, 10, 12 and 16 bits
# kinds that may have more than 8 bits
DEEP = {".apng", ".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx", ".pgm", ".png", ".pnm", ".tif", ".tiff"}
MOST_PIXELS = 178_956_970  # of one picture, as Pillow has it
WHOLE = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of whole numbers of more than 8 bits


def pictures(folder: Path) -> list[Path]:
    """The picture files of a folder and its subfolders, in the order of their names.

    Links are followed, but no folder is read twice. Hidden files and folders, and those of thumbnails, are left out.

    Raises:
        UserError: if the folder cannot be read or holds too few pictures.
    """
    sys.audit("gonlib.look", str(folder))  # the book notes which folders a page has read
    try:
        if not folder.is_dir():
            raise UserError(f"the folder of images {printable(folder)} is not there; give folder:PATH with the path of a "
                            "folder.")
        files = sorted(file for file in _files(folder) if file.suffix.lower() in _readable())
    except (OSError, ValueError) as fault:
        raise UserError(f"the folder of images {printable(folder)} cannot be read ({described(fault)}); see that you may "
                        "read it and what is in it.") from fault
    if len(files) < FEWEST:
        raise UserError(f"the folder {printable(folder)} holds {len(files)} images ({', '.join(sorted(PICTURES))}); at "
                        f"least {FEWEST} are needed, as every tenth is for the test.")
    return files


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder; what hangs on a link comes last, so that a folder is found under its own name."""
    seen: set[tuple[int, int]] = set()
    waiting, linked = [folder], list[Path]()
    while waiting or linked:
        here = waiting.pop() if waiting else linked.pop(0)
        found = here.stat()
        if (found.st_dev, found.st_ino) in seen:
            continue
        seen.add((found.st_dev, found.st_ino))
        for entry in sorted(here.iterdir()):
            if entry.name.startswith(".") or entry.name in THUMBNAILS:
                continue
            if entry.is_dir():
                (linked if entry.is_symlink() else waiting).append(entry)
            elif entry.is_file():
                yield entry


def _readable() -> set[str]:
    """The endings of pictures that this Pillow can read."""
    from PIL import Image

    known = Image.registered_extensions()
    return {ending for ending in PICTURES if known.get(ending.replace(".mpo", ".jpg")) in Image.OPEN}  # the same reader


def split(folder: Path, files: list[Path]) -> Arrays:
    """Every tenth picture is for the test; the label is the number of the picture's subfolder."""
    places = sorted({file.parent for file in files})
    labels = np.array([places.index(file.parent) for file in files])
    test = np.arange(len(files)) % 10 == 9
    rows = np.array(files, dtype=object)
    return {"train_files": rows[~test], "train_labels": labels[~test], "test_files": rows[test],
            "test_labels": labels[test], "source": f"images of the folder {printable(folder.name)}"}


def read(folder: Path, files: list[Path], arrays: Arrays, size: int) -> str:
    """Put pictures in the place of the files in `arrays`, grey if all are grey, and say in `source` what was done.

    The middle square of each picture, resized with antialiasing; transparent pixels are set on white.

    Args:
        folder: the folder.
        files: all pictures of the folder: the scale of those of more than 8 bits is that of all.
        arrays: train_files and test_files, those to read; train_labels and test_labels; source.
        size: of the images in pixels.

    Returns:
        A SHA-256 over the contents of the files and their labels.

    Raises:
        UserError: naming the picture that cannot be read.
    """
    from PIL import ImageOps

    total, transparent, several, limit = hashlib.sha256(), False, 0, _limit(files)
    for part in ("train", "test"):
        chosen = arrays.pop(f"{part}_files")
        images = arrays[f"{part}_images"] = np.empty((len(chosen), size, size, 3), np.uint8)
        for row, file in enumerate(chosen):
            with _named(file):
                raw = file.read_bytes()
                opened = _opened(io.BytesIO(raw))
                # the second picture in a telephone's JPEG is no other one
                several += getattr(opened, "n_frames", 1) > 1 and opened.format != "MPO"
                picture, see_through = _colour(ImageOps.exif_transpose(opened), limit)
                images[row] = np.asarray(square(picture, size))
            transparent |= see_through
            total.update(hashlib.sha256(raw).digest())
        if arrays[f"{part}_labels"].any():
            total.update(arrays[f"{part}_labels"].tobytes())
    both = [arrays[f"{part}_images"] for part in ("train", "test")]
    if all((images == images[..., :1]).all() for images in both):
        arrays |= {"train_images": both[0][..., 0], "test_images": both[1][..., 0]}
    arrays["source"] += _remarks(folder, limit, transparent, several)
    return total.hexdigest()


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Turns any fault of one picture into a `UserError` that names it."""
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a picture is read or refused; what Pillow found odd is of no use
            yield
    except UserError:
        raise
    except Exception as fault:  # decoders of broken pictures raise all kinds
        why = "it is no picture" if isinstance(fault, UnidentifiedImageError) else described(fault)
        do = "see that you may read it, or take it out" if unreadable(fault) else "mend or remove it"
        raise UserError(f"the image {printable(file)} cannot be read ({why}); {do}.") from fault


def _remarks(folder: Path, limit: int, transparent: bool, several: int) -> str:
    """What a reader should know about how the pictures were read."""
    said = ""
    if 0 < limit < LEVELS[-1]:
        said += f"; levels of more than 8 bits are shares of {limit:,}"
    if transparent:
        said += "; transparent pixels are set on white"
    if several:
        said += f"; of {several} file{'s' * (several > 1)} with several pictures the first is taken"
    left = Counter(file.suffix.lower() for file in _files(folder)
                   if file.suffix.lower() in (UNREAD | PICTURES) - _readable())
    if left:
        said += f"; {left.total()} file{'s' * (left.total() > 1)} left out: {', '.join(sorted(left))} cannot be read here"
    return said


def _opened(file: Path | io.BytesIO) -> "ImageFile.ImageFile":
    """A picture that is not decoded yet; its size is checked first."""
    from PIL import Image

    try:
        picture = Image.open(file)
        pixels = picture.width * picture.height
    except Image.DecompressionBombError:
        pixels = MOST_PIXELS + 1
    if pixels > MOST_PIXELS:
        raise ValueError(f"it claims to have more than {MOST_PIXELS:,} pixels")
    return picture


def _limit(files: list[Path]) -> int:
    """The level that is white in the pictures of more than 8 bits: the smallest of LEVELS that holds all; 0: no such."""
    largest, brightest, coloured = -1, 0, None
    for file in (file for file in files if file.suffix.lower() in DEEP):
        with _named(file), _opened(file) as picture:
            if picture.mode in WHOLE:
                largest = max(largest, _levels(picture).max())
            elif ";16" in str(picture.tile):  # 16 bits per colour, of which Pillow gives the upper 8
                coloured = coloured or file
                brightest = max(brightest, int(np.asarray(picture.convert("RGB")).max()))
    if coloured and 0 < brightest < 16:
        raise UserError(f"the colours of {printable(coloured)} use at most 12 of their 16 bits and would be almost black; "
                        "save such pictures with 8 bits per colour.")
    return next(level for level in LEVELS if largest <= level) if largest >= 0 else 0


def _levels(picture: "Image.Image") -> np.ndarray:
    """The levels of a picture of whole numbers; ValueError if they are not those of 16 bits."""
    levels = np.asarray(picture).astype(np.int64)
    if levels.min() < 0 or levels.max() > LEVELS[-1]:
        raise ValueError(f"its levels are {levels.min():,} to {levels.max():,}, not 0 to at most {LEVELS[-1]:,}")
    return levels


def _colour(picture: "Image.Image", limit: int) -> tuple["Image.Image", bool]:
    """A picture in 8 bits per channel without transparency, and whether it had any."""
    from PIL import Image

    if picture.mode in WHOLE:
        return Image.fromarray((_levels(picture) * 255 // limit).astype(np.uint8)), False
    if picture.mode == "F":
        levels = np.asarray(picture)
        if not (levels.min() >= 0 and levels.max() <= 1):  # said so that NaN is refused too
            raise ValueError(f"its levels are {levels.min():g} to {levels.max():g}; those of floats must be 0 to 1")
        return Image.fromarray((levels * 255).round().astype(np.uint8)), False
    if not picture.has_transparency_data:
        return picture, False
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture), bool(np.asarray(picture)[..., 3].min() < 255)
