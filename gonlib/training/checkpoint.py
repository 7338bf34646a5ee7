"""Checkpoints: everything that the next step of a training depends on, in one safetensors file that proves itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from .. import files
from ..errors import UserError
from ..method import tensors as proven


def write(path: Path, tensors: dict[str, Tensor], meta: dict) -> None:
    """Write a checkpoint so that after a crash the file is the old one or the new one, never a part.

    Args:
        path: where it is to be; the file there is replaced.
        tensors: by name, on any device.
        meta: further numbers, as JSON can hold them.
    """
    proven.write(path, tensors, state=json.dumps(meta))


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and further numbers of a checkpoint; `UserError` naming the file if it is damaged or was altered."""
    with readable(path):
        tensors, texts = proven.read(path, proven=True)
        return tensors, json.loads(texts["state"])


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns whatever a damaged checkpoint raises into a `UserError` that names it."""
    try:
        files.plain(path)
        yield
    except UserError:
        raise
    except Exception as error:
        fault = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"checkpoint {path} cannot be read ({fault}); delete it to start this run again.") from error


def reached(path: Path) -> dict:
    """How far a checkpoint is, read without its tensors: `steps`, and whether it has `snapshots`."""
    with readable(path):
        meta = json.loads(proven.texts(path)["state"])
        return {"steps": int(meta["done"]), "snapshots": bool(meta["snapshots"])}
