"""Runs carried in one file: a tar whose last member lists what it holds, and safe copying of runs from elsewhere.

A pack or a folder may come from a stranger, or may have been damaged on its way: only plain files of runs are taken,
never more than a run can hold, and a pack is taken whole or not at all.
"""

import bz2
import contextlib
import errno
import gzip
import hashlib
import json
import lzma
import re
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from .. import files
from ..errors import UserError, from_system, printable
from . import contents

MANIFEST = "manifest.json"
KINDS: dict[str, Callable[[Any], contextlib.AbstractContextManager[Any]]] = {
    ".tar": contextlib.nullcontext, ".tar.gz": lambda file: gzip.GzipFile("", "wb", fileobj=file, mtime=0),
    ".tar.xz": lambda file: lzma.open(file, "wb")}  # noqa: SIM115
KINDS |= {".tgz": KINDS[".tar.gz"], ".txz": KINDS[".tar.xz"]}
COMPRESSIONS = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ", lzma.open), (b"BZh", bz2.open))
PLAIN = re.compile(rf"[0-9a-f]{{16}}(\.partial)?/{contents.PLAIN.pattern}", re.ASCII)  # a file of a run
FOLDERS = re.compile(r"\A(\./)*(\w[\w .-]*/)*?(?=[0-9a-f]{16}(\.partial)?/|manifest\.json$)", re.ASCII)  # may lie in these
DESKTOP = re.compile(r"(\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|__MACOSX)")  # what file managers leave everywhere
MEGABYTE = 2**20
LARGEST = {".safetensors": 16 * 1024 * MEGABYTE}  # weights and checkpoints; others: contents.LARGEST
MOST_MEMBERS = 100_000
WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
FAULTS = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, struct.error, ValueError,
          OverflowError, MemoryError, RecursionError)


@dataclass
class Copied:
    """What `copy_runs` could not take, by name, and what is to be said of it."""

    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def kind_of(path: Path) -> str:
    """The ending of a pack's name (.tar, .tar.gz, .tgz, .tar.xz, .txz); `UserError` for any other.

    Also refused: what is there and is no plain file, such as a folder or a device.
    """
    ending = next((ending for ending in KINDS if path.name.endswith(ending)), None)
    if ending is None:
        raise UserError(f"a pack is a tar: its name has to end in {', '.join(KINDS)}, not like {printable(path.name)}.")
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write a pack to {path}: it is not a plain file.")
    return ending


def pack(path: Path, entries: Iterable[tuple[str, Path]]) -> list[str]:
    """Write files into one tar, compressed as its name says; whole or not at all.

    Args:
        path: the tar to write.
        entries: pairs of a name `<run>/<file>` and the file.

    Returns:
        The runs left out because another process is just changing them.
    """
    runs: dict[str, list[tuple[str, Path]]] = {}
    left_out, listed = [], {}
    compressed = KINDS[kind_of(path)]
    for name, source in entries:
        runs.setdefault(name.partition("/")[0], []).append((name, source))
    with (files.replacing(path.resolve()) as temporary, open(temporary, "wb") as file, compressed(file) as stream,
          tarfile.open(fileobj=stream, mode="w") as tar):
        for run, members in runs.items():
            with ExitStack() as stack:
                try:  # once they are all open, they stay as they are, whatever another process does
                    opened = [(name, stack.enter_context(open(source, "rb"))) for name, source in members]
                except FileNotFoundError:
                    left_out.append(run)
                    continue
                for name, content in opened:
                    listed[name] = _add(tar, name, content)
        _add(tar, MANIFEST, BytesIO(json.dumps({"files": listed}, indent=1).encode()))
    return left_out


def _add(tar, name, content):
    """Add a file to a tar; returns its size and SHA-256."""
    entry = tarfile.TarInfo(name)  # made by hand: no user name, no times
    entry.size = content.seek(0, 2)
    content.seek(0)
    digest = hashlib.sha256()
    tar.addfile(entry, _Hashed(content, digest))
    return [entry.size, digest.hexdigest()]


class _Hashed:
    """A file whose content is hashed as it is read."""

    def __init__(self, file, digest):
        self.file, self.digest = file, digest

    def read(self, size):
        part = self.file.read(size)
        self.digest.update(part)
        return part


class _Bounded:
    """A file of which nothing reads more than four megabytes at once: a header may claim any size."""

    def __init__(self, file):
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size=-1):
        if not 0 <= size <= 4 * MEGABYTE:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._read(size)


def copy_runs(other: Path, into: Path, wanted: Callable[[str], bool]) -> Copied:
    """Copy the files of runs from a folder or a pack to the folder `into`.

    Only plain files named `<run>/<file>` are taken: no links, no absolute names, nothing outside the folder; of these,
    `wanted(name)` says which. What file managers leave lying about is passed over.

    Raises:
        UserError: if `other` is neither a folder nor a whole tar, or if a pack is not what its manifest says.
    """
    try:
        if other.is_dir():
            return _copy_folder(other, into, wanted)
        if not other.is_file():
            raise UserError(f"cannot read runs from {other}: there is no such folder or plain file.")
        return _copy_pack(other, into, wanted)
    except FAULTS as fault:
        raise UserError(f"cannot read runs from {other}: it is neither a run store nor a whole tar of one.") from fault
    except OSError as fault:
        if fault.errno is None:  # of gzip: the content, not the disk
            raise UserError(f"cannot read runs from {other}: it is no whole tar of a run store.") from fault
        if fault.errno in WRITING:  # then it is the store, whatever file Python names
            raise from_system(OSError(fault.errno, fault.strerror), into.parent) from fault
        raise from_system(fault, other) from fault


def _copy_folder(other, into, wanted):
    copied = Copied()
    for run in sorted(path for path in other.iterdir() if PLAIN.fullmatch(f"{path.name}/x")):
        if run.is_symlink() or not run.is_dir():
            copied.refused.append(run.name)
            continue
        try:
            for path in contents.in_order(list(run.iterdir())):
                name = f"{run.name}/{path.name}"
                if DESKTOP.fullmatch(path.name) or not wanted(name):
                    continue
                if path.is_symlink() or not path.is_file() or not _fits(name, path.stat().st_size):
                    copied.refused.append(printable(name))
                else:
                    (into / run.name).mkdir(exist_ok=True)
                    shutil.copyfile(path, into / name)
        except FileNotFoundError:
            shutil.rmtree(into / run.name, ignore_errors=True)
            copied.notes.append(f"{run.name}: another process is just changing it, left out.")
        except PermissionError as fault:
            shutil.rmtree(into / run.name, ignore_errors=True)
            copied.refused.append(run.name)
            copied.notes.append(str(from_system(fault, run)))
    return copied


def _fits(name, size):
    """Whether this is the name of a run's file, and not more than such a file holds."""
    return bool(PLAIN.fullmatch(name)) and 0 <= size <= LARGEST.get(Path(name).suffix, contents.LARGEST)


def _copy_pack(path, into, wanted):
    with _opened(path) as tar:
        members, listed, refused = _contents(tar)
        chosen = {name: member for name, member in members.items() if wanted(name)}
        space, needed = shutil.disk_usage(into).free, sum(member.size for member in chosen.values())
        if needed > space:
            raise UserError(f"{path} holds {needed / MEGABYTE:,.0f} MB, and {space / MEGABYTE:,.0f} MB are free for it.")
        for name, member in chosen.items():
            (into / name).parent.mkdir(exist_ok=True)
            digest = hashlib.sha256()
            with open(into / name, "wb") as file:
                content = _Hashed(tar.extractfile(member), digest)
                while part := content.read(MEGABYTE):
                    file.write(part)
            if listed is not None and digest.hexdigest() != listed[name][1]:
                raise tarfile.ReadError(f"{name} is not what the manifest says")
    old = "this pack does not say what it should hold: it was made by an older version, or by hand."
    return Copied(refused, [old] if listed is None else [])


def _contents(tar):
    """The files of runs in a tar {name: member}, what its manifest lists (None without one), and the names refused.

    All of it is looked at before anything is unpacked.
    """
    members, listed, refused = {}, None, []
    for member in _members(tar):
        name = FOLDERS.sub("", member.name)
        if member.isdir() or _passed_over(member.name):
            continue
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
        if plain and name == MANIFEST and listed is None and member.size <= contents.LARGEST:
            listed = _manifest(tar.extractfile(member))
        elif plain and name not in members and _fits(name, member.size):
            members[name] = member
        else:
            refused.append(printable(member.name))
    sizes = {name: member.size for name, member in members.items()}
    if listed is not None and sizes != {name: size for name, (size, _) in listed.items()}:
        raise tarfile.ReadError("it does not hold what its manifest says")
    return members, listed, refused


@contextmanager
def _opened(path):
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        decompress = next((opened for magic, opened in COMPRESSIONS if start.startswith(magic)), None)
        bounded: Any = _Bounded(decompress(file) if decompress else file)  # with as much of a file as reading takes
        yield tarfile.TarFile(fileobj=bounded)


def _members(tar):
    """The members of a tar, up to an end that is really there: a tar that was cut off has none."""
    words = 0  # in the headers, which tarfile keeps in memory
    for number, member in enumerate(tar, 1):
        words += len(member.name) + len(member.linkname) + sum(len(k) + len(v) for k, v in member.pax_headers.items())
        if number > MOST_MEMBERS or words > contents.LARGEST or not 0 <= member.size <= LARGEST[".safetensors"]:
            raise tarfile.ReadError("it claims more than a run store holds")
        yield member
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it was cut off")


def _passed_over(name):
    parts = name.split("/")
    return any(DESKTOP.fullmatch(part) or part.startswith(files.SCRATCH) for part in parts)


def _manifest(file):
    """What a manifest lists: {name: [size, SHA-256]}."""
    text = BytesIO()
    shutil.copyfileobj(file, text, MEGABYTE)
    listed = json.loads(text.getvalue())
    listed = listed.get("files") if isinstance(listed, dict) else None
    if not isinstance(listed, dict) or not all(isinstance(v, list) and len(v) == 2 for v in listed.values()):
        raise tarfile.ReadError("its manifest cannot be read")
    return listed
