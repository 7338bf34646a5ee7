"""A finished run as read from its folder, and the device it may be loaded on."""

import json
from functools import cached_property
from pathlib import Path

import pandas as pd
import safetensors.torch
import torch
from safetensors import SafetensorError

from ..errors import UserError
from ..method import models
from ..training.config import Config
from .progress import title

CHECKPOINT, WEIGHTS, SNAPSHOTS = "checkpoint.safetensors", "weights.safetensors", "snapshots.safetensors"


def check_device(device):
    """`device` if it is cpu, cuda or cuda:N and there; otherwise `UserError`: never a fallback."""
    kind, _, number = str(device).partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdigit())):
        raise UserError(f"unknown device {str(device)!r}; known: cpu, cuda, cuda:N.")
    count = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if kind == "cuda" and not count:
        raise UserError("no CUDA device is available; nothing falls back to the CPU: use --device cpu to run there.")
    if kind == "cuda" and int(number or 0) >= count:
        raise UserError(f"no CUDA device number {number}; there are {count}, counted from 0.")
    return str(device)


class Run:
    """A finished run read from its folder; raises `UserError` if the folder is damaged.

    `status` is "done" or "failed" (then `message` says why, and the rest is the last good state).
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.config = read_config(self.folder)
        self.metrics = read_json(self.folder, "metrics.json")
        self.provenance = read_json(self.folder, "provenance.json")
        self.status, self.message = self.metrics.get("status"), self.metrics.get("message", "")
        if self.status not in ("done", "failed") or not (self.folder / "history.csv").is_file():
            raise damaged(self.folder)

    hash = property(lambda self: self.config.hash)
    has_weights = property(lambda self: (self.folder / WEIGHTS).is_file())

    @cached_property
    def history(self):
        """One row per epoch: epoch, step, seconds, train_error, test_error, ... (a DataFrame)."""
        return self._table("history.csv")

    def load_model(self, device="cpu"):
        """The trained model with its weights, ready for use: in evaluation, each image encoded alone where it can be."""
        if not self.has_weights:
            raise UserError(f"run {self.hash} was stored without its weights: delete {self.folder} and run it again, "
                            "or merge a store that has them.")
        model = models.build(self.config, self.metrics["channels"], classes=self.metrics.get("classes", 0))
        try:
            model.load_stored(self._tensors(WEIGHTS))
        except ValueError as fault:
            raise damaged(self.folder) from fault
        return model.to(check_device(device)).ready()

    @property
    def snapshots(self):
        """Reconstructions kept while training, (S, 16, C, H, W) uint8, and their steps, seconds, errors; or None."""
        if not (self.folder / SNAPSHOTS).is_file():
            return None
        return self._tensors(SNAPSHOTS)["snapshots"], self._table("snapshots.csv")

    def summary(self):
        """One line for captions: data, length of training, device, version, date."""
        made = self.provenance
        return (f"{self.config.dataset}, {self.metrics.get('steps', 0):,} steps in "
                f"{self.metrics.get('seconds', 0):.0f} s on {made['device']}, torch {made['versions']['torch']}, "
                f"{made['started'][:10]}")

    def same_result(self, other):
        """Whether two runs of one config have the same numbers, times apart."""
        mine, theirs = ({k: v for k, v in run.metrics.items() if "seconds" not in k} for run in (self, other))
        history, others = (run.history.filter(regex="^(?!.*seconds)") for run in (self, other))
        return mine == theirs and history.equals(others)

    def _tensors(self, name):
        try:
            return safetensors.torch.load_file(self.folder / name)
        except (OSError, SafetensorError) as fault:
            raise damaged(self.folder) from fault

    def _table(self, name):
        try:
            return pd.read_csv(self.folder / name)
        except pd.errors.EmptyDataError:  # it failed before the end of the first epoch
            return pd.DataFrame()
        except (OSError, ValueError) as fault:
            raise damaged(self.folder) from fault

    def __repr__(self):
        return f"<run {self.hash}, {self.status}: {title(self.config)}>"


def read_config(folder):
    """The config of a run's folder, whose name is its hash."""
    try:
        config = Config.from_dict(read_json(folder, "config.json"))
    except UserError as fault:
        raise damaged(folder) from fault
    if config.hash != folder.name[:16]:
        raise damaged(folder)
    return config


def read_json(folder, name):
    try:
        found = json.loads((folder / name).read_text())
    except (OSError, ValueError) as fault:
        raise damaged(folder) from fault
    if not isinstance(found, dict):
        raise damaged(folder)
    return found


def damaged(folder):
    return UserError(f"the run in {folder} is damaged: delete that folder and run it again.")
