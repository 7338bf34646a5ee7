"""Where a number came from: device, versions, source hash, commit, the data's checksum, when and how long."""

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]


def repository_root() -> Path | None:
    """The checkout this package lives in or, for an installed package, the one around the working folder; else None."""
    for folder in [PACKAGE.parent, Path.cwd(), *Path.cwd().parents]:
        if (folder / "book" / "profiles").is_dir():
            return folder
    return None


@lru_cache
def source_files() -> dict[str, str]:
    """Name -> sha256 (16 hexadecimal digits) of each file of the package that can change a number.

    These are the files of the wings that compute: method, data and training.
    """
    paths = sorted(path for wing in ("method", "data", "training") for path in (PACKAGE / wing).rglob("*.py"))
    return {path.relative_to(PACKAGE).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}


def source_hash() -> str:
    """One sha256 (16 hexadecimal digits) over all of `source_files()`."""
    lines = "".join(f"{name} {digest}\n" for name, digest in source_files().items())
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


@lru_cache
def git_commit() -> str | None:
    """The checkout's commit, with "-dirty" appended if files were changed since; None outside a checkout."""
    root = repository_root()
    if root is None or not (root / ".git").exists():
        return None
    here = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook's: another checkout
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=here)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def device_name(device: object) -> str:
    """The name of the GPU or the model of the CPU behind a torch device name."""
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(str(device))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of what computes: python, torch and, where torch was built with it, cuda."""
    import torch  # here: finding the checkout's root, which building pages needs, should not load it

    found = {"python": platform.python_version(), "torch": str(torch.__version__), "cuda": torch.version.cuda}
    return {name: version for name, version in found.items() if version}


def describe(device: str, data: Any) -> dict[str, Any]:
    """The provenance of a run starting now on `device` with the data set `data`: a dictionary for JSON.

    No path, host name or user name is in it: it is published with the book.
    """
    import torch

    from ..training.forms import PRECISION

    return {
        "device": device_name(device),
        "device_type": str(device).split(":")[0],
        "precision": PRECISION,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "source": source_hash(),
        "source_files": source_files(),
        "commit": git_commit(),
        "data": data.identity,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
