"""Figure 16: training and test error on several data sets, and the gap between them."""

import numpy as np
import pandas as pd

from ..experiment import Experiment, curves, models
from ..judging import by_column, compared, models_below, rule, where
from ..numbers import Html, conditions, linked, number, say

generalisation = Experiment("generalisation", "Figure 16: training and test error on several data sets", models("GON", "AE"))


def with_gap(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `gap`, test minus training error, and `ratio`, test over training error."""
    if not {"train_error", "test_error"} <= set(runs):  # none has been run
        return runs
    return runs.assign(gap=runs.test_error - runs.train_error, ratio=runs.test_error / runs.train_error)


@rule("C8", "steps-and-gap-latents", "generalisation", says="test minus training error is smaller for GON than for AE")
def c8(steps_and_gap_latents, generalisation):
    for runs in (steps_and_gap_latents, generalisation):
        yield from models_below(with_gap(runs), "GON", ["AE"], "gap")


def in_short(full: pd.DataFrame, runs: pd.DataFrame) -> list[Html]:
    """What the paper says, the gaps of recorded runs, and how often this build's agree, for the box "In short"."""
    lines = [say("The paper: in all cases a GON generalises better than its autoencoder, and its errors are lower.")]
    for _, here in by_column(with_gap(compared(full))):
        gaps, errors = ([number(where(here, model=model), metric, 3) for model in ("GON", "AE")]
                        for metric in ("gap", "test_error"))
        lines.append(say("Recorded, {}: gap {} (GON) and {} (AE), test error {} and {}.", conditions(here), *gaps, *errors))
    small = with_gap(compared(runs))
    if len(small):
        means = small.groupby(["column", "model"])[["gap", "test_error"]].mean().unstack()
        lower = {metric: int((means[metric].GON < means[metric].AE).sum()) for metric in ("gap", "test_error")}
        lines.append(say("This build, {}: the GON has the smaller gap on {} of {} data sets and the lower test error on {}.",
                         conditions(small), linked(str(lower["gap"]), small), len(means), lower["test_error"]))
    return lines


def at_equal_fit(runs: pd.DataFrame) -> list[Html]:
    """The test error of GON and AE at the lowest training error that both have, a sentence for each data set.

    A model that fits its training images better has a larger gap for that reason alone; so compare where both fit alike.
    """
    lines = []
    for column, here in by_column(compared(runs)):
        history = curves(here).groupby(["model", "epoch"], as_index=False)[["train_error", "test_error"]].mean()
        paths = {model: part.sort_values("train_error") for model, part in history.groupby("model")}
        if {"GON", "AE"} <= set(paths):
            level = max(path.train_error.min() for path in paths.values())
            gon, ae = (np.interp(level, paths[model].train_error, paths[model].test_error) for model in ("GON", "AE"))
            lines.append(say("{}: where both have a training error of {}, the test error is {} (GON) and {} (AE).", column,
                             f"{level:.3f}", *(linked(f"{error:.3f}", here) for error in (gon, ae))))
    return lines
