"""A run as read from its folder: a trajectory as far as it has been trained, seen at the point that is asked for."""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..errors import UserError
from ..method.model import Model
from ..method.models import build
from ..training import loop
from ..training.config import Config
from ..training.forms import check_device
from ..training.snapshots import next_point
from .contents import (
    SNAPSHOTS,
    Unreadable,
    damaged,
    read_config,
    read_metrics,
    read_provenance,
    read_table,
    read_tensors,
)
from .progress import title

USUAL = Config().look  # how the history is measured
FACTS = ("channels", "classes", "images", "parameters", "reconstruct_seconds")


class Point(NamedTuple):
    """How far a training is: epochs (one that has begun counts) and optimiser steps."""

    epochs: int
    steps: int


class Run:
    """A run read from its folder; raises `UserError` if the folder is damaged.

    The folder holds a trajectory as far as it has been trained. The run shows it at the point that `config` asks for
    and measured as `config` says; without a config, at its furthest point.

    Attributes:
        config: what is asked for.
        asked: the point where that ends.
        reached: the furthest point that has numbers.
        stretches: where they came from: for each stretch of the training its device, versions, source, ...
        data: name and checksum of the data set.
        end: the numbers at the furthest point and facts of the model, as stored.
    """

    def __init__(self, folder: Path, config: Config | None = None):
        self.folder = Path(folder)
        self.trajectory = read_config(self.folder)
        self.end = read_metrics(self.folder)
        made = read_provenance(self.folder)
        if not (self.folder / "history.csv").exists():
            raise damaged(self.folder, "it has no history.csv")
        self.reached = Point(self.end["epochs"], self.end["steps"])
        self.stretches: list[dict] = [s for s in made["stretches"] if s["from"] < max(self.reached.steps, 1)]
        self.data: dict[str, Any] = made["data"]
        self.config = config or self._furthest()
        self.asked = Point(*self.config.end(self.end["images"]))
        self.provenance: dict = {"data": self.data} | self.stretches[-1]

    def _furthest(self) -> Config:
        epochs, steps = max(self.reached.epochs, 1), self.reached.steps
        whole = self.trajectory.replace(epochs=epochs)
        return whole if whole.end(self.end["images"])[1] == steps else whole.replace(steps=steps)

    # --- how far
    @cached_property
    def hash(self) -> str:
        """The run's name."""
        return self.trajectory.hash

    @cached_property
    def status(self) -> str:
        """"done"; "failed" if the loss became NaN before the asked point; "growing" if something asked is missing."""
        if self.asked.steps > self.reached.steps:
            return "failed" if self.failed else "growing"
        return "growing" if self.missing else "done"

    @property
    def failed(self) -> bool:
        """Whether the run cannot go on from its furthest point, because its loss became NaN."""
        return self.end["status"] == "failed"

    @property
    def complete(self) -> bool:
        """Whether there is all that is asked for; a run that failed can give no more."""
        return self.status != "growing"

    @property
    def message(self) -> str:
        """Why the run failed, if it did."""
        return self.end.get("message", "") if self.status == "failed" else ""

    @cached_property
    def missing(self) -> str:
        """What is missing of a point that the run has passed: "numbers", "look", "snapshots", or nothing."""
        rows, looked = self.rows(), self.rows(self.config.look)
        step, whole = self.asked.steps, self.config.replace(steps=0, epochs=self.asked.epochs).end(self.end["images"])[1]
        if step not in rows and step != whole:
            return "numbers"  # an epoch between two recorded ones is answered by the one before
        at = step if step in rows or self.config.look != USUAL else max((s for s in rows if s < step), default=None)
        if at not in looked or not any(key.startswith("test_") for key in looked[at]):
            return "look"
        if self.config.snapshots and (self.snapshots is None or next_point(int(self.snapshots[1].step.max())) <= step):
            return "snapshots"
        return ""

    # --- numbers
    def rows(self, look: tuple[str, int] = USUAL) -> dict[int, dict[str, Any]]:
        """Step -> numbers there, for each point up to the furthest that was measured with a `look`."""
        return self.numbers.get(look, {})

    @cached_property
    def numbers(self) -> dict[tuple[str, int], dict[int, dict[str, Any]]]:
        """All numbers: look -> step -> a row of losses and errors."""
        found: dict[tuple[str, int], dict[int, dict]] = {USUAL: {}}
        end = {"epoch": self.reached.epochs, "step": self.reached.steps}
        end |= {k: v for k, v in self.end.items() if k == "seconds" or k.startswith(("train_", "test_"))}
        beside = read_table(self.folder, "measured.csv") if (self.folder / "measured.csv").exists() else pd.DataFrame()
        for row in [*self.recorded.to_dict("records"), *beside.to_dict("records"), end]:  # the end has all digits
            look = row.pop("evaluation", USUAL[0]), row.pop("free_steps", USUAL[1])
            row = {k: v for k, v in row.items() if v == v}
            if 0 < row["step"] <= self.reached.steps:
                found.setdefault(look, {}).setdefault(row["step"], {}).update(row)
        return {look: dict(sorted(rows.items())) for look, rows in found.items()}

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The numbers at the asked point; if it has none, at the last point before that has. `epochs`, `steps` say which."""
        return self._metrics(self.asked.steps)

    def at(self, epoch: int) -> "Run":
        """This run as if no more than so many epochs had been asked for."""
        return Run(self.folder, self.config.replace(epochs=max(epoch, 1)))

    def _metrics(self, step: int) -> dict[str, Any]:
        looked, usual = self.rows(self.config.look), self.rows()
        at = max((s for s in looked if s <= step), default=max((s for s in usual if s <= step), default=0))
        row = usual.get(at, {})
        if self.config.look != USUAL:  # the training is the same, its errors are not
            row = {k: v for k, v in row.items() if not k.startswith("test_")} | looked.get(at, {})
        facts = {k: v for k, v in self.end.items() if k in FACTS}
        numbers = {k: v for k, v in row.items() if k.startswith(("train_", "test_"))}
        return facts | numbers | {"status": self.status, "epochs": row.get("epoch", 0), "steps": row.get("step", 0),
                                  "seconds": row.get("seconds", self.end.get("seconds", 0.0))}

    @cached_property
    def recorded(self) -> pd.DataFrame:
        """The stored history: a row per recorded epoch."""
        table = read_table(self.folder, "history.csv")
        known = table[table.step <= self.reached.steps] if len(table) else table
        if len(known) < self.end.get("recorded", 0) or (known.empty and self.reached.steps >= self._epoch):
            raise damaged(self.folder, "history.csv: it has lost rows")
        return table

    @property
    def _epoch(self) -> int:
        """The steps of an epoch."""
        return self.trajectory.replace(epochs=1).end(self.end["images"])[1]

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row per recorded epoch up to the asked point, and one for that point if it is none of them.

        Columns: epoch, step, seconds, train_loss, train_error, test_error, ...; measured as usual, whatever the config.
        """
        wanted = {*(self.recorded.step if len(self.recorded) else ()), min(self.asked.steps, self.reached.steps)}
        return pd.DataFrame([row for step, row in self.rows().items() if step <= self.asked.steps and step in wanted])

    # --- models and pictures
    @property
    def weights_file(self) -> Path | None:
        """The file with the weights at the point of `metrics`, or None."""
        return self.weights_at(self.metrics["steps"])

    def weights_at(self, step: int) -> Path | None:
        """The file with the weights after so many steps, or None."""
        files = (self.folder / f"{kind}-{step}.safetensors" for kind in ("weights", "interim"))
        return next((file for file in files if file.is_file()), None)

    @property
    def has_weights(self) -> bool:
        """Whether the model can be loaded."""
        return self.weights_file is not None

    def load_model(self, device: str | torch.device = "cpu", step: int | None = None) -> Model:
        """The model with its weights after `step` steps, by default at the point of `metrics`, ready for use."""
        step = self.metrics["steps"] if step is None else step
        file = self.weights_at(step)
        if file is None:
            raise UserError(f"run {self.hash} was stored without its weights at step {step}: delete "
                            f"{self.folder} and run it again, or merge a store that has them.")
        model = build(self.config, self.metrics["channels"], classes=self.metrics.get("classes", 0))
        try:
            model.load_stored(read_tensors(self.folder, file.name))
        except Unreadable:
            if file.exists():
                raise
            raise Unreadable(f"another process is just training run {self.hash} and has replaced its weights at step "
                             f"{step}: ask again.") from None
        except ValueError as fault:
            raise damaged(self.folder, f"{file.name}: {fault}") from fault
        return model.to(check_device(device)).ready()

    @property
    def all_snapshots(self) -> int:
        """How many snapshots are stored, up to the asked point and after it."""
        there = all((self.folder / name).exists() for name in ("snapshots.csv", SNAPSHOTS))
        return len(read_table(self.folder, "snapshots.csv")) if there else 0

    @cached_property
    def snapshots(self) -> tuple[UInt8[Tensor, "s n c h w"], pd.DataFrame] | None:
        """Reconstructions kept while training up to the asked point, and their steps, seconds, errors; or None."""
        if not self.all_snapshots:
            return None
        table = read_table(self.folder, "snapshots.csv")
        table = table[table.step <= self.asked.steps]
        pictures = read_tensors(self.folder, SNAPSHOTS).get("snapshots")
        if pictures is None or pictures.dtype != torch.uint8 or pictures.ndim != 5 or len(pictures) < len(table):
            raise damaged(self.folder, f"{SNAPSHOTS}: it does not hold the pictures of snapshots.csv")
        return pictures[: len(table)], table

    # --- where it came from
    @property
    def same_numbers(self) -> bool:
        """Whether today's source would give the same numbers, as far as it says (`loop.NUMERICS`)."""
        return all(stretch.get("numerics") == loop.NUMERICS for stretch in self.stretches)

    def summary(self) -> str:
        """One line for captions: data, length of training, device, version, date."""
        made = self.provenance
        return (f"{self.config.dataset}, {self.metrics['steps']:,} steps in {self.metrics['seconds']:.0f} s on "
                f"{made['device']}, torch {made['versions']['torch']}, {made['started'][:10]}")

    def __repr__(self) -> str:
        return f"<run {self.hash}, {self.status}: {title(self.config)}>"

