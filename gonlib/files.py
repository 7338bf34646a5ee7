"""Files that are never half-written: atomic writing, locks that end with their process, safe unpacking of tars."""

import errno
import fcntl
import json
import lzma
import math
import os
import re
import shutil
import tarfile
import tempfile
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .errors import UserError

PLAIN = re.compile(r"[0-9a-f]{16}(\.partial)?/\w[\w.-]*")  # a file of a run: the only names taken from elsewhere


def write(path, content):
    """Write bytes so that after a crash the file is the old one or the new one, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_json(path, value):
    """Write a dictionary as strict JSON; NaN and infinities, which JSON lacks, become null."""
    write(path, (json.dumps(_finite(value), indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def place(folder, target):
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


def _sync(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder, waiting):
    """`folder`, made if need be and held by this process alone until the end of the block or of the process.

    While another process holds it, `waiting()` is called now and then and may raise.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = open(folder / "lock", "w")  # noqa: SIM115
        except FileNotFoundError:  # the holder finished and moved the folder away just now
            continue
        with lock:
            while not _try_lock(lock):
                waiting()
                time.sleep(0.1)
            # Where the holder moved the folder away while we waited, our lock is one of a folder that is gone.
            if (folder / "lock").exists() and os.path.samestat(os.fstat(lock.fileno()), os.stat(folder / "lock")):
                yield folder
                return


def _try_lock(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def disk_space(root):
    """Turns a full or read-only disk into a `UserError`."""
    try:
        yield
    except (OSError, SafetensorError) as fault:
        code = getattr(fault, "errno", None)
        if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(fault):
            raise UserError(f"no space is left on the disk of {root}; finished runs are kept: free some space and "
                            "start again, unfinished ones go on from their checkpoints.") from fault
        if code in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(f"cannot write {fault.filename or root}: {os.strerror(code)}.") from fault
        raise


@contextmanager
def scratch(root):
    """A temporary folder inside `root`, so that a rename out of it is atomic; removed afterwards."""
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_runs(other, into, wanted):
    """Copy the wanted files of runs from a folder or a tar to the folder `into`; returns the names refused.

    Only plain files named `<hash>/<file>` are taken: no links, no absolute names, nothing outside the folder;
    of these, `wanted(name)` says which.
    """
    if other.is_dir():
        return _copy_folder(other, into, wanted)
    try:
        with tarfile.open(other) as tar:
            return _copy_tar(tar, into, wanted)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, FileNotFoundError, PermissionError) as fault:
        raise UserError(f"cannot read runs from {other}: it is neither a run store nor a whole tar of one.") from fault


def _copy_folder(other, into, wanted):
    refused = []
    for run in sorted(path for path in other.iterdir() if PLAIN.fullmatch(f"{path.name}/x")):
        if run.is_symlink() or not run.is_dir():
            refused.append(run.name)
            continue
        for path in sorted(run.iterdir()):
            name = f"{run.name}/{path.name}"
            if path.is_symlink() or not path.is_file() or not PLAIN.fullmatch(name):
                refused.append(name)
            elif wanted(name):
                (into / run.name).mkdir(exist_ok=True)
                shutil.copyfile(path, into / name)
    return refused


def _copy_tar(tar, into, wanted):
    refused = []
    for member in tar:
        if member.isdir() and PLAIN.fullmatch(f"{member.name}/x"):
            continue
        if not member.isreg() or not PLAIN.fullmatch(member.name) or (into / member.name).exists():
            refused.append(member.name)
        elif wanted(member.name):
            (into / member.name).parent.mkdir(exist_ok=True)
            with open(into / member.name, "wb") as file:
                shutil.copyfileobj(tar.extractfile(member), file)
    return refused


def pack(path, files):
    """Write (name, path) pairs into one tar, xz-compressed if `path` ends in .xz; whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with tarfile.open(temporary, "w:xz" if path.suffix == ".xz" else "w") as tar:
        for name, source in files:
            entry = tarfile.TarInfo(name)  # made by hand: no user name, no times
            entry.size = source.stat().st_size
            with open(source, "rb") as content:
                tar.addfile(entry, content)
    os.replace(temporary, path)
