"""What a user is told: every foreseen fault is a `UserError`, one sentence naming what is wrong and what to do."""

import difflib
import errno
import os
from collections.abc import Collection

FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM)
SENTENCES = {
    errno.ENOENT: "there is no file or folder {path}.",
    errno.EEXIST: "{path} is already there.",
    errno.ENOTDIR: "{path} cannot be used: a part of this path is a file where a folder should be.",
    errno.EISDIR: "{path} is a folder where a file should be.",
    errno.ELOOP: "{path} cannot be used: it is a link, and links are not followed here.",
    errno.ENAMETOOLONG: "the name {path} is too long for this file system; choose a shorter one.",
    errno.EFBIG: "{path} would become larger than a file may be here: see `ulimit -f`, your quota and the file system.",
    errno.EROFS: "{path} is on a disk that cannot be written to; choose another folder.",
    errno.ENOLCK: "the file system of {path} does not support locks (some network drives do not); choose a folder on "
                  "another disk, for runs by GONLIB_STORE.",
}


MOST_NAMES = 50  # that a sentence lists


class UserError(Exception):
    """Bad input: one clear sentence naming what is wrong and what to do (the command line exits with 2)."""


def unknown(kind: str, name: object, known: Collection[str]) -> UserError:
    """The error for an unknown `name` of some `kind`, with the nearest `known` names suggested."""
    near = difflib.get_close_matches(str(name)[:100], list(known), n=3, cutoff=0.4)
    names, left = sorted(known)[:MOST_NAMES], len(known) - MOST_NAMES
    more = f" and {left} more" if left > 0 else ""
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}{more}."
    return UserError(f"unknown {kind} {shortened(repr(name))}; {hint}")


def from_system(fault: OSError, place: object) -> UserError:
    """The `UserError` for an `OSError`: which file or folder (else `place`), what is wrong, what to do."""
    path, code = fault.filename or place, fault.errno
    if code in FULL:
        return UserError(f"no space is left on the disk of {place}; finished runs are kept: free some space and start "
                         "again, unfinished ones go on from their checkpoints.")
    if code in DENIED:
        return UserError(f"{path} cannot be read or written: permission denied; change its permissions, or choose "
                         "another folder.")
    if code in SENTENCES:
        return UserError(SENTENCES[code].format(path=shortened(str(path))))
    what = os.strerror(code) if code else str(fault) or type(fault).__name__
    return UserError(f"{path} cannot be read or written: {what}.")


def duration(seconds: float) -> str:
    """Seconds in words: 12 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def shortened(text: str, longest: int = 200) -> str:
    """A text that is at most about `longest` characters, its middle left out if need be."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]} ... ({len(text):,} characters) ... {text[-longest // 4 :]}"


def printable(name: object) -> str:
    """A name or path from elsewhere as it can be printed anywhere: no character but printable ones and escapes."""
    text = str(name)
    return shortened(text if text.isprintable() else ascii(text)[1:-1])
