"""Figure 16: training and test error on several data sets, and the gap between them."""

import numpy as np
import pandas as pd

from ..experiment import Experiment, curves, models
from ..judging import by_column, compared, models_below, rule, where
from ..numbers import Html, as_table, found_in, linked, listed, number, say, with_claim
from ..races import AHEAD

generalisation = Experiment("generalisation", "Figure 16: training and test error on several data sets", models("GON", "AE"))
PAIR = ("GON", "AE")
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
    """Who generalises better in recorded runs and in this build's, by the gap and at equal fit; what the paper says."""
    told = []
    for source, some in (("Recorded", with_gap(compared(full))), ("This build", with_gap(compared(runs)))):
        gaps = [(column, *(where(here, model=model).gap.mean() for model in PAIR), here) for column, here in by_column(some)]
        fits = [(column, *errors, here) for column, _, errors, here in _equal_fits(some)]
        if gaps:
            told.append(found_in(source, some, say(
                "The smaller gap is {}. Where both fit their training images equally well, the lower test error is {}",
                _whose(gaps), _whose(fits))))
    return with_claim(told, "The paper: in all cases a GON generalises better than its autoencoder, and its errors are "
                            "lower.")


def _whose(pairs):
    """Which of the two models is lower on which data sets, from (data, GON's, AE's, runs); see `AHEAD`."""
    lower = {"the GON's": [], "the autoencoder's": [], "neither's (within 1%)": []}
    for column, gon, ae, runs in pairs:
        low, high = sorted((gon, ae))
        level = low > 0 and low >= (1 - AHEAD) * high
        whose = "neither's (within 1%)" if level else "the GON's" if gon < ae else "the autoencoder's"
        lower[whose].append(linked(column, runs))
    return Html("; ").join(say("{} on {}", whose, listed(found)) for whose, found in lower.items() if found)


def gap_table(runs: pd.DataFrame) -> Html:
    """Training error, test error and gap, two rows for each data set; nothing without runs."""
    lines = {}
    for column, here in by_column(with_gap(runs)):
        seeds, epochs = here.seed.nunique(), here.epoch.max()
        about = f"epoch {epochs:,.0f}" + (f" of {here.asked.max():,.0f}" if epochs < here.asked.max() else "")
        head = say("{}<small>{}, {} seed{}</small>", column, about, seeds, "s" * (seeds > 1))
        for model, part in here.groupby("model", sort=False):
            lines[head, model] = {title: number(part, metric, 3) for metric, title in METRICS.items()}
    return as_table(pd.DataFrame(lines).T)


def at_equal_fit(runs: pd.DataFrame) -> Html:
    """The test error of GON and AE at the lowest training error that both have, a row for each data set.

    A model that fits its training images better has a larger gap for that reason alone; so compare where both fit alike.
    """
    return as_table(pd.DataFrame({column: {"training error of both": f"{level:.3f}"} | {
        f"test error, {model}": linked(f"{error:.3f}", here) for model, error in zip(PAIR, errors, strict=True)}
        for column, level, errors, here in _equal_fits(runs)}).T)


def _equal_fits(runs):
    """(data, lowest training error that both models have, their test errors there, runs) of each data set."""
    for column, here in by_column(compared(runs)):
        history = curves(here).groupby(["model", "epoch"], as_index=False)[["train_error", "test_error"]].mean()
        paths = {model: part.sort_values("train_error") for model, part in history.groupby("model")}
        if set(PAIR) <= set(paths):
            level = max(paths[model].train_error.min() for model in PAIR)
            errors = [float(np.interp(level, paths[model].train_error, paths[model].test_error)) for model in PAIR]
            yield column, level, errors, here
