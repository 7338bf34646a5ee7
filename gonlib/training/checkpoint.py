"""Checkpoints: everything that the next step of a training depends on, in one safetensors file that proves itself."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .. import files
from ..errors import UserError


def write(path: Path, tensors: dict[str, Tensor], meta: dict) -> None:
    """Write a checkpoint so that after a crash the file is the old one or the new one, never a part.

    Args:
        path: where it is to be; the file there is replaced.
        tensors: by name, on any device.
        meta: further numbers, as JSON can hold them. Its SHA-256 with the tensors' is written too.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(meta)
    with files.replacing(path) as fresh:
        save_file(tensors, fresh, {"state": text, "sha256": digest(tensors, text)})


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and further numbers of a checkpoint; `UserError` naming the file if it is damaged or was altered."""
    with readable(path), safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        about = file.metadata()
        if digest(tensors, about["state"]) != about["sha256"]:
            raise ValueError("its SHA-256 is not that of what it holds")
        return tensors, json.loads(about["state"])


def digest(tensors: dict[str, Tensor], text: str) -> str:
    """SHA-256 over names, types, shapes and bytes of the tensors, and over a text."""
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


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
    with readable(path), safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["state"])
        return {"steps": meta["done"], "snapshots": bool(meta["snapshots"])}
