"""Files that are never half-written, folders that one process holds alone, and what dead processes left is cleaned up."""

import errno
import functools
import hashlib
import json
import math
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from .errors import UserError, from_system

TEMPORARY, SCRATCH = ".tmp", ".new-"  # how a file and a folder are called until they are complete
OWNED = re.compile(r"([0-9a-f]{8})-(\d+)-")  # the process that makes one: its machine, its number
DAY = 24 * 3600


def given_path(text: str) -> Path:
    """The path that a user gave as text, with `~` for the home folder."""
    if not text:
        raise UserError("an empty path was given where a file or a folder is wanted.")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user: it is only a name
        return Path(text)


def plain(path: Path) -> Path:
    """`path`, if it is a plain file that can be opened.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is something else, such as a pipe, for which one would wait for ever.
        UserError: if it may not be read: then it is not for that damaged.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path} is not a plain file")
        open(path, "rb").close()
    except FileNotFoundError:
        raise
    except OSError as fault:
        raise from_system(fault, path) from fault
    return path


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary file beside `path`, to be written in the block, that then takes its place.

    After a crash `path` is the old file or the new one, never a part; if the block fails, the old one stays and the
    temporary file is removed. What a process that died left of an earlier attempt is removed first.

    Args:
        path: the file to write.
        durable: whether the content has to be on the disk before it takes the old one's place.
    """
    path = Path(path)
    _refuse_device(path)
    name = path.name[:180]  # a name may have 255 characters
    sweep(path.parent, f"{name}.")
    temporary = path.with_name(f"{name}.{_owner()}-{secrets.token_hex(3)}{TEMPORARY}")
    try:
        yield temporary
        if durable:
            _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_device(path: Path) -> None:
    """`UserError` if a device, pipe or socket is at `path`: a file would take its place."""
    with suppress(FileNotFoundError, NotADirectoryError):
        kind = path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISLNK(kind) or stat.S_ISDIR(kind)):
            raise UserError(f"cannot write to {path}: it is not a plain file.")


def write(path: Path, content: bytes) -> None:
    """Write bytes so that after a crash the file is the old one or the new one, never a part."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    """Write a dictionary as strict JSON; NaN and infinities, which JSON lacks, become null."""
    write(path, (json.dumps(_finite(value), indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def place(folder: Path, target: Path) -> bool:
    """Rename a complete folder to its final name, durably; False if the target is already there."""
    _sync(folder)
    try:
        os.rename(folder, target)
    except OSError as fault:
        if fault.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    _sync(target.parent)
    return True


def _sync(path):
    """Have the disk hold what was written to a file or folder."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A temporary folder inside `root`, so that a rename out of it is atomic; removed afterwards."""
    root.mkdir(parents=True, exist_ok=True)
    sweep(root, SCRATCH)
    folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{_owner()}-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is one that is still being made, or that a dead process left."""
    return name.endswith((TEMPORARY, ".new", ".part")) or name.startswith((SCRATCH, ".tmp"))


def sweep(folder: Path, beginning: str = "") -> None:
    """Remove temporary files and folders in `folder` whose names begin so, if the process that made them is dead.

    Of a process on another machine, or of an older version, this is not known: theirs go when they are a day old.
    """
    with suppress(OSError):  # what may not be seen or removed stays
        for name in os.listdir(folder):
            if name.startswith(beginning) and is_temporary(name) and _abandoned(folder / name):
                if (folder / name).is_dir() and not (folder / name).is_symlink():
                    shutil.rmtree(folder / name, ignore_errors=True)
                else:
                    (folder / name).unlink(missing_ok=True)


def _abandoned(path):
    found = OWNED.search(path.name)
    if found and found[1] == _machine():
        return not _alive(int(found[2]))
    try:
        return time.time() - path.lstat().st_mtime > DAY
    except FileNotFoundError:
        return False


def _alive(process):
    if os.name == "nt":  # there a signal of 0 would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _owner():
    return f"{_machine()}-{os.getpid()}"


@functools.cache
def _machine():
    """Eight digits for this machine and container: only within one do process numbers mean anything."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


@contextmanager
def locked(folder: Path, waiting: Callable[[], None]) -> Iterator[Path]:
    """`folder`, made if need be and held by this process alone until the end of the block or of the process.

    While another process holds it, `waiting()` is called now and then and may raise. The lock is the file `lock` in the
    folder, removed at the end, and so is a folder that is still empty then. What dead processes left there is removed.
    """
    path, told = folder / "lock", False
    while True:
        try:
            lock = _acquire(path)
        except filelock.Timeout:
            waiting()
            if not told:
                print(f"waiting for another process that works in {folder}", file=sys.stderr, flush=True)
            told = True
            time.sleep(0.1)
            continue
        if lock is not None:
            break
    try:
        mine = path.lstat()
        sweep(folder)
        for left in folder.glob(".tmp??????"):  # what safetensors calls a file while it writes it
            left.unlink(missing_ok=True)
        yield folder
    finally:
        with suppress(OSError):
            if os.path.samestat(mine, path.lstat()):  # else the folder was moved, and another is in its place
                path.unlink()
                folder.rmdir()
        lock.release()


class Busy(Exception):
    """Another process holds the folder."""


def busy() -> None:
    """For `locked`: do not wait, but raise `Busy`."""
    raise Busy


def tidy(folder: Path) -> None:
    """Remove what a dead process left in a folder that it held; where a living one holds it, or nobody did, nothing."""
    if (folder / "lock").is_file():
        with suppress(Busy, OSError), locked(folder, busy):
            pass


def _acquire(path):
    """The lock at `path`, taken; None if its folder was moved away meanwhile. `filelock.Timeout` if another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, timeout=0)
    try:
        with suppress(FileExistsError):
            open(path, "x").close()
        before = path.lstat()
        lock.acquire()
        # The holder moves a finished folder away: what we waited for may be the lock of a folder that is gone.
        if os.path.samestat(before, path.lstat()):
            return lock
    except FileNotFoundError:
        pass
    except OSError as fault:
        fault.filename = fault.filename or str(path)
        raise
    lock.release()
    return None


@contextmanager
def disk_space(root: Path) -> Iterator[None]:
    """Turns what the system says of the files of `root` (full, read-only, denied ...) into a `UserError`."""
    try:
        yield
    except OSError as fault:
        raise from_system(fault, root) from fault
