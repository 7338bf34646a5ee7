"""The inverse problem of chapter 12: which setting, left unsaid by the paper, comes nearest to its Table 1?"""

import numpy as np
import pandas as pd

from ..experiment import curves, experiment
from ..judging import MARKS, Finding, done, rule, where
from ..linear import components_for, recorded_pca_error
from ..numbers import Html, linked, say
from ..paper import DATASETS, TABLE1

# What the paper leaves unsaid, one change at a time from the profile's setting.
CHANGES = {
    "as assumed": {},
    "32 latents": {"latents": 32},
    "64 latents": {"latents": 64},
    "128 latents": {"latents": 128},
    "512 latents": {"latents": 512},
    "8 filters": {"filters": 8},
    "32 filters": {"filters": 32},
    "batch 256": {"batch_size": 256},
    "batch 1024": {"batch_size": 1024},
    "rate 1e-3": {"learning_rate": 1e-3},
    "rate 3e-3": {"learning_rate": 3e-3},
    "rate 1e-2": {"learning_rate": 1e-2},
    "population statistics": {"evaluation": "population"},
    "no normalisation": {"batchnorm": False},
    "encoder without normalisation": {"encoder_batchnorm": False},
}
OPTIONS = {"columns": ("dataset", "change")}


def _grid(dataset, changes=tuple(CHANGES), models=("GON", "AE", "Tied AE", "1 step, detached")):
    return [({"model": model, "change": name}, CHANGES[name]) for name in changes for model in models]


settings = experiment("settings", "What were the settings of Table 1? One change at a time, short runs", **OPTIONS)(_grid)
full_length = experiment("settings-length", "What were the settings of Table 1? Some of them at full length",
                         **OPTIONS)(_grid)


@experiment("settings-stability", "Claim C15: final error over learning rates and batch sizes",
            columns=("learning_rate", "batch_size"))
def stability(dataset, learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), batch_sizes=(16, 64, 256), models=("GON", "AE")):
    return [{"model": model, "learning_rate": rate, "batch_size": batch}
            for model in models for rate in learning_rates for batch in batch_sizes]


@rule("C15", "settings-stability", failures=True, says="over the grid of learning rates and batch sizes no GON diverges "
      "(ends at NaN, or with more than 1.5 times the lowest error on its way); fails if more than a quarter do")
def c15(settings_stability):
    said = []
    if "learning_rate" not in settings_stability or settings_stability.learning_rate.nunique() < 2:
        return  # one setting is no range
    for model in ("AE", "GON"):  # the GON last: it is the one that is judged
        runs = where(settings_stability, model=model)
        wild = runs[[diverged(run) for run in runs.itertuples()]] if len(runs) else runs
        places = f" ({'; '.join(dict.fromkeys(wild.column))})" if len(wild) else ""
        if len(runs):
            said.append(say("{}: {} diverge{}", model, linked(f"{len(wild)} of {len(runs)}", runs), places))
    if len(runs):
        outcome = "holds" if wild.empty else "fails" if len(wild) > len(runs) / 4 else "undecided"
        yield Finding(outcome, say("{} {}", Html("; ").join(said[::-1]), MARKS[outcome]), runs)


def diverged(run) -> bool:
    """Whether a run failed or ended with more than 1.5 times the lowest test error of its history."""
    errors = None if run.state == "failed" else run.run.history.test_error
    return errors is None or errors.iloc[-1] > 1.5 * errors.min()


def residuals(runs, metric="test_error", paper=TABLE1):
    """How far each setting is from the paper: log10(ours / paper) per row and data set, and its root mean square.

    A DataFrame with a row per setting, nearest first, a column per (data set, row of Table 1) at hand, `distance`, and
    `up to scale`, the distance left when one factor per data set, the best, is allowed: of the ratios between rows.
    An error ten times too large counts 1. A setting misses a cell of another: only cells that all have are compared.
    """
    rows = runs[runs.state == "done"]
    rows = rows[[paper.get(r.model, {}).get(r.dataset) is not None for r in rows.itertuples()]]
    if rows.empty:
        return pd.DataFrame()
    rows = rows.assign(residual=[np.log10(getattr(r, metric) / paper[r.model][r.dataset][0]) for r in rows.itertuples()])
    rows["dataset"] = rows.dataset.map(DATASETS)
    table = rows.pivot_table(index="change", columns=["dataset", "model"], values="residual", sort=False).dropna(axis=1)
    relative = table - table.T.groupby(level="dataset").transform("mean").T
    table["distance", ""] = np.sqrt((table**2).mean(axis=1))
    table["up to scale", ""] = np.sqrt((relative**2).mean(axis=1))
    return table.sort_values(("distance", "")).rename_axis(index=None, columns=(None, None))


def unexplained(residuals, setting, factor=1.25):
    """Cells of Table 1, "data set: row", that a setting misses by more than a factor, from a table of `residuals`."""
    missed = residuals.loc[setting].drop(["distance", "up to scale"], level=0)
    return [f"{dataset}: {row}" for (dataset, row), value in missed.items() if abs(value) > np.log10(factor)]


def latent_yardstick(paper=TABLE1, components=256):
    """PCA beside Table 1: per data set the paper's GON and AE, and how many components PCA needs for the same errors.

    A DataFrame; data sets whose PCA was not computed are left out.
    """
    lines = {}
    for name in paper["GON"]:
        if (error := recorded_pca_error(name, components)) is not None:
            line = {f"PCA, {components} components": f"{error:.2f}"}
            for row in ("GON", "AE"):
                stated = paper[row][name][0]
                line[f"the paper's {row}"] = f"{stated:.2f}"
                line[f"components for {row}'s error"] = components_for(name, stated)
            lines[DATASETS[name]] = line
    return pd.DataFrame(lines).T


def ratios(runs, metric="test_error", paper=TABLE1):
    """Each model's error over the GON's, per data set and setting, the paper's own ratios on top: comparable anywhere."""
    rows = runs[runs.state == "done"]
    means = rows.groupby(["dataset", "change", "model"], sort=False)[metric].mean().unstack("model")
    stated = {(name, "the paper"): {row: paper[row][name][0] for row in means.columns if row in paper}
              for name in paper["GON"]}
    both = pd.concat([pd.DataFrame(stated).T, means[[row for row in paper if row in means]]])
    both.index = pd.MultiIndex.from_tuples([(DATASETS.get(name, name), change) for name, change in both.index])
    return both.div(both["GON"], axis=0).drop(columns="GON")


def crossing(curves, first="GON", second="AE", metric="test_error"):
    """The first epoch at which the mean curve of `second` is below that of `first` and stays there, or None."""
    means = curves.groupby(["epoch", "model"])[metric].mean().unstack("model").dropna()
    below = means[second] < means[first]
    if below.empty or not below.iloc[-1]:
        return None
    above = below[~below]
    return int(below.index[0] if above.empty else below.index[below.index > above.index[-1]][0])


def crossings(runs, first="GON", second="AE"):
    """For each column of an experiment's finished runs: how long they were trained, and the `crossing` of two models.

    A DataFrame with the columns `epochs`, `seeds` and, as text, from which epoch on the second is ahead.
    """
    lines = {}
    for column, part in runs[runs.state == "done"].groupby("column", sort=False):
        pair = where(part, model=(first, second))
        if pair.model.nunique() == 2:
            epoch = crossing(curves(pair), first, second)
            lines[column] = {"epochs": int(pair.epochs.max()), "seeds": pair.seed.nunique(),
                             f"{second} ahead from epoch": "never" if epoch is None else str(epoch)}
    return pd.DataFrame.from_dict(lines, orient="index")


def nearest_sentences(table: pd.DataFrame) -> list[str]:
    """Which setting is nearest to the paper, from a table of `residuals`."""
    return [] if table.empty else [f"{what}: nearest of {len(table)} settings is {table[what].idxmin()} "
                                   f"({table[what].min():.2f})" for what in ("distance", "up to scale")]


def unexplained_sentences(table: pd.DataFrame) -> list[str]:
    """For each setting of a table of `residuals`, the cells that it misses by more than a quarter."""
    lines = []
    for setting in table.index:
        missed, cells = unexplained(table, setting), table.shape[1] - 2
        named = ", ".join(missed) if len(missed) < cells else f"all {cells} cells"
        distance = table.loc[setting, "distance"].item()
        lines.append(f"{setting}: distance {distance:.2f}; off by more than a quarter: {named or 'none'}")
    return lines


def crossing_sentences(runs: pd.DataFrame) -> list[str]:
    """For each column, from which epoch on the autoencoder is below the GON."""
    lines = []
    for column, part in curves(runs).groupby("column", sort=False) if len(done(runs)) else ():
        when = crossing(part)
        lines.append(f"{column}: from epoch {when} to the end AE is below GON." if when else
                     f"{column}: GON is not above AE at the end, epoch {part.epoch.max()}.")
    return lines


def all_crossings(varied: dict, stored, profile, recorded) -> pd.DataFrame:
    """`crossings` of several experiments, {name: what is varied}: of this build's runs, then of the recorded ones.

    `stored` and `recorded` are the registry's functions of these names. At full length only recorded runs are shown.
    """
    builds = {("this build", what): crossings(stored(name, profile)) for name, what in varied.items()
              if name != "settings-length"}
    full = {("recorded", what): crossings(recorded(name)) for name, what in varied.items()}
    return pd.concat(builds | full).convert_dtypes()
