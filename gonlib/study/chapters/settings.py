"""The inverse problem of chapter 12: which setting, left unsaid by the paper, comes nearest to its Table 1?"""

import math

import numpy as np
import pandas as pd

from ..linear import components_for, recorded_pca_error
from ..paper import DATASETS, TABLE1
from ..registry import curves

OURS = {theirs: ours for ours, theirs in DATASETS.items()}


def split_columns(runs):
    """Finished runs of the experiment `settings` with their column "data set: change" as two columns."""
    done = runs[runs.state == "done"]
    dataset, change = zip(*(c.rsplit(": ", 1) for c in done.column), strict=True) if len(done) else ((), ())
    return done.assign(dataset=[OURS.get(name, name) for name in dataset], change=change)


def residuals(runs, metric="test_error", paper=TABLE1):
    """How far each setting is from the paper: log10(ours / paper) per row and data set, and its root mean square.

    A DataFrame with a row per setting, nearest first, a column per (data set, row of Table 1) at hand, `distance`, and
    `up to scale`, the distance left when one factor per data set, the best, is allowed: of the ratios between rows.
    An error ten times too large counts 1. A setting misses a cell of another: only cells that all have are compared.
    """
    rows = split_columns(runs)
    rows = rows[[paper.get(r.row, {}).get(r.dataset) is not None for r in rows.itertuples()]]
    if rows.empty:
        return pd.DataFrame()
    rows = rows.assign(residual=[np.log10(getattr(r, metric) / paper[r.row][r.dataset][0]) for r in rows.itertuples()])
    rows["dataset"] = rows.dataset.map(DATASETS)
    table = rows.pivot_table(index="change", columns=["dataset", "row"], values="residual", sort=False).dropna(axis=1)
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
    rows = split_columns(runs)
    means = rows.groupby(["dataset", "change", "row"], sort=False)[metric].mean().unstack("row")
    stated = {(name, "the paper"): {row: paper[row][name][0] for row in means.columns if row in paper}
              for name in paper["GON"]}
    both = pd.concat([pd.DataFrame(stated).T, means[[row for row in paper if row in means]]])
    both.index = pd.MultiIndex.from_tuples([(DATASETS.get(name, name), change) for name, change in both.index])
    return both.div(both["GON"], axis=0).drop(columns="GON")


def crossing(curves, first="GON", second="AE", metric="test_error"):
    """The first epoch at which the mean curve of `second` is below that of `first` and stays there, or None."""
    means = curves.groupby(["epoch", "row"])[metric].mean().unstack("row").dropna()
    below = means[second] < means[first]
    if below.empty or not below.iloc[-1]:
        return None
    above = below[~below]
    return int(below.index[0] if above.empty else below.index[below.index > above.index[-1]][0])


def crossings(runs, first="GON", second="AE"):
    """For each column of an experiment's finished runs: how long they were trained, and the `crossing` of two rows.

    A DataFrame with the columns `epochs`, `seeds` and, as text, from which epoch on the second is ahead.
    """
    lines = {}
    for column, part in runs[runs.state == "done"].groupby("column", sort=False):
        pair = part[part.row.isin([first, second])]
        if pair.row.nunique() == 2:
            epoch = crossing(curves(pair), first, second)
            lines[column] = {"epochs": int(pair.epochs.max()), "seeds": pair.seed.nunique(),
                             f"{second} ahead from epoch": "never" if epoch is None else str(epoch)}
    return pd.DataFrame.from_dict(lines, orient="index")


def likelihood_distances(runs, metric="test_bits"):
    """Mean |ours - the paper's| bits/dim of each likelihood over the cells of Table 2 at hand, nearest first; a Series.

    A failed run is infinitely far: its likelihood cannot have made the table at these settings.
    """
    done = runs[runs.state.isin(["done", "failed"]) & runs.paper.notna()]
    distance = [abs(getattr(r, metric) - r.paper[0]) if r.state == "done" else math.inf for r in done.itertuples()]
    kinds = [row.split(", ")[1] for row in done.row]
    return pd.Series(distance, index=kinds, dtype=float).groupby(level=0).mean().sort_values()
