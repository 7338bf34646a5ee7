"""Where data lie, and what went wrong there in words."""

import os
import stat
from pathlib import Path
from typing import TypeGuard

from ..errors import UserError, printable


def data_root() -> Path:
    """Where data sets are kept: $GONLIB_DATA, else data/ in the checkout (or in the working folder)."""
    checkout = Path(__file__).resolve().parents[2]
    default = checkout / "data" if (checkout / "pyproject.toml").is_file() else Path("data")
    return user_path(os.environ.get("GONLIB_DATA") or default)


def user_path(path: str | Path) -> Path:
    """A path as a user writes it, with ~ for his home, made absolute."""
    try:
        return Path(path).expanduser().absolute()
    except (RuntimeError, OSError) as fault:  # no home, or the working folder is gone
        raise UserError(f"{printable(path)} cannot be made an absolute path ({fault}); write it in full.") from fault


def prepared_path(name: str, root: Path | None = None) -> Path:
    """Where the prepared file of an official set or a variant lies."""
    return (root or data_root()) / "prepared" / f"{name}.npz"


def described(fault: BaseException) -> str:
    """A fault as part of a sentence: one line, not too long, never empty."""
    text = str(fault)
    if unreadable(fault):
        text = f"{fault.strerror}: {printable(fault.filename)}" if fault.filename else str(fault.strerror)
    text = " ".join(text.split()).rstrip(".")
    return (text if len(text) <= 300 else text[:300] + " ...") or type(fault).__name__


def unreadable(fault: BaseException) -> TypeGuard[OSError]:
    """Whether a fault came from the file system, not from what a file holds, nor from a network."""
    if not isinstance(fault, OSError) or isinstance(fault, ConnectionError | TimeoutError):
        return False
    return isinstance(fault.errno, int) and fault.errno > 0 and bool(fault.strerror)


def exists(path: Path) -> bool:
    """Whether something is there; `UserError` if that cannot be found out."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as fault:
        raise UserError(f"{printable(path)} cannot be looked for ({described(fault)}); set GONLIB_DATA to a folder that "
                        "you may read.") from fault
    return True


def stamp(path: Path) -> tuple[int, int]:
    """When a file was last changed (ns) and its size (bytes); together they change whenever the file does.

    Raises:
        UserError: if it is no regular file, or cannot be looked at.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as fault:
        raise UserError(f"{printable(path)} cannot be read ({described(fault)}); see that it is there and that you may "
                        "read it.") from fault
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{printable(path)} is not a file; put a file in its place.")
    return found.st_mtime_ns, found.st_size
