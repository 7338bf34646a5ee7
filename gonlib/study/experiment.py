"""An experiment: a table or figure of the paper as a grid of cells, each with its factors and its configurations."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from ..data.registry import DATASETS as REGISTRY
from ..data.registry import facts
from ..errors import UserError, unknown
from ..method.models import MODELS
from ..runs import kept, store
from ..training.config import Config
from .parameters import split_names
from .profiles import parameters

SEEDS = 1000  # at most: a grid is written out in memory
FIELDS = {f.name: f.default for f in dataclasses.fields(Config) if f.name not in ("dataset", "seed")}


def data_title(name: str) -> str:
    """A data set as readers know it; built-in ones by the name that they type."""
    return name if name in REGISTRY and REGISTRY[name].built_in else facts(name).title


# How the value of a factor is written in the titles of rows and columns; others are written as they are.
TITLES: dict[str, str | Callable] = {
    "dataset": data_title,
    "latents": "{} latents",
    "filters": "{} filters",
    "hidden": "{} units",
    "spatial": "{0} × {0}",
    "size": "{} px",
    "batchnorm": lambda there: "with normalisation" if there else "without normalisation",
    "bn_eps": "eps {:g}",
    "latent_scale": "scale {:g}",
    "origin_sd": "sd {:g}",
    "learning_rate": "rate {:g}",
    "batch_size": "batch {}",
    "inner_fraction": "inner {:g}",
    "outer_fraction": "outer {:g}",
    "inner_steps": lambda steps: f"{steps} steps" if steps > 1 else "",
    "free_steps": "{:,} steps",
    "stop": "{:,} steps",
    "kl_anneal": lambda epochs: f"annealed over {epochs} epochs" if epochs else "full weight from the start",
    "activation": lambda name: {"elu": "ELU", "relu": "ReLU", "silu": "SiLU", "gelu": "GELU"}.get(
        name, name.replace("_relu", " ReLU")),
    "likelihood": lambda kind: {"bernoulli": "Bernoulli", "gaussian": "Gaussian"}.get(kind, kind),
    "task": lambda task: {"reconstruct": "image alone", "classify": "class alone"}.get(task, task.replace("_", " ")),
}


def title(factors: Mapping, names: Iterable[str]) -> str:
    """The title of a row or column, made from those of a cell's factors that are named."""
    words = [TITLES.get(name, "{}") for name in names]
    texts = [word.format(factors[name]) if isinstance(word, str) else word(factors[name])
             for name, word in zip(names, words, strict=True)]
    return ", ".join(text for text in texts if text)


@dataclass(frozen=True)
class Cell:
    """A cell of a table, or a curve of a figure.

    Attributes:
        factors: What tells the cell from the others: `dataset` and, as the grid says, `model`, `latents`, ...
        row, column: Titles for readers, made from the factors. Nothing selects by them.
        configs: One configuration per seed.
        paper: The paper's number as (mean, sd), or None.
    """

    factors: dict
    row: str
    column: str
    configs: tuple
    paper: tuple | None = None


@dataclass(frozen=True, eq=False)
class Experiment:
    """A table or figure of the paper (or one of ours) as a grid of configurations.

    Attributes:
        name: Its name on the command line and in the profiles.
        title: What it is, in words.
        grid: Function of a data set and of the grid's own parameters. It gives the factors of each cell as a
            dictionary. `model` stands for the configuration of that name in `models.MODELS`, a factor named like a
            field of `Config` sets that field, others are only names. Where that is not all, it gives pairs of the
            factors and a dictionary of further changes to the configuration.
        rows, columns: The factors that make the titles of rows and columns.
        paper: The paper's numbers: model, then data set, to (mean, sd).
        last: Models that cost most and teach least: run after everything else.
        keep: Function (model, data, config) to {name: table or pictures}: what is kept beside a finished run, so that
            it can be shown without its data.
    """

    name: str
    title: str
    grid: Callable
    rows: tuple = ("model",)
    columns: tuple = ("dataset",)
    paper: Mapping = field(default_factory=dict)
    last: tuple = ()
    keep: Callable | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the paper, for sorting: tables, then figures by their numbers, then what is not there."""
        found = re.match(r"(Table|Figure)s? (\d+)", self.title)
        return (("Table", "Figure").index(found[1]), int(found[2])) if found else (2, 0)

    @property
    def of_paper(self) -> bool:
        """Whether it is a table or figure of the paper."""
        return self.place < (2, 0)

    @property
    def parameters(self) -> dict:
        """Name -> default of everything that can be set: `dataset`, `seeds`, the grid's own, every field of Config."""
        own = {k: p.default for k, p in inspect.signature(self.grid).parameters.items() if p.default is not p.empty}
        return FIELDS | {"dataset": "digits", "seeds": 1} | own

    def cells(self, profile: str | dict | None = None, **overrides) -> list[Cell]:
        """The grid's cells with a profile's parameters; overrides that are None are left to the profile.

        Raises:
            UserError: For an unknown name, a value that is not allowed, or an override that no cell can use.
        """
        cells, idle = self.expand(profile, **overrides)
        for name in sorted(idle):
            raise UserError(f"parameter {name} can change nothing in {self.name}: every cell sets its own or does without.")
        return cells

    def expand(self, profile=None, **overrides) -> tuple[list[Cell], set[str]]:
        """The grid's cells, and the names of those overrides that no cell can use."""
        given = {k: v for k, v in overrides.items() if v is not None}
        values = parameters(profile, self.name, given, self.parameters)
        datasets, seeds = split_names(values.pop("dataset")), values.pop("seeds")
        if not 1 <= seeds <= SEEDS:
            raise UserError(f"parameter seeds must be a whole number from 1 to {SEEDS}, not {seeds}.")
        for name in values.get("models", []):
            if name not in MODELS:
                raise unknown("model", name, MODELS)
        own = {k: values.pop(k) for k in list(values) if k not in FIELDS}
        common = {k: v for k, v in values.items() if v != FIELDS[k]}
        # one column must not mix data sets
        columns = self.columns if len(datasets) == 1 or "dataset" in self.rows + self.columns else ("dataset", *self.columns)
        cells, idle = [], set(given) & set(FIELDS)
        for dataset in datasets:
            for item in self.grid(dataset, **own):
                factors, change = _change(item)
                # a cell's own fields are what it is about: they win over parameters meant for all
                fields = {"dataset": dataset, **common, **change}
                configs = tuple(Config.from_dict({**fields, "seed": seed}) for seed in range(seeds))
                factors = {"dataset": dataset, **factors}
                stated = self.paper.get(factors.get("model"), {}).get(dataset.partition("@")[0])  # a variant's set
                cells.append(Cell(factors, title(factors, self.rows), title(factors, columns), configs, stated))
                idle &= set(change) | configs[0].irrelevant()
        return cells, idle

    def finish(self, run, device="cpu"):
        """Compute the tables and pictures that this experiment keeps beside a finished run, unless they are there."""
        if self.keep and run.status == "done" and run.has_weights:
            kept.keep(run, self.keep, device)


def _change(item):
    """The factors of a grid's item, and all that they change in the configuration."""
    factors, change = item if isinstance(item, tuple) else (item, {})
    fields = {name: value for name, value in factors.items() if name in FIELDS}
    return factors, MODELS.get(factors.get("model"), {}) | fields | change


def experiment(name: str, title: str, **options) -> Callable[[Callable], Experiment]:
    """Make a grid function an `Experiment`; `options` are its other attributes."""
    return lambda grid: Experiment(name, title, grid, **options)


def models(*names: str) -> Callable:
    """A grid with a row for each model, by default those named."""

    def grid(dataset, models=names):
        return [{"model": name} for name in models]

    return grid


def collect(cells: Iterable[Cell], stores=None) -> pd.DataFrame:
    """The runs of some cells, one a row, as far as they have been trained.

    Returns:
        row, column, the cells' factors, seed, state ("done", "growing", "failed", "not run"), hash, every metric at the
        epoch asked for or the furthest before, `epoch`, which that is, `asked`, which it should be, `run` (the Run or
        None), config, paper, and `factors`, the names of the columns that are factors.
    """
    rows = []
    for cell in cells:
        for config in cell.configs:
            found = store.find_readable(config, stores or [store.local_store(), store.recorded_store()])
            about = {"row": cell.row, "column": cell.column, "seed": config.seed, "hash": config.hash, "config": config,
                     "paper": cell.paper, "factors": tuple(cell.factors)}
            rows.append(_numbers(found) | cell.factors | about)
    return pd.DataFrame(rows)


def _numbers(run):
    """What a row says of a run, or of None."""
    if run is None:
        return {"run": None, "state": "not run", "epoch": 0}
    return run.metrics | {"run": run, "state": run.status, "epoch": run.metrics["epochs"], "asked": run.asked.epochs}


def so_far(runs: pd.DataFrame) -> pd.DataFrame:
    """Columns with runs that are still growing, all their runs at the furthest epoch that their rows share.

    `epoch` says which that is and `asked` which was asked for; runs of other columns, failed and missing ones are left
    out, and seeds that are behind others of their row. A row that has not half of what most rows have does not hold
    the others back: it is given as far as it is.
    """
    if "asked" not in runs:  # nothing was begun
        return runs[:0]
    # one that is trained as long as asked, but not measured as asked, has nothing to compare
    begun = runs[((runs.state == "done") | ((runs.state == "growing") & (runs.epoch < runs.asked))) & (runs.epoch > 0)]
    growing = begun[begun.column.isin(begun.column[begun.state == "growing"])]
    parts = [_together(part) for _, part in growing.groupby("column", sort=False)]
    return pd.concat(parts).sort_index() if parts else growing


def as_far(runs: pd.DataFrame) -> pd.DataFrame:
    """All runs, with those of columns that are still growing as `so_far` gives them: state "done", and at which `epoch`."""
    grown = so_far(runs)
    return pd.concat([runs.drop(index=grown.index), grown]).sort_index() if len(grown) else runs


def _together(runs):
    """The runs of a column at the furthest epoch that its rows share, as if that had been asked for."""
    asked, reached = int(runs.asked.max()), runs.groupby("row").epoch.max()
    most = reached.sort_values(ascending=False).iloc[len(reached) // 2]  # what more than half of the rows have
    epoch, then = int(reached[reached >= most / 2].min()), None
    runs = runs[runs.epoch >= runs.row.map(reached).clip(upper=epoch)]
    level = list(runs.epoch >= epoch)
    while epoch != then:  # a run may have been measured last some epochs before
        then, shown = epoch, [one.run.at(epoch) for one in runs.itertuples()]
        epoch = min(run.metrics["epochs"] for run, counts in zip(shown, level, strict=True) if counts)
    kept = [name for name in runs if name not in runs.run.iloc[0].metrics]
    rows = [one[kept].to_dict() | _numbers(run) | {"state": "done", "asked": asked}
            for (_, one), run in zip(runs.iterrows(), shown, strict=True)]
    return pd.DataFrame(rows, index=runs.index)


def curves(runs: pd.DataFrame) -> pd.DataFrame:
    """The histories of `collect`ed runs as one long table: row, column, factors, seed, epoch, step, seconds, errors.

    Runs that are still growing are followed as far as they are, whatever epoch they are compared at.
    """
    parts = []
    for _, one in runs[runs.run.notna()].iterrows():
        run = one.run.at(int(one.asked)) if one.get("epoch", 0) < one.get("asked", 0) else one.run
        parts.append(run.history.assign(**{name: one[name] for name in ("row", "column", "seed", "hash", *one.factors)}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
