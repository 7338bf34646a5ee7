"""Writing a run: its folder is brought from one readable state to the next, whatever moment the process is killed.

`metrics.json` is the point of no return: it says how far the run is, and readers (run.py) look no further. All else is
written before it, either under a name of its own for each step or as a longer version of what was there.
"""

import time
from pathlib import Path
from typing import Any

import pandas as pd

from .. import files
from ..errors import UserError, from_system
from ..method import tensors
from ..training.config import Config
from ..training.loop import NUMERICS, Trained
from .contents import SNAPSHOTS, Unreadable, read_provenance, read_table
from .run import USUAL, Run

# How far numbers of one trajectory may differ. Machines, devices and forms round in another order; that shows little in the
# first epochs and more later, as the difference grows with training. (Seen: 5e-4 and 1e-2 after 30 epochs at rates of 1e-4
# and 1e-2.) Another seed differs by more at once.
EARLY, LATE, FIRST_EPOCHS = 1e-3, 5e-2, 5
SAME = 2e-6  # no difference: seven digits are kept


def find(folder: Path, config: Config | None = None) -> Run | None:
    """The run in a folder, or None if it has no numbers yet."""
    point = folder / "metrics.json"
    while (before := _stamp(point)) is not None:
        try:
            return Run(folder, config)
        except Unreadable:
            if _stamp(point) == before:
                raise  # else another process has just written: what was read may have been of two moments
    return None


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes with every version of a file; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise Unreadable(str(from_system(fault, path))) from fault
    return found.st_mtime_ns, found.st_ino


def differences(run: Run, rows: list[dict], tolerance: float | None = None) -> str:
    """Where numbers of the same trajectory differ from those of a run, in words; empty if they agree.

    Compared are all losses and errors at the steps that both have: a training that is part of another agrees with it.
    Without a `tolerance` that of other conditions is taken (EARLY, LATE).
    """
    for row in rows:
        theirs = run.rows((row.get("evaluation", USUAL[0]), row.get("free_steps", USUAL[1]))).get(row["step"], {})
        for key in row.keys() & theirs.keys():
            if key.startswith(("train_", "test_")) and row[key] == row[key]:
                most = tolerance or (EARLY if row["epoch"] <= FIRST_EPOCHS else LATE)
                if abs(row[key] - theirs[key]) > most * max(abs(theirs[key]), 0.1):
                    return f"{key} at step {row['step']} is {row[key]:.6g} and {theirs[key]:.6g}"
    return ""


def write_table(path: Path, rows: list[dict], columns: list[str] | None = None) -> None:
    """Write rows as CSV with the digits of float32, so that curves stay small."""
    files.write(path, pd.DataFrame(rows, columns=columns).to_csv(index=False, float_format="%.7g").encode())


def add_beside(folder: Path, rows: list[dict]) -> None:
    """Add rows to the table of what is measured beside the history; a number that is there already stays."""
    if not rows:
        return
    path, key = folder / "measured.csv", ["step", "evaluation", "free_steps"]
    old = read_table(folder, path.name).to_dict("records") if path.is_file() else []
    merged: dict[tuple, dict] = {}
    for row in [*rows, *old]:
        known = {name: value for name, value in row.items() if value == value}
        merged.setdefault(tuple(row[name] for name in key), {}).update(known)
    first = ["epoch", *key]
    table = [merged[at] for at in sorted(merged)]
    names = first + sorted({name for row in table for name in row} - set(first))
    write_table(path, table, names)


def as_usual(row: dict) -> dict:
    """A row of the history as one of the table beside it."""
    return row | {"evaluation": USUAL[0], "free_steps": USUAL[1]}


def rows_with_looks(run: Run) -> list[tuple[tuple[str, int], dict]]:
    """All numbers of a run as (look, row of the table beside its history)."""
    return [(look, row | {"evaluation": look[0], "free_steps": look[1]})
            for look, rows in run.numbers.items() for row in rows.values()]


class Journal:
    """Publishes what a training has reached in the run's folder, each time a little further.

    Args:
        made: the provenance of what is trained now (provenance.describe).
        end: the step that was asked for: weights there are kept for good, those on the way only while they are newest.
        start: the step from which this training goes on.
    """

    def __init__(self, folder: Path, made: dict[str, Any], end: int, start: int, keep_weights: bool = True):
        self.folder, self.end, self.keep_weights = folder, end, keep_weights
        self.clock, self.data = time.monotonic(), made["data"]
        begun = (folder / "provenance.json").is_file()
        self.stretches = [s for s in read_provenance(folder)["stretches"] if s["from"] < start] if begun else []
        stretch = {k: v for k, v in made.items() if k != "data"} | {"numerics": NUMERICS, "from": start, "wall_seconds": 0.0}
        if self.stretches:
            last = self.stretches[-1]
            last["to"] = start
            if all(last.get(k) == v for k, v in stretch.items() if k not in ("from", "wall_seconds", "started")):
                stretch = self.stretches.pop()
        self.stretch, self.spent = stretch, stretch["wall_seconds"]
        if not (folder / "metrics.json").is_file():
            self._provenance(start)

    def publish(self, trained: Trained, failed: str = "") -> None:
        """Write what has come of a training so far; `UserError` if the run is here already with other numbers.

        A training that only repeats what is here, for the sake of numbers, weights or pictures on the way, adds them.
        """
        step, before = trained.metrics["steps"], find(self.folder)
        if not step and not failed:
            return
        fault = before and (differences(before, trained.history) or (failed and before.reached.steps > step and failed))
        if fault:
            raise UserError(f"run {self.folder.name} was trained again and differs from the stored one ({fault}): the "
                            f"stored one is kept; delete {self.folder} to start afresh.")
        repeats = before is not None and before.reached.steps >= step and not failed
        self._weights(trained, step, final=step == self.end or bool(failed), repeats=repeats)
        self._snapshots(trained)
        if before and repeats:
            if step not in before.rows():
                add_beside(self.folder, [as_usual(trained.history[-1])])
            return
        recorded = trained.history[:-1] if trained.ends_between else trained.history
        if before and before.reached.steps not in {0, *(row["step"] for row in recorded)}:
            add_beside(self.folder, [as_usual(before.rows()[before.reached.steps])])  # only metrics.json has it so far
        write_table(self.folder / "history.csv", recorded)
        self._provenance(step)
        status = {"status": "failed", "message": failed} if failed else {"status": "done"}
        files.write_json(self.folder / "metrics.json", status | trained.metrics | {"recorded": len(recorded)})
        for file in self.folder.glob("interim-*.safetensors"):
            if file.name != f"interim-{step}.safetensors":
                file.unlink(missing_ok=True)

    def _provenance(self, step: int) -> None:
        self.stretch |= {"to": step, "wall_seconds": round(self.spent + time.monotonic() - self.clock, 3)}
        provenance = {"data": self.data, "stretches": [*self.stretches, self.stretch]}
        files.write_json(self.folder / "provenance.json", provenance)

    def _weights(self, trained: Trained, step: int, final: bool, repeats: bool) -> None:
        path = self.folder / f"{'weights' if final else 'interim'}-{step}.safetensors"
        if self.keep_weights and trained.state is not None and not path.exists() and (final or not repeats):
            tensors.write(path, trained.weights())

    def _snapshots(self, trained: Trained) -> None:
        table = self.folder / "snapshots.csv"
        if trained.snapshots is None:
            return
        if table.is_file() and len(read_table(self.folder, table.name)) >= len(trained.snapshot_history):
            return
        # The pictures first: a reader takes as many of them as the table has rows.
        tensors.write(self.folder / SNAPSHOTS, {"snapshots": trained.snapshots})
        write_table(table, trained.snapshot_history)
