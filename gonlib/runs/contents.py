"""What a run's folder holds, read and checked in this one place: a stranger's or a damaged file is a sentence, or no run.

Each reader gives what the others may rely on without looking again: types, finite numbers, plain files. A run whose folder
cannot be read raises `Unreadable`, which says whether that folder is damaged.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from .. import files
from ..errors import UserError
from ..method import tensors
from ..method.normalisation import MODES
from ..training.config import Config

CHECKPOINT, SNAPSHOTS = "checkpoint.safetensors", "snapshots.safetensors"
KEPT = "kept.json"  # what was computed of the run's weights, by which function, from which source and data
LARGEST = 64 * 2**20  # bytes of a text or table
PLAIN = re.compile(r"\w[\w.-]{0,200}", re.ASCII)  # the name of a run's file


class Unreadable(UserError):
    """A run's folder cannot be read: it is damaged, or closed to this user. Only that run is lost."""


def damaged(folder: Path, why: str = "") -> Unreadable:
    """What is said of a run whose folder holds something else than a run."""
    return Unreadable(f"the run in {folder} is damaged: delete that folder and run it again{f' ({why})' if why else ''}.")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns whatever is wrong with a run's file into `Unreadable`."""
    try:
        if files.plain(path).stat().st_size > (math.inf if path.suffix == ".safetensors" else LARGEST):
            raise ValueError("too large")
        yield
    except Unreadable:
        raise
    except UserError as fault:  # of the system, which refused
        raise Unreadable(str(fault)) from fault
    except Exception as fault:  # readers of broken files raise all kinds
        why = next(iter(str(fault).splitlines()), "") or type(fault).__name__
        raise damaged(path.parent, f"{path.name}: {why}") from fault


def in_order(names: list[Path]) -> list[Path]:
    """A run's files in the order in which to read them while another process may write: metrics.json first."""
    return sorted(names, key=lambda path: (path.name != "metrics.json", path.name))


# --- what JSON holds


def whole(least: int = 0) -> Callable[[Any], bool]:
    """A check for whole numbers."""
    return lambda value: type(value) is int and least <= value <= 2**53


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 10_000


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


METRICS = {"status": lambda value: value in ("done", "failed"), "epochs": whole(), "steps": whole(), "images": whole(1),
           "channels": lambda value: value in (1, 3) and whole()(value), "parameters": whole(1), "seconds": _number}
METRICS_TOO = {"classes": whole(1), "reconstruct_seconds": _number, "message": _text, "recorded": whole()}
STRETCH = {"from": whole(), "to": whole(), "device": _text, "device_type": _text, "form": _text, "at_once": whole(1),
           "wall_seconds": _number, "numerics": whole(), "source": _text, "started": _text, "versions": _texts,
           "source_files": _texts}
STRETCH_TOO = {"commit": lambda value: value is None or _text(value), "precision": _text, "threads": whole(),
               "cores": lambda value: value is None or whole()(value)}
DATA = {"name": _text, "checksum": _text}
DATA_TOO = {"title": _text, "source": _text, "complete": lambda value: isinstance(value, bool)}
RECORD = {"files": lambda value: isinstance(value, list) and all(_text(name) and PLAIN.fullmatch(name) for name in value),
          "source": _text, "data": _text}


def _check(values: Any, needed: dict, optional: dict, what: str = "it") -> None:
    """ValueError unless `values` is a dictionary with all that is needed, each as its check says."""
    if not isinstance(values, dict):
        raise ValueError(f"{what} is not a dictionary")
    for name, check in (needed | optional).items():
        if name in values or name in needed:
            if name not in values:
                raise ValueError(f"{name} is missing")
            if not check(values[name]):
                raise ValueError(f"{name} is not what it should be")


def _known(values: dict, checks: dict) -> dict:
    """What has been checked of a dictionary: what a later version, or a stranger, has added goes no further."""
    return {name: value for name, value in values.items() if name in checks}


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A dictionary that a run's folder holds as JSON."""
    with readable(folder / name):
        found = json.loads((folder / name).read_text(encoding="utf-8"))
        _check(found, {}, {})
        return found


def read_config(folder: Path) -> Config:
    """The trajectory of a run's folder, whose name is its hash."""
    if is_old(folder):
        raise UserError(f"the run in {folder} is of an older version of gonlib: python -m gonlib migrate {folder.parent} "
                        "brings all runs there to today's form.")
    values = read_json(folder, "config.json")
    try:
        config = Config.from_dict(values)
    except UserError as fault:
        raise damaged(folder, f"config.json: {fault}".rstrip(".")) from fault
    if config.hash != folder.name or config != config.trajectory:
        raise damaged(folder, "config.json: it is that of another run")
    return config


def is_old(folder: Path) -> bool:
    """Whether a run is of the layout before runs grew, for which there is runs/migration.py."""
    made = folder / "provenance.json"
    return made.is_file() and (folder / "config.json").is_file() and "stretches" not in read_json(folder, made.name)


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json: the numbers at the furthest point, and facts of the model."""
    found = read_json(folder, "metrics.json")
    with readable(folder / "metrics.json"):
        numbers = {name: lambda value: value is None or _number(value) for name in found
                   if name.startswith(("train_", "test_"))}
        _check(found, METRICS, METRICS_TOO | numbers)
    return _known(found, METRICS | METRICS_TOO | numbers)


def read_provenance(folder: Path) -> dict[str, Any]:
    """provenance.json: the data, and for each stretch of the training where it was made."""
    found = read_json(folder, "provenance.json")
    with readable(folder / "provenance.json"):
        _check(found.get("data"), DATA, DATA_TOO, "data")
        if not isinstance(found.get("stretches"), list) or not found["stretches"]:
            raise ValueError("it has no stretches")
        for stretch in found["stretches"]:
            _check(stretch, STRETCH, STRETCH_TOO, "a stretch")
            if "torch" not in stretch["versions"]:
                raise ValueError("torch is missing")
        if found["stretches"][0]["from"]:
            raise ValueError("its first stretch is not from the beginning")
    return {"data": _known(found["data"], DATA | DATA_TOO),
            "stretches": [_known(stretch, STRETCH | STRETCH_TOO) for stretch in found["stretches"]]}


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """kept.json: what was kept beside the run; what cannot be read of it counts as not kept, and is made again."""
    try:
        found = read_json(folder, KEPT)
    except UserError:
        return {}
    known = {}
    for name, record in found.items():
        try:
            _check(record, RECORD, {})
        except ValueError:
            continue
        known[name] = record
    return known


# --- tables and tensors

NEEDED = {"history.csv": ("epoch", "step", "seconds", "train_loss"), "snapshots.csv": ("step", "seconds", "test_error"),
          "measured.csv": ("epoch", "step", "evaluation", "free_steps")}


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """history.csv, measured.csv or snapshots.csv: numbers are finite or missing, steps in order (but in the second)."""
    path = folder / name
    with readable(path):
        if not path.stat().st_size:  # a table without rows has the end of a line
            raise ValueError("it is empty")
        try:
            table = pd.read_csv(path)
        except pd.errors.EmptyDataError:  # the run ended before its first epoch did
            return pd.DataFrame()
        if missing := [column for column in NEEDED[name] if column not in table]:
            raise ValueError(f"it has no column {missing[0]}")
        table = table[[column for column in table.columns if _is_column(column)]]
        for column in table.columns:
            _check_column(column, table[column])
        if name != "measured.csv" and not table.step.is_monotonic_increasing:
            raise ValueError("its steps are not in order")
        return table


def _is_column(name: str) -> bool:
    """Whether a column of a run's table has a meaning; others, of a later version or a stranger's, go no further."""
    return name in ("epoch", "step", "evaluation", "free_steps", "seconds", "mean_image_error") or name.startswith(
        ("train_", "test_"))


def _check_column(name: str, column: pd.Series) -> None:
    if name == "evaluation":
        right = column.isin(MODES).all()
    elif name in ("epoch", "step", "free_steps"):
        right = column.dtype.kind == "i" and (column >= 0).all()
    else:
        right = column.dtype.kind in "if" and not np.isinf(column.to_numpy(dtype=float)).any()
    if not right:
        raise ValueError(f"its column {name} is not what it should be")


# What pages need of the tables that experiments keep beside their runs; of others nothing is known.
KEPT_NEEDED = {
    "best-linear": ("error",), "ceiling": ("ceiling", "linear"), "detail": ("method", "frequency", "correlation", "size"),
    "diversity": ("spread", "novelty", "variety"), "histogram": ("left", "latents", "random projections"),
    "latent-noise": ("fraction", "variance", "predicted", "error", "full_error"), "mean-image": ("error",),
    "normality": ("mean", "sd", "skewness", "excess", "p", "departure", "kind"), "points": ("z1", "z2", "label", "named"),
    "scores": ("method", "psnr", "size", "images"), "shapes": ("samples", "test images", "normal pixels"),
    "smoothness": ("path", "change", "pairs", "monotone", "largest_jump", "off_path"),
    "steps": ("steps", "error", "moved"), "yardsticks": ("pca_error", "numbers"),
}
KEPT_TEXTS = ("method", "kind", "path", "change")


def read_kept(path: Path, name: str) -> pd.DataFrame:
    """A table that was kept under a `name`: it has the columns that pages need, with numbers, or short texts, in them."""
    with readable(path):
        table = pd.read_csv(path, index_col=0)
        if table.empty and name in KEPT_NEEDED:
            raise ValueError("it has no rows")
        for column in KEPT_NEEDED.get(name, ()):
            if column not in table:
                raise ValueError(f"it has no column {column}")
            right = table[column].map(_text).all() if column in KEPT_TEXTS else table[column].dtype.kind in "iuf"
            if not right:
                raise ValueError(f"its column {column} is not what it should be")
        return table


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Weights or pictures. Where they have a SHA-256, as all do that are written today, it is compared."""
    with readable(folder / name):
        return tensors.read(folder / name)[0]
