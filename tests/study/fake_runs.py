"""Synthetic runs to judge claims by."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gonlib.study.experiment import title
from gonlib.study.paper import DATASETS
from gonlib.training.config import Config


@dataclass
class FakeRun:
    """As much of a `Run` as a verdict reads."""

    metrics: dict = field(default_factory=lambda: {"epochs": 500, "steps": 1000, "images": 100})
    provenance: dict = field(default_factory=lambda: {"device": "a device"})
    folder: Path = Path("build/store/0123456789abcdef")
    data: dict = field(default_factory=dict)
    shots: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    snapshots = property(lambda self: (None, self.shots))

    def summary(self):
        return "a run"


def table(values, metric="test_error", names=("model", "dataset"), state="done", spread=0.01, seeds=3, **fields):
    """Runs as `collect` gives them, from {values of the factors `names`: mean}; the last factor makes the column.

    Seeds differ by `spread`.
    """
    lines = []
    for key, value in values.items():
        factors = dict(zip(names, key, strict=True))
        factors.setdefault("dataset", "digits")
        dataset = factors["dataset"] if factors["dataset"] in DATASETS else "digits"
        for seed in range(seeds):
            config = Config(dataset=dataset, seed=seed)
            lines.append(factors | {
                "row": title(factors, names[:-1]), "column": title(factors, names[-1:]), "seed": seed, "state": state,
                "hash": f"{len(lines):016x}", metric: value + spread * (seed - 1), "run": FakeRun(**fields),
                "config": config, "epoch": 500, "asked": 500})
    return pd.DataFrame(lines)
