"""Figure 16: training and test error on several data sets, and the gap between them."""

import numpy as np
import pandas as pd

from ..experiment import Experiment, curves, models
from ..judging import by_column, compared, models_below, rule, where
from ..numbers import Html, conditions, linked, number, reached, say

generalisation = Experiment("generalisation", "Figure 16: training and test error on several data sets", models("GON", "AE"))
METRICS = {"train_error": "training error", "test_error": "test error", "gap": "gap"}


def with_gap(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `gap`, test minus training error, and `ratio`, test over training error."""
    if not {"train_error", "test_error"} <= set(runs):  # none has been run
        return runs
    return runs.assign(gap=runs.test_error - runs.train_error, ratio=runs.test_error / runs.train_error)


@rule("C8", "steps-and-gap-latents", "generalisation", says="test minus training error is smaller for GON than for AE")
def c8(steps_and_gap_latents, generalisation):
    for runs in (steps_and_gap_latents, generalisation):
        yield from models_below(with_gap(runs), "GON", ["AE"], "gap", digits=3)


def in_short(full: pd.DataFrame, runs: pd.DataFrame) -> list[Html]:
    """What the paper says, the gaps of recorded runs, and how often this build's agree, for the box "In short"."""
    lines = [say("The paper: in all cases a GON generalises better than its autoencoder, and its errors are lower.")]
    for column, here in by_column(with_gap(compared(full))):
        gaps = [number(where(here, model=model), "gap", 3) for model in ("GON", "AE")]
        length = reached(here) if (here.epoch < here.asked).any() else "at full length"
        lines.append(say("Recorded, {}, {}: the gap is {} for the GON and {} for the autoencoder.", column, length, *gaps))
    small = with_gap(compared(runs))
    if len(small):
        means = small.groupby(["column", "model"])[["gap", "test_error"]].mean().unstack()
        lower = {metric: int((means[metric].GON < means[metric].AE).sum()) for metric in ("gap", "test_error")}
        lines.append(say("This build, {}: the GON has the smaller gap on {} of {} data sets and the lower test error on {}.",
                         conditions(small), linked(str(lower["gap"]), small), len(means), lower["test_error"]))
    return lines


def gap_table(runs: pd.DataFrame) -> Html:
    """Training error, test error and gap, two rows for each data set; nothing without runs."""
    lines = {}
    for column, here in by_column(with_gap(runs)):
        seeds, epochs = here.seed.nunique(), here.epoch.max()
        about = f"epoch {epochs:,.0f}" + (f" of {here.asked.max():,.0f}" if epochs < here.asked.max() else "")
        head = say("{}<small>{}, {} seed{}</small>", column, about, seeds, "s" * (seeds > 1))
        for model, part in here.groupby("model", sort=False):
            lines[head, model] = {title: number(part, metric, 3) for metric, title in METRICS.items()}
    return _as_table(lines)


def at_equal_fit(runs: pd.DataFrame) -> Html:
    """The test error of GON and AE at the lowest training error that both have, a row for each data set.

    A model that fits its training images better has a larger gap for that reason alone; so compare where both fit alike.
    """
    lines = {}
    for column, here in by_column(compared(runs)):
        history = curves(here).groupby(["model", "epoch"], as_index=False)[["train_error", "test_error"]].mean()
        paths = {model: part.sort_values("train_error") for model, part in history.groupby("model")}
        if {"GON", "AE"} <= set(paths):
            level = max(path.train_error.min() for path in paths.values())
            lines[column] = {"training error of both": f"{level:.3f}"} | {
                f"test error, {model}": linked(f"{np.interp(level, path.train_error, path.test_error):.3f}", here)
                for model, path in sorted(paths.items(), reverse=True)}
    return _as_table(lines)


def _as_table(lines):
    return Html(pd.DataFrame(lines).T.to_html(escape=False, border=0, classes="results") if lines else "")
