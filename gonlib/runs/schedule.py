"""Which run is next: every one that is wanted once, in their order, and of one trajectory the shorter before the longer."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import UserError
from ..training.config import Config
from .run import Run
from .store import Store, find_run, load_data


@dataclass
class Wanted:
    """A run that is wanted: what for, and what is to be done with it when it is there (keep pictures of it, say)."""

    name: str
    config: Config
    last: bool = False  # costs most and teaches least: after all that are not last
    finish: list[Callable[[Run, str], None]] = field(default_factory=list)


def in_order(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Each config once, those that are `last` at the end, and before each run all shorter ones of its trajectory.

    So a run grows from one asked point to the next, and is looked at on each.
    """
    merged: dict[Config, Wanted] = {}
    for one in sorted(wanted, key=lambda one: one.last):
        if one.config in merged:
            merged[one.config].finish += one.finish
        else:
            merged[one.config] = Wanted(one.name, one.config, one.last, list(one.finish))
    families: dict[str, list[Wanted]] = {}
    for one in merged.values():
        families.setdefault(one.config.hash, []).append(one)
    for family in families.values():
        family.sort(key=lambda one: _length(one.config))
    ordered = []
    for one in merged.values():
        family = families[one.config.hash]
        while family and _length(family[0].config) <= _length(one.config):
            ordered.append(family.pop(0))
    return ordered


def _length(config: Config) -> tuple[int | float, int]:
    """Orders the configs of one trajectory by how long they train it: those stopped by their steps come first."""
    return config.steps or math.inf, config.epochs


class Schedule:
    """Takes the runs that are wanted to where they are asked to be.

    Args:
        stores: the one to train in, then others to look into.
        engine: a function of engines.py with its own options filled in.
        device: for what is done with finished runs.
        deadline: a `time.monotonic` value.
    """

    def __init__(self, wanted: Sequence[Wanted], stores: Sequence[Store], engine: Callable, device: str = "cpu",
                 deadline: float | None = None, keep_weights: bool = True):
        self.todo = {one.config: one for one in in_order(wanted)}
        self.stores, self.engine, self.device, self.deadline = stores, engine, device, deadline
        self.keep_weights, self.left = keep_weights, dict(self.todo)
        self.failed: list[tuple[str, Run]] = []
        self.without_data: dict[str, str] = {}
        self.refused: dict[Config, str] = {}
        self.trained = 0

    def take(self) -> None:
        """Train until all are finished or the deadline comes.

        Data that are missing, a run that is damaged, a configuration without a model hold up only their own runs.
        """
        options = {"deadline": self.deadline, "keep_weights": self.keep_weights}
        for config, run in self.engine(self._pending(), self.stores[0], **options):
            if isinstance(run, UserError):
                if isinstance(run.__cause__, OSError):  # the disk: no other run would fare better
                    raise run
                self.refused[config] = str(run)
                continue
            self.trained += 1
            self._finished(config, run)
            self._line(self.todo[config].name, run)

    def _pending(self) -> Iterator[Config]:
        """The configs to train, in order; those that are there already are ticked off on the way."""
        for config in self.todo:
            try:
                run = find_run(config, self.stores)
            except UserError as fault:
                self.refused[config] = str(fault)
                continue
            if run and run.complete:
                try:
                    self._finished(config, run)
                except UserError as fault:
                    self.without_data[config.dataset] = str(fault)
                continue
            if self.deadline is not None and time.monotonic() > self.deadline:
                return
            if config.dataset not in self.without_data:
                try:
                    load_data(config, self.device)
                except UserError as fault:
                    self.without_data[config.dataset] = str(fault)
            if config.dataset not in self.without_data:
                yield config

    def _finished(self, config: Config, run: Run) -> None:
        """Tick a run off, and do what is to be done with it: another experiment may have trained it."""
        one = self.left.pop(config)
        if run.status == "failed":
            self.failed.append((one.name, run))
        for finish in one.finish:
            finish(run, self.device)

    def _line(self, name: str, run: Run) -> None:
        numbers = {key: run.metrics[key] for key in ("test_error", "test_bits") if run.metrics.get(key) is not None}
        shown = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()) or "no numbers"
        print(f"{name}: {run.status}, {shown}, {run.metrics['seconds']:.1f} s, run {run.hash}", flush=True)

    def report(self) -> int:
        """Print what was done, what failed and what is left; returns the exit code."""
        here = len(self.todo) - len(self.left) - self.trained
        print(f"{self.trained} runs trained, {here} were there already, {len(self.left)} left.")
        waiting = [config for config in self.left if config not in self.refused]
        if waiting and not self.without_data:
            begun = sum(self.stores[0].state(config) == "growing" for config in waiting)
            print(f"The time is used up; {begun} of those left have begun: the same command goes on from there.")
        for name, run in self.failed:
            print(f"failed: {name}, run {run.hash}: {run.message}", file=sys.stderr)
        for fault in dict.fromkeys([*self.without_data.values(), *self.refused.values()]):
            print(f"gonlib: {fault}", file=sys.stderr)
        return 2 if self.without_data or self.refused else 1 if self.failed else 0
