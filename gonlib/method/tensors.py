"""Tensors in a safetensors file that proves itself: beside them stands the SHA-256 of all that it holds."""

import hashlib
import os
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, uint8

from .. import files

SHA = "sha256"


def write(path: Path, tensors: dict[str, Tensor], **texts: str) -> None:
    """Write tensors, by name and on any device, and some texts; after a crash the file is the old one or the new one."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with files.replacing(path) as fresh:
        try:
            save_file(tensors, fresh, texts | {SHA: digest(tensors, texts)})
        except SafetensorError as fault:
            if not (code := re.search(r"os error (\d+)", str(fault))):  # its text holds what the system said
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from fault


def read(path: Path, proven: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and texts of a file.

    Args:
        path: the file.
        proven: whether the SHA-256 has to be there. Files of older versions have none, and are read without.

    Raises:
        ValueError: if it was altered. What is no such file at all raises whatever safetensors does.
    """
    with safe_open(files.plain(path), "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        texts = dict(file.metadata() or {})
    said = texts.pop(SHA, None)
    if (proven or said is not None) and said != digest(tensors, texts):
        raise ValueError("its SHA-256 is not that of what it holds")
    return tensors, texts


def texts(path: Path) -> dict[str, str]:
    """The texts of a file, read without its tensors, and so unproven."""
    with safe_open(files.plain(path), "pt") as file:
        return dict(file.metadata() or {})


def digest(tensors: dict[str, Tensor], texts: dict[str, str]) -> str:
    """SHA-256 over the texts, and over names, types, shapes and bytes of the tensors."""
    total = hashlib.sha256("".join(texts[name] for name in sorted(texts)).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(tensor.reshape(-1).view(uint8).numpy().data)
    return total.hexdigest()
