"""Merging runs of two stores: the further of two that agree takes the other's place, and nothing that differs is lost."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from .. import files
from . import journal
from .contents import CHECKPOINT, KEPT, SNAPSHOTS, Unreadable, read_config, read_provenance, read_record
from .run import USUAL, Run

NUMBERS = ("history.csv", "provenance.json", "metrics.json")  # in this order: the last one counts


@dataclass
class Merge:
    """What `Store.merge` did, by name: runs copied, grown, identical ...; and what it could not do."""

    copied: list[str] = field(default_factory=list)
    grown: list[str] = field(default_factory=list)
    identical: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything found could be taken."""
        return not (self.conflicts or self.damaged or self.busy or self.refused)

    def __str__(self) -> str:
        counts = [(self.copied, "copied"), (self.grown, "grown"), (self.identical, "already here"),
                  (self.begun, "only begun, with their checkpoints")]
        lines = ["runs: " + ", ".join(f"{len(names)} {what}" for names, what in counts) + "."]
        for names, what in ((self.conflicts, "a different result is here, kept"), (self.damaged, "damaged, skipped"),
                            (self.busy, "another process is just training it here, left out: merge again when it has ended"),
                            (self.refused, "refused: not a plain file of a run that can be read")):
            lines += [f"{name}: {what}." for name in names]
        return "\n".join(lines + self.notes)


def merge_run(new: Path, here: Path, report: Merge) -> None:
    """Take the run in folder `new`, whose files may be moved away, into folder `here`.

    A run that another process is just training is left as it is.
    """
    try:
        read_config(new)
        run = journal.find(new)
        if run is None:
            read_provenance(new)
        else:
            len(run.history), run.numbers, run.all_snapshots  # read the tables, so that damaged ones raise
    except Unreadable:
        report.damaged.append(new.name)
        return
    if run is None and not (new / CHECKPOINT).is_file():
        return
    if not here.exists() and files.place(new, here):
        (report.begun if run is None else report.copied).append(here.name)
        return
    try:
        with files.locked(here, files.busy):
            _merge_into(run, new, here, report)
    except files.Busy:
        report.busy.append(here.name)
    except Unreadable as fault:
        report.damaged.append(here.name)
        report.notes.append(str(fault))


def _merge_into(run: Run | None, new: Path, here: Path, report: Merge) -> None:
    """Take a run into a folder that this process holds."""
    mine = journal.find(here)
    if run is None:
        if not mine and not (here / CHECKPOINT).is_file():
            _take_all(new, here)
            report.begun.append(new.name)
    elif mine is None:
        _take_all(new, here)
        report.copied.append(new.name)
    elif disagreement(run, mine):
        report.conflicts.append(new.name)
    else:
        further = _progress(run) > _progress(mine)
        _join(run, mine, further)
        (report.grown if further else report.identical).append(new.name)


def _progress(run: Run) -> tuple[int, bool]:
    """How much is known of a run: how far it is, and whether it fails after that."""
    return run.reached.steps, run.failed


def disagreement(run: Run, other: Run) -> str:
    """Why two runs cannot be parts of one, in words; empty if they agree as far as both go.

    Two machines round differently even where everything that is recorded of them is the same (CPUs of different kinds
    have one name), so numbers are compared within a tolerance (journal.EARLY, LATE).
    """
    short, long = sorted((run, other), key=_progress)
    if short.data != long.data:
        return "they were trained on different data"
    if short.failed and short.reached.steps < long.reached.steps:
        return "one failed, the other went on"
    return journal.differences(long, [row for _, row in journal.rows_with_looks(short)])


def _take_all(new: Path, here: Path) -> None:
    """Move a run to where one has only begun: metrics.json, which makes it readable, last."""
    for file in sorted(new.iterdir(), key=lambda file: file.name == NUMBERS[-1]):
        os.replace(file, here / file.name)


def _errors(row: dict) -> set[str]:
    return {key for key in row if key.startswith("test_")}


def _join(run: Run, mine: Run, further: bool) -> None:
    """Give the run `mine` all of `run` that it lacks, and its numbers too if `run` is `further`."""
    new, here, long = run.folder, mine.folder, run if further else mine
    own = {row["step"]: set(row) for row in long.recorded.to_dict("records")} | {long.reached.steps: set(long.end)}
    journal.add_beside(here, [row for r in (mine, run) for look, row in journal.rows_with_looks(r)
                              if look != USUAL or _errors(row) - own.get(row["step"], set())])
    as_many = run.all_snapshots == mine.all_snapshots > 0
    if run.all_snapshots > mine.all_snapshots or (further and as_many):  # with the times of the history that stays
        for name in (SNAPSHOTS, "snapshots.csv"):
            os.replace(new / name, here / name)
    if (new / KEPT).is_file() and (here / KEPT).is_file():
        files.write_json(here / KEPT, read_record(new) | read_record(here))
    replaced = (CHECKPOINT, *NUMBERS) if further else ()
    for file in sorted(new.iterdir()):
        if file.name not in replaced and not (here / file.name).exists():
            os.replace(file, here / file.name)  # weights, tables and pictures that were kept of it
    for name in replaced:
        if (new / name).is_file():
            os.replace(new / name, here / name)
