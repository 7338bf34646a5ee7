"""The prepared file of a data set, `<root>/prepared/<name>.npz`: written whole, and never believed unchecked.

It holds uint8 arrays train_images and test_images at native size, train_labels and test_labels, any known factors
(train_*, test_*), and a text `source`; a variant's also says in `complete` whether all images are there. A note beside
it has its SHA-256. What a stranger's file claims is compared with the facts about the data set before memory is taken.
"""

import contextlib
import errno
import hashlib
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from .. import files
from ..errors import UserError
from .builtin import Arrays
from .paths import described, stamp, unreadable
from .registry import Entry

Heads = dict[str, tuple[tuple[int, ...], np.dtype]]  # the shape and type of each array
LARGEST_LABEL = 10**6  # a classifier has an output for every label up to the largest
LONGEST_TEXT = 4000  # bytes: of `source`


def prepare(name: str, entry: Entry, path: Path) -> None:
    """Make the prepared file of an official set from its official files, whole or not at all, and note its SHA-256.

    Processes that ask for the same file at the same time make it once.

    Raises:
        UserError: if that fails, saying which files to fetch and where to put them.
    """
    root = path.parent.parent
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f".{name}.lock")):
            if not path.exists():  # else another process made it meanwhile
                _write(path, entry, entry.make(root))
    except Exception as fault:  # readers of broken files raise all kinds
        if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(f"no space is left on the disk of {root} to prepare the data set {name}; free some space, "
                            "or set GONLIB_DATA to a folder on another disk, and start again.") from fault
        if unreadable(fault) and not isinstance(fault, FileNotFoundError):
            raise UserError(f"the data set {name} cannot be prepared in {root} ({described(fault)}); allow it, or set "
                            "GONLIB_DATA to another folder.") from fault
        raise UserError(f"the data set {name} is not prepared, and making it failed ({described(fault)}); put "
                        f"{entry.files}, published at {entry.site}, into {root / entry.folder} (in place of damaged "
                        f"ones) and start again, or put a prepared file at {path}.") from fault


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Within, no other process prepares the same data set; whoever has to wait is told."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        print(f"Waiting for another process, which is preparing the same data set (it holds {path}).", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, entry: Entry, arrays: Arrays) -> None:
    _check_heads({key: (np.shape(value), np.asarray(value).dtype) for key, value in arrays.items()}, entry, variant=False)
    _check_values(arrays, entry)
    with files.replacing(path) as fresh:
        with open(fresh, "wb") as file:  # given a name, numpy would add .npz
            np.savez(file, **arrays)
        _note(path).unlink(missing_ok=True)  # never a new file with an old note
    _write_note(path, _sha256(path))


def read(name: str, entry: Entry, path: Path, variant: bool = False) -> Arrays:
    """The arrays of a prepared file, with `source` (str) and `complete` (bool), after checking them.

    Args:
        name: of the data set.
        entry: the facts about it.
        path: of the file.
        variant: whether it is a variant of an official set.

    Raises:
        UserError: if the file cannot be read, is damaged, or is not what it should be.
    """
    stamp(path)
    again = (f"put a whole copy in its place: {name} is a variant, which is only read, never made" if variant else
             f"delete it and start again: it is then made anew from the files published at {entry.site}")
    try:
        _compare_with_note(path)
        arrays = _arrays(path, entry, variant)
        _check_values(arrays, entry)
    except Exception as fault:  # readers of broken files raise all kinds
        if unreadable(fault):
            raise UserError(f"{path} cannot be read ({described(fault)}); see that you may read it.") from fault
        raise UserError(f"{path} is damaged or was altered ({described(fault)}); {again}.") from fault
    return arrays


# reading: what is claimed is checked before it is read


def _arrays(path: Path, entry: Entry, variant: bool) -> Arrays:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise ValueError("it holds two arrays of one name")
        heads = {key: _head(archive, member, path.stat().st_size) for key, member in members.items()
                 if key.startswith(("train_", "test_")) or key in ("source", "complete")}
        _check_heads(heads, entry, variant)
        arrays = {key: _read(archive, members[key]) for key in _wanted(heads)}
    source, complete = str(arrays.pop("source")), bool(arrays.pop("complete", True))
    if not complete and not variant:
        raise ValueError("it says that it is not complete: only a variant, NAME@VARIANT, may be a part of its set")
    return arrays | {"source": source, "complete": complete}


def _wanted(heads: Heads) -> list[str]:
    """The arrays that are read: a number per image, and what is required; others (names of files, say) are left."""
    return [key for key, (shape, dtype) in heads.items()
            if key in ("source", "complete") or key.endswith("_images") or (dtype.kind in "biuf" and len(shape) == 1)]


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that an array claims to have; ValueError if its bytes in the archive cannot be so many."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is packed in an unusual way")
    with archive.open(member) as file:
        shape, _, dtype = _npy_head(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects, which are not read (allow_pickle)")
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size or member.compress_size > size:
            raise ValueError(f"{member.filename} has another size than its shape {shape} says")
    return shape, dtype


def _npy_head(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"an array of the unknown version {version}")
    return readers[version](file)


def _check_heads(heads: Heads, entry: Entry, variant: bool) -> None:
    needed = {"source"} | ({"complete"} if variant else set())
    for part, other in (("train", "test"), ("test", "train")):
        needed |= {f"{part}_images", f"{part}_labels"}
        needed |= {f"{part}_{key.removeprefix(f'{other}_')}" for key in heads if key.startswith(f"{other}_")}
    if missing := needed - set(heads):
        raise ValueError(f"{min(missing)} is missing")
    (text, kind), (flag, truth) = heads["source"], heads.get("complete", ((), np.dtype(bool)))
    if text != () or kind.kind != "U" or kind.itemsize > LONGEST_TEXT:
        raise ValueError("source is not a short text")
    if flag != () or truth.kind != "b":
        raise ValueError("complete is not true or false")
    for part, most in zip(("train", "test"), entry.counts, strict=True):
        shape, dtype = heads[f"{part}_images"]
        if dtype != np.uint8 or shape[1:] != entry.shape or not shape[0]:
            raise ValueError(f"{part}_images is {dtype} {shape}, not uint8 {('N', *entry.shape)}")
        if shape[0] > (sum(entry.counts) if variant else most):
            raise ValueError(f"{part}_images has {shape[0]:,} images, more than {entry.title} has")
        for key, (its_shape, _) in heads.items():
            if key.startswith(f"{part}_") and its_shape[:1] != shape[:1]:
                raise ValueError(f"{key} has {its_shape[0] if its_shape else 'no'} entries for {shape[0]} images")
        its_shape, its_dtype = heads[f"{part}_labels"]
        if its_dtype.kind not in "iu" or len(its_shape) != 1:
            raise ValueError(f"{part}_labels is not a list of whole numbers")


def _check_values(arrays: Arrays, entry: Entry) -> None:
    """ValueError if labels or factors are out of range, or the images are not those published."""
    for part in ("train", "test"):
        labels = arrays[f"{part}_labels"]
        if labels.min() < 0 or labels.max() > LARGEST_LABEL:
            raise ValueError(f"{part}_labels are not all in 0..{LARGEST_LABEL:,}")
        for key, value in arrays.items():
            if key.startswith(f"{part}_") and value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ValueError(f"{key} is not finite")
    if altered := entry.altered(arrays):
        raise ValueError(f"{altered} are not those published")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array of the archive, whose CRC-32 is checked."""
    with archive.open(member) as file:
        shape, by_columns, dtype = _npy_head(file)
        raw = bytearray(math.prod(shape) * dtype.itemsize)
        view = memoryview(raw)
        for i in range(0, len(raw), 2**24):
            _fill(file, view[i : i + 2**24])
        file.read(1)  # at the end the CRC-32 is compared
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if by_columns else "C")


def _fill(file: Any, view: memoryview) -> None:
    if file.readinto(view) != len(view):
        raise ValueError(f"{file.name} is cut off")


# the note


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _compare_with_note(path: Path) -> None:
    """ValueError if a note has another SHA-256; a file that did not change since the note is not read again."""
    try:
        stamp(_note(path))  # a file, not a pipe
        noted = json.loads(_note(path).read_text(encoding="utf-8"))
        stamped, known = (noted["mtime_ns"], noted["bytes"]), str(noted["sha256"])
    except (UserError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # without a note, or with a broken one, the file is checked by its CRC-32 alone
    if stamp(path) == stamped:
        return
    if _sha256(path) != known:
        raise ValueError(f"its SHA-256 is not the one in {_note(path).name}")
    _write_note(path, known)  # only moved or copied: do not read it twice next time


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_note(path: Path, sha256: str) -> None:
    mtime, size = stamp(path)
    with contextlib.suppress(OSError):  # a full or read-only disk: without a note it is checked by its CRC-32 alone
        files.write_json(_note(path), {"sha256": sha256, "bytes": size, "mtime_ns": mtime})
