"""The run store: a run is trained once, found by its name, goes on when more of it is asked, and says where it came from."""

import functools
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from .. import files
from ..data import Dataset, load
from ..data.datasets import fingerprint
from ..data.registry import at_hand, facts
from ..errors import UserError, from_system, printable, shortened
from ..method.model import Model
from ..training import checkpoint, loop
from ..training.config import Config
from ..training.forms import check_device, choose
from . import beside, journal, packs, provenance
from .contents import CHECKPOINT, Unreadable, in_order, read_provenance
from .merging import Merge, merge_run
from .migration import convertible, migrate, old_runs
from .progress import reporter, title
from .run import USUAL, Run

REPEAT = "repeat.safetensors"  # the checkpoint of a run that is trained again, for something on the way
NAMES = re.compile("[0-9a-f]{16}")


def local_store() -> "Store":
    """The store of runs made here: $GONLIB_STORE, else build/store of the checkout (or of the working folder)."""
    root = provenance.repository_root() or Path.cwd()
    named = os.environ.get("GONLIB_STORE")
    folder = files.given_path(named) if named else root / "build" / "store"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"the run store {folder} is a file where a folder should be: see GONLIB_STORE.")
    return Store(folder)


def recorded_store() -> "Store":
    """The store of runs that come with the book: book/results of the checkout."""
    return Store((provenance.repository_root() or Path.cwd()) / "book" / "results")


def find_run(config: Config, stores: Iterable["Store"]) -> Run | None:
    """The run of this config from the first store that has all that it asks for, else from the one that is furthest.

    Raises `Unreadable` for one that cannot be read, if no other store has all that is asked for.
    """
    found, faults = [], []
    for store in stores:
        try:
            run = store.find(config)
            if run and not run.complete:
                found.append(run)
        except Unreadable as fault:
            faults.append(fault)
        else:
            if run and run.complete:
                check_at_hand(run)
                return run
    if faults:
        raise faults[0]
    return max(found, key=lambda run: run.reached.steps, default=None)


def find_readable(config: Config, stores: Iterable["Store"]) -> Run | None:
    """As `find_run`, but a run that cannot be read is none, of which a sentence on stderr tells."""
    try:
        return find_run(config, stores)
    except Unreadable as fault:
        print(fault, file=sys.stderr)
        return None


def load_data(config: Config, device: str | torch.device = "cpu") -> Dataset:
    """The data set of a config; `UserError` if it is missing or damaged."""
    return load(config.dataset, config.size, config.train_images, config.test_images, device)


def check_at_hand(run: Run) -> None:
    """Compare a run's data with the pictures or the prepared file that are there now, if any are; see `check_data`.

    A run that comes with the book says what data it was trained on: the reader may have others of that name.
    """
    config, name = run.config, run.config.dataset
    ours = name.startswith("folder:") or run.folder.parent != recorded_store().root
    if ours and not facts(name).built_in and at_hand(name):
        check_data(run.folder, run.data, _identity(name, config.train_images, config.test_images, fingerprint(name)))


@functools.lru_cache(64)
def _identity(name: str, train_images: int, test_images: int, stamped: str) -> dict[str, Any]:
    """What a run on these images notes of them; remembered until `stamped` says that their files have changed."""
    return load(name, 8, train_images, test_images).identity


def check_data(folder: Path, recorded: dict[str, Any], identity: dict[str, Any]) -> None:
    """Raise `UserError` if a run was trained on other data of the same name: it is never shown as one of these."""
    if recorded != identity:
        raise UserError(f"the data set {shortened(str(identity['name']))} has changed since the run in {folder} began: "
                        "delete that folder to train it on the new data, or put the old data back.")


@contextmanager
def enough_memory(config: Config, device: str) -> Iterator[None]:
    """Turns what Python and torch say where the memory does not suffice for a run into a `UserError`: others may fit."""
    try:
        yield
    except (MemoryError, RuntimeError) as fault:
        if not isinstance(fault, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(fault):
            raise
        raise UserError(f"the memory of {device} does not suffice for run {config.hash} ({title(config)}): take a smaller "
                        "network, size or batch_size, or fewer runs at a time.") from fault


class Store:
    """A folder of runs: `<hash>/` for each trajectory, as far as it has been trained.

    A run's folder holds config.json (what can change a weight), history.csv, measured.csv (what is measured beside the
    history), provenance.json, metrics.json (the furthest point), weights-<step>.safetensors, and, where it can go on,
    checkpoint.safetensors. Without metrics.json it has only just begun. The lock is there while it trains.
    """

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)
        try:
            str(root).encode()  # safetensors takes no other
        except UnicodeEncodeError as fault:
            raise UserError(f"the name of the run store {printable(str(root))} is not UTF-8; choose another folder, by "
                            "GONLIB_STORE.") from fault

    def folder(self, config: Config) -> Path:
        """Where a config's run is, or would be."""
        return self.root / config.hash

    def find(self, config: Config) -> Run | None:
        """The run of a config as far as it is, complete or not; None if it has no numbers yet."""
        sys.audit("gonlib.look", str(self.folder(config)))  # the book notes which runs a page looked for, there or not
        if config.look != USUAL:
            sys.audit("gonlib.look", str(self.folder(config) / "measured.csv"))
        return journal.find(self.folder(config), config)

    def state(self, config: Config) -> str:
        """The state of this config's run: "done", "failed", "growing" or "missing"."""
        run = self.find(config)
        begun = "growing" if (self.folder(config) / CHECKPOINT).is_file() else "missing"
        return run.status if run else begun

    def runs(self) -> list[Run]:
        """All runs that can be read, at their furthest points, ordered by hash."""
        return [run for folder in self.folders() if (run := self.named(folder.name))]

    def named(self, name: str) -> Run | None:
        """The run of a hash at its furthest point; None if there is none, or none that can be read."""
        with suppress(Unreadable):  # whoever asks for its numbers is told
            return journal.find(self.root / name)
        return None

    def folders(self) -> list[Path]:
        """The folders of all runs, ordered by hash."""
        try:
            names = os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as fault:
            raise from_system(fault, self.root) from fault
        return [self.root / name for name in sorted(names) if NAMES.fullmatch(name) and (self.root / name).is_dir()]

    def run(self, config: Config, device: str = "cpu", progress: Callable[[float, str], None] | None = None,
            deadline: float | None = None, keep_weights: bool = True, **options: Any) -> Run:
        """The run of `config`, trained only as far as the store lacks it: a run goes on from where it is.

        What is looked at on the way, after the run has passed it (snapshots, other statistics, an end in mid-epoch), is
        measured on weights that are there, or the run is repeated from its beginning up to there.

        Args:
            progress: is called now and then with (fraction, text).
            deadline: a value of time.monotonic; then what is reached is kept and `OutOfTime` raised.
            keep_weights: whether to store them.
            options: further ones of `training.loop.train`: `form`, `turn`, `save_every`.

        Returns:
            The run as asked. One whose loss becomes NaN or infinite has status "failed".

        Raises:
            UserError: for a device that is not there, missing or changed data, a full disk, or too little memory.
        """

        def waiting() -> None:
            if deadline is not None and time.monotonic() > deadline:
                raise loop.OutOfTime(f"another process is training run {config.hash}.")
            with options.get("turn") or nullcontext():  # raises if all runs here are to stop
                pass

        run = self.find(config)
        if run and run.complete:
            check_at_hand(run)
            files.tidy(run.folder)
            return run
        check_device(device)
        with files.disk_space(self.root), files.locked(self.folder(config), waiting) as folder, \
                reporter(config, progress) as report, enough_memory(config, device):
            options |= {"deadline": deadline, "progress": report}
            self._complete(config, load_data(config, str(device)), str(device), keep_weights, options)
        return Run(folder, config)

    def _complete(self, config: Config, data: Dataset, device: str, keep_weights: bool, options: dict) -> None:
        """Train and measure what is missing, unless another process did while this one waited for the lock."""
        folder, run = self.folder(config), self.find(config)
        if run and run.complete:
            return
        turn = options.get("turn") or nullcontext()
        with turn:  # it draws from the random numbers that all threads share
            model = beside.buildable(config, data)
        if (folder / "provenance.json").is_file():
            check_data(folder, read_provenance(folder)["data"], data.identity)
        if not (run and _measurable(run)):
            self._train(config, data, device, model, keep_weights or config.look != USUAL, options)
            run = self.find(config)
        if run and _measurable(run):
            with turn:
                row = beside.measure(run, data, device)
            journal.add_beside(folder, [row])
        if not keep_weights:
            for file in folder.glob("weights-*.safetensors"):
                file.unlink()

    def _train(self, config: Config, data: Dataset, device: str, model: Model, keep_weights: bool, options: dict) -> None:
        """Train, from a checkpoint if there is one that serves, and publish what comes of it."""
        folder, end, run = self.folder(config), config.end(len(data.train))[1], self.find(config)
        path, start = _checkpoint(folder, config, end)
        if run and not start and run.reached.steps < end:
            print(f"run {config.hash} has no checkpoint here: it is trained again from its beginning.", file=sys.stderr)
        form, turn = options.pop("form", "auto"), options.get("turn")
        if form == "auto" and run and start and run.provenance["device_type"] == device.split(":")[0]:
            form = run.provenance["form"]  # compiled code rounds in another order: a run keeps to its form
        form = choose(form, device, model, end - start)
        files.write(folder / "config.json", (config.trajectory.json + "\n").encode())
        made = provenance.describe(device, data) | {"form": form, "at_once": turn.runs if turn else 1}
        book = journal.Journal(folder, made, end, start, keep_weights)
        asked = config.trajectory.replace(epochs=config.epochs, steps=config.steps, snapshots=config.snapshots)
        try:
            loop.train(asked, data, device, form, checkpoint=path, publish=book.publish, **options)
        except loop.TrainingFailed as fault:
            book.publish(fault.trained, failed=str(fault))
            path.unlink(missing_ok=True)
        if path.name == REPEAT and path.is_file():
            if checkpoint.reached(folder / CHECKPOINT)["steps"] < end:
                os.replace(path, folder / CHECKPOINT)
            else:
                path.unlink()

    def merge(self, other: str | os.PathLike, weights: bool = True, checkpoints: bool = True) -> Merge:
        """Take in the runs of another store: a folder, or a tar made by `pack`.

        A run that is missing here is copied. Of a run that is in both, the one that is further takes the other's place
        if they agree as far as both go, and what was measured or kept beside either is kept; otherwise that is reported
        and nothing overwritten.

        Args:
            weights: whether to take weights.
            checkpoints: whether to take checkpoints, so that runs can go on here.
        """

        def wanted(name: str) -> bool:
            file = name.split("/")[1]
            if file in ("lock", REPEAT) or files.is_temporary(file):
                return False
            is_weights = file.startswith(("weights", "interim"))
            return (weights or not is_weights) and (checkpoints or file != CHECKPOINT)

        report = Merge()
        with files.disk_space(self.root), files.scratch(self.root) as new:
            copied = packs.copy_runs(Path(other), new, wanted)
            report.refused, report.notes = copied.refused, copied.notes
            for folder in sorted(new.iterdir()):
                if not convertible(folder):
                    report.damaged.append(folder.name)
                    shutil.rmtree(folder)
            if old_runs(new):
                report.notes += migrate(new)
            for folder in sorted(new.iterdir()):
                merge_run(folder, self.root / folder.name, report)
        return report

    def pack(self, path: str | os.PathLike, configs: Sequence[Config] | None = None,
             weights: bool = True) -> list[str]:
        """Write the runs of `configs` (default: all) into one tar; see `packs.pack`.

        Checkpoints go with runs that are not yet as far as their config asks; without configs, with all.
        """
        folders = {folder.name: True for folder in self.folders()} if configs is None else {}
        for config in configs or ():
            folders[config.hash] = folders.get(config.hash, False) or self.state(config) == "growing"
        entries = []
        for name, unfinished in folders.items():
            files.tidy(self.root / name)
            for file in in_order(list((self.root / name).glob("*"))):
                is_weights = file.name.startswith(("weights", "interim"))
                left_out = file.name in ("lock", REPEAT) or files.is_temporary(file.name) or not file.is_file()
                if not (left_out or (is_weights and not weights) or (file.name == CHECKPOINT and not unfinished)):
                    entries.append((f"{name}/{file.name}", file))
        with files.disk_space(Path(path)):
            return packs.pack(Path(path), entries)


def _measurable(run: Run) -> bool:
    """Whether what is missing can be measured on weights that are there."""
    step = run.asked.steps
    return step <= run.reached.steps and run.missing == "look" and run.weights_at(step) is not None


def _checkpoint(folder: Path, config: Config, end: int) -> tuple[Path, int]:
    """The checkpoint to go on from and its step; a run that has passed `end`, or lacks pictures, begins another."""
    for path in (folder / CHECKPOINT, folder / REPEAT):
        if not path.is_file():
            return path, 0
        found = checkpoint.reached(path)
        if found["steps"] <= end and (found["snapshots"] or not config.snapshots):
            return path, found["steps"]
    path.unlink()
    return path, 0
