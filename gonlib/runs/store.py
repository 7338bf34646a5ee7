"""The run store: a run is trained once, found by its config's hash, and says where it came from."""

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import safetensors.torch

from .. import files
from ..data import datasets
from ..errors import UserError
from ..training import checkpoint, loop
from ..training.forms import choose
from . import packs, provenance
from .progress import reporter
from .run import CHECKPOINT, SNAPSHOTS, WEIGHTS, Run, check_device, read_config, read_json


def local_store():
    """The store of runs made here: $GONLIB_STORE, else build/store of the checkout (or of the working folder)."""
    root = provenance.repository_root() or Path.cwd()
    named = os.environ.get("GONLIB_STORE")
    return Store(files.given_path(named) if named else root / "build" / "store")


def recorded_store():
    """The store of runs that come with the book: book/results of the checkout."""
    return Store((provenance.repository_root() or Path.cwd()) / "book" / "results")


def find_run(config, stores):
    """The finished `Run` of this config from the first of the stores that has it, or None."""
    return next((run for run in (store.find(config) for store in stores) if run), None)


def load_data(config, device="cpu"):
    """The data set of a config; `UserError` if it is missing or damaged."""
    return datasets.load(config.dataset, config.size, config.train_images, config.test_images, device)


@dataclass
class Merge:
    """What `Store.merge` did, by name: runs copied, identical, in conflict, damaged; checkpoints; names refused."""

    copied: list = field(default_factory=list)
    identical: list = field(default_factory=list)
    conflicts: list = field(default_factory=list)
    damaged: list = field(default_factory=list)
    partial: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    @property
    def clean(self):
        """Whether everything found could be taken."""
        return not (self.conflicts or self.damaged or self.refused)

    def __str__(self):
        copied, identical, partial = len(self.copied), len(self.identical), len(self.partial)
        lines = [f"{copied} runs copied, {identical} already here, {partial} checkpoints of unfinished runs copied."]
        for names, what in ((self.conflicts, "a different result is here, kept"), (self.damaged, "damaged, skipped"),
                            (self.refused, "refused: not a plain file of a run")):
            lines += [f"{name}: {what}." for name in names]
        return "\n".join(lines + self.notes)


class Store:
    """A folder of runs: `<hash>/` for each finished one, `<hash>.partial/` while it trains or waits to go on."""

    def __init__(self, root):
        self.root = Path(root)

    def find(self, config):
        """The finished `Run` of this config, or None; `UserError` if it is damaged."""
        folder = self.root / config.hash
        return Run(folder) if folder.is_dir() else None

    def partial(self, config):
        """The folder of this config's run while it is unfinished."""
        return self.root / f"{config.hash}.partial"

    def state(self, config):
        """The state of this config's run: "done", "failed", "partial" (a checkpoint waits) or "missing"."""
        run = self.find(config)
        if run:
            return run.status
        return "partial" if (self.partial(config) / CHECKPOINT).is_file() else "missing"

    def runs(self):
        """All finished runs, ordered by hash; `UserError` if one is damaged."""
        return [Run(folder) for folder in sorted(self.root.glob("[0-9a-f]" * 16)) if folder.is_dir()]

    def unfinished(self):
        """(config, numbers, provenance) of each run with a checkpoint: its steps, seconds and images so far."""
        folders = [f for f in sorted(self.root.glob("[0-9a-f]" * 16 + ".partial")) if (f / CHECKPOINT).is_file()]
        return [(read_config(f), checkpoint.reached(f / CHECKPOINT), read_json(f, "provenance.json")) for f in folders]

    def run(self, config, device="cpu", progress=None, deadline=None, keep_weights=True, **options):
        """The finished `Run` of `config`, trained here (or on, from its checkpoint) only if the store lacks it.

        `progress(fraction, text)` is called now and then; at `deadline` (a value of time.monotonic) a checkpoint is
        written and `training.OutOfTime` raised. A run whose loss becomes NaN or infinite ends with status "failed".
        `options` are further ones of `training.train`: `form`, `turn`, `save_every`.
        Raises `UserError` for a device that is not there, missing data, or a full disk.
        """

        def waiting():
            if deadline is not None and time.monotonic() > deadline:
                raise loop.OutOfTime(f"another process is training run {config.hash}.")

        run = self.find(config)
        if run:
            return run
        check_device(device)
        with files.disk_space(self.root), files.locked(self.partial(config), waiting) as partial:
            if not self.find(config):  # else another process trained it while we waited
                with reporter(config, progress) as report:
                    self._train(config, partial, str(device), keep_weights, deadline=deadline, progress=report, **options)
                files.place(partial, self.root / config.hash)
                partial = self.root / config.hash
                (partial / CHECKPOINT).unlink(missing_ok=True)  # not before: killed here, nothing is lost
                (partial / "lock").unlink()
            else:
                shutil.rmtree(partial)
        return self.find(config)

    def _train(self, config, partial, device, keep_weights, **options):
        """Fill the partial folder with a run's files, training from its checkpoint if there is one."""
        clock = time.monotonic()
        dataset = load_data(config, device)
        form, turn = choose(options.get("form", "auto"), device), options.get("turn")
        how = {"form": form, "at_once": turn.runs if turn else 1}  # how a step ran, and beside how many runs
        made = _begin(partial, config, provenance.describe(device, dataset) | how)
        outcome = {"status": "done"}
        try:
            trained = loop.train(config, dataset, device=device, checkpoint=partial / CHECKPOINT, **options)
        except loop.TrainingFailed as fault:
            outcome, trained = {"status": "failed", "message": str(fault)}, fault.trained
        finally:
            made["wall_seconds"] = round(made.get("wall_seconds", 0) + time.monotonic() - clock, 3)
            files.write_json(partial / "provenance.json", made)
        files.write_json(partial / "metrics.json", outcome | trained.metrics)
        _write_table(partial / "history.csv", trained.history)
        if trained.snapshots is not None:
            files.write(partial / SNAPSHOTS, safetensors.torch.save({"snapshots": trained.snapshots.contiguous()}))
            _write_table(partial / "snapshots.csv", trained.snapshot_history)
        if keep_weights:
            files.write(partial / WEIGHTS, safetensors.torch.save(trained.weights()))

    def merge(self, other, weights=True, partials=True):
        """Take the runs of another store (a folder, or a tar made by `pack`) that are missing here; a `Merge` report.

        Nothing here is overwritten; a run that is here gets files that it lacks. Checkpoints of unfinished runs are
        taken if nothing of the run is here.
        """

        def wanted(name):
            run, file = name.split("/")
            if file == "lock" or files.is_temporary(file) or (file == WEIGHTS and not weights):
                return False
            if not run.endswith(".partial"):
                return file != CHECKPOINT
            return partials and not (self.root / run).exists() and not (self.root / run[:16]).exists()

        report = Merge()
        with files.disk_space(self.root), files.scratch(self.root) as new:
            copied = packs.copy_runs(Path(other), new, wanted)
            report.refused, report.notes = copied.refused, copied.notes
            for folder in sorted(new.iterdir()):
                try:
                    self._merge_one(folder, report)
                except UserError:
                    report.damaged.append(folder.name)
        return report

    def _merge_one(self, folder, report):
        target = self.root / folder.name
        if folder.name.endswith(".partial"):
            read_config(folder)
            if (folder / CHECKPOINT).is_file() and files.place(folder, target):
                report.partial.append(folder.name)
            return
        run = Run(folder)
        len(run.history)  # read it, so that a damaged one raises
        if files.place(folder, target):
            report.copied.append(folder.name)
        elif not run.same_result(Run(target)):
            report.conflicts.append(folder.name)
        else:
            report.identical.append(folder.name)
            for file in folder.iterdir():  # weights, pictures and tables that were kept of it later
                if not (target / file.name).exists():
                    os.replace(file, target / file.name)

    def pack(self, path, configs=None, weights=True):
        """Write the runs of `configs` (default: all), and checkpoints of unfinished ones, into one tar; see `packs.pack`."""
        if configs is None:
            names = sorted({folder.name[:16] for folder in self.root.glob("[0-9a-f]" * 16 + "*")})
        else:
            names = [config.hash for config in configs]
        entries = []
        for name in names:
            finished = (self.root / name).is_dir()
            folder = self.root / (name if finished else f"{name}.partial")
            unwanted = {"lock", CHECKPOINT if finished else "", "" if weights else WEIGHTS}
            entries += [(f"{folder.name}/{path.name}", path) for path in sorted(folder.glob("*"))
                        if path.is_file() and path.name not in unwanted and not files.is_temporary(path.name)]
        with files.disk_space(Path(path).parent):
            return packs.pack(Path(path), entries)


def _write_table(path, rows):
    text = pd.DataFrame(rows).to_csv(index=False, float_format="%.7g")  # digits of float32: recorded curves stay small
    files.write(path, text.encode())


def _begin(partial, config, made):
    """Record what starts here; a run that goes on from a checkpoint made under other conditions keeps them too."""
    if (partial / CHECKPOINT).is_file():
        before = read_json(partial, "provenance.json")
        if before["data"] != made["data"]:
            raise UserError(f"the data set {config.dataset} has changed since the run in {partial} began: delete that "
                            "folder to start it again, or put the old data back.")
        if all(before.get(key) == value for key, value in made.items() if key != "started"):
            made = before
        else:
            made["earlier"] = [*before.pop("earlier", []), before]
    files.write(partial / "config.json", (config.json + "\n").encode())
    files.write_json(partial / "provenance.json", made)
    return made
