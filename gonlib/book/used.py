"""What an executed notebook has used, and what of that has changed since: only then is it executed again.

The kernel notes what it reads (`kernel.note_reads`); the executed notebook carries the list, with a digest of each file, in
its metadata.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path

from ..data.datasets import data_root
from ..runs.store import local_store
from .kernel import PACKAGE, stat
from .notebooks import Notebook, source_digest

# They decide what a page shows beside gonlib itself.
LIBRARIES = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "matplotlib", "seaborn", "ipykernel", "papermill")
UNKNOWN = "unknown"  # in place of a digest: the file changed after it was read
PASSING = (".partial", ".tmp", ".new", ".lock", "lock")  # files that come and go while a run is trained


def record(reads: Path, root: Path) -> dict:
    """What a notebook that was executed just now has used, as a dictionary for JSON.

    Args:
        reads: The file that its kernel wrote, see `note_reads`.
        root: The repository's root.
    """
    noted, places = {}, [str(root / "book"), str(PACKAGE), str(data_root().absolute())]
    for line in reads.read_text(encoding="utf-8").splitlines():
        path, size, time, asked = json.loads(line)
        noted[path] = size, time
        if asked:
            places.append(path)
    files = {}
    for path, (size, time) in sorted(noted.items()):
        if path.startswith(tuple(places)) and not any(part.endswith(PASSING) for part in Path(path).parts):
            same = stat(path) == (size, time)
            files[_short(path, root)] = [size, time, _digest(path, size, time) if same else UNKNOWN]
    return {"made with": _made_with(), "files": files}


def changes(notebook: Notebook, about: dict, root: Path) -> list[str]:
    """What has changed since a notebook was executed, in words; an empty list if nothing has.

    Args:
        notebook: The notebook, with the values that it would be executed with now.
        about: What the executed one says of itself; empty if there is none.
        root: The repository's root.
    """
    if not about.get("used"):
        return ["it was not executed in this build folder yet"]
    if about.get("fault"):
        return [f"its last execution failed ({about['fault']})"]
    found = [] if about["source"] == source_digest(notebook.path) else ["its text has changed"]
    found += _differences("parameter ", about["values"], notebook.values)
    found += _differences("", about["used"]["made with"], _made_with())
    return found + [sentence for path, state in about["used"]["files"].items() if (sentence := _change(path, state, root))]


def _differences(kind: str, then: dict, now: dict) -> list[str]:
    return [f"{kind}{name} was {then.get(name)!r}, is {now.get(name)!r}" for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)]


def _change(short: str, then: list, root: Path) -> str | None:
    """In words, what became of a file since it was read; None if it is as it was."""
    path, (size, time, digest) = str(root / short), then
    now = stat(path)
    name = f"run {Path(short).parent.name}" if Path(short).name == "metrics.json" else short
    if digest == UNKNOWN:
        return f"{name} changed while the notebook was executed"
    if (now == (size, time) and not os.path.isdir(path)) or _digest(path, *now) == digest:
        return None
    return f"{name} is {'there now' if size is None else 'gone' if now[0] is None else 'another now'}"


def _short(path: str, root: Path) -> str:
    return os.path.relpath(path, root) if path.startswith(f"{root}{os.sep}") else path


def _digest(path: str, size: int | None, time: int | None) -> str | None:
    """A digest of a file's content, or of the names of all files in a folder; None if there is nothing."""
    if not os.path.isdir(path):
        return _content_digest(path, size, time)
    names = [os.path.join(folder, name) for folder, _, found in os.walk(path) for name in found]
    return hashlib.sha256("\0".join(sorted(names)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


@functools.cache
def _content_digest(path: str, size: int | None, time: int | None) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return None


@functools.lru_cache
def _made_with() -> dict[str, str]:
    """Versions, and the folders of runs and data: with others, a page may show something else."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return versions | {"Python": platform.python_version(), "run store": str(local_store().root.absolute()),
                       "data root": str(data_root().absolute())}
