"""The parts that rules are made of: when a difference counts, what was found, and how findings make a verdict."""

import html
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..book.figures import number
from ..runs.kept import collected
from .paper import DATASETS

ONE_SEED = 0.05  # without seeds to compare, a difference counts if it exceeds this share of the larger value
RULES = {}  # claim: its rule
MARKS = {"holds": "✓", "fails": "✗", "undecided": "≈"}
NO_RUNS = pd.DataFrame({name: pd.Series(dtype=object if name in ("run", "config") else str)
                        for name in ("row", "column", "seed", "state", "hash", "run", "config")})  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Whether one quantity lies below another: `verdict` is "holds", "fails" or "undecided", `text` has the numbers."""

    verdict: str
    text: str
    difference: float  # mean of `higher` minus mean of `lower`
    standard_error: float | None  # None: one of them has one seed only


def compare(lower, higher, sigmas=2):
    """Judge that `lower` lies below `higher`, each the values of a metric over seeds; returns a `Comparison`.

    The rule of this book: a difference of means counts if it exceeds `sigmas` standard errors,
    sqrt(s1^2 / n1 + s2^2 / n2). Where one side has a single seed, it counts if it exceeds 5% of the larger mean.
    Raises ValueError for no values or values that are not finite.
    """
    sides = [np.asarray(list(values), float) for values in (lower, higher)]
    if not all(len(side) and np.isfinite(side).all() for side in sides):
        raise ValueError("both sides of a comparison need finite values")
    means = [float(side.mean()) for side in sides]
    difference, error = means[1] - means[0], None
    if all(len(side) > 1 for side in sides):
        error = math.sqrt(sum(side.var(ddof=1) / len(side) for side in sides))
        needed, against = sigmas * error, f"{sigmas} standard errors are {sigmas * error:.2g}"
    else:
        needed = ONE_SEED * max(abs(mean) for mean in means)
        against = f"one seed, {ONE_SEED:.0%} is {needed:.2g}"
    verdict = "holds" if difference > needed else "fails" if -difference > needed else "undecided"
    return Comparison(verdict, f"{means[0]:.4g} against {means[1]:.4g}: a difference of {difference:.2g}, {against}",
                      difference, error)


@dataclass(frozen=True)
class Finding:
    """One observation on a claim: `outcome` "holds", "fails" or "undecided", `text` (HTML), the runs it rests on."""

    outcome: str
    text: str
    runs: pd.DataFrame = field(default_factory=lambda: NO_RUNS)


@dataclass(frozen=True)
class Rule:
    """A claim's rule: the experiments it reads, what it asks for in words, and the function that judges."""

    claim: str
    experiments: tuple
    says: str
    judge: Callable
    exact: bool = False  # mathematics, checked directly: no runs are needed
    failures: bool = False  # whether it is told of failed runs too


def rule(claim, *experiments, says, exact=False, failures=False):
    """Register the rule of a claim; the function's arguments are the experiments' names, with _ for -."""

    def register(function):
        RULES[claim] = Rule(claim, experiments, says, function, exact, failures)
        return function

    return register


def together(outcomes):
    """What several outcomes say as one: theirs if they agree, else "mixed"."""
    outcomes = set(outcomes)
    return outcomes.pop() if len(outcomes) == 1 else "mixed"


def done(runs, metric=None):
    """The runs that ended well (and have a finite `metric`); failed runs, and runs not made yet, are not counted."""
    runs = runs[runs.state == "done"]
    if metric is None:
        return runs
    return runs[np.isfinite(runs[metric].astype(float))] if metric in runs else runs[:0]


def by_column(runs):
    """(title, runs) of each column of an experiment; data sets by the paper's names."""
    for column in dict.fromkeys(runs.column):
        yield DATASETS.get(column, column), runs[runs.column == column]


def rows(runs, *names):
    """The runs of the named rows."""
    return runs[runs.row.isin(names)]


def below(column, lower, highers, metric="test_error", digits=2, reach=None):
    """One finding: the runs `lower` = (name, runs) have a metric below each of `highers`, all within one column.

    None if a side has no runs, or if it is below those of `highers` that have runs and others have none: one rival can
    refute "below all", only all can confirm it. `reach`, if given, is a factor that the means must differ by as well.
    """
    name, mine = lower[0], done(lower[1], metric)
    rivals = {rival: runs for rival, part in highers.items() if len(runs := done(part, metric))}
    if mine.empty or not rivals:
        return None
    outcomes = {}
    for rival, runs in rivals.items():
        outcomes[rival] = compare(mine[metric], runs[metric]).verdict
        if outcomes[rival] == "holds" and reach and runs[metric].mean() < reach * mine[metric].mean():
            outcomes[rival] = "undecided"
    outcome = together(outcomes.values())
    if outcome == "holds" and len(rivals) < len(highers):
        return None
    text = ", ".join(f"{rival} {number(part, metric, digits)} {MARKS[outcomes[rival]]}"
                     for rival, part in rivals.items())
    return Finding(outcome, f"{column}: {name} {number(mine, metric, digits)}; {text}",
                   pd.concat([mine, *rivals.values()]))


def rows_below(runs, row, others, metric="test_error", digits=2, reach=None):
    """`below` for each column of an experiment: row `row` below the rows `others`."""
    for column, here in by_column(runs):
        rivals = {name: rows(here, name) for name in others}
        if found := below(column, (row, rows(here, row)), rivals, metric, digits, reach):
            yield found


@dataclass(frozen=True)
class Kept:
    """A table kept with runs (extras.py) of one row and column, those runs, and their column's title."""

    title: str
    table: pd.DataFrame
    runs: pd.DataFrame


def kept(runs, name):
    """A `Kept` for each row and column of an experiment whose runs have a table of that name."""
    for title, column in by_column(done(runs)):
        for _, part in column.groupby("row", sort=False):
            if len(table := collected(part, name)):
                yield Kept(title, table, part[part.hash.isin(table.hash)])


def linked(text, runs):
    """Text on several runs, or on tables kept with them, linked to them as a number is (HTML)."""
    return (f'<a class="number" href="runs.html#run-{runs.hash.iloc[0]}" data-runs="{" ".join(runs.hash)}">'
            f"{html.escape(text)}</a>")


def basis(runs):
    """What runs were: data sets, length of training, seeds, device; one line."""
    if runs.empty:
        return ""
    datasets = ", ".join(dict.fromkeys(DATASETS.get(c.dataset, c.dataset) for c in runs.config))
    epochs = sorted({int(run.metrics.get("epochs", 0)) for run in runs.run})
    steps = sorted({int(run.metrics.get("steps", 0)) for run in runs.run})
    seeds = sorted(set(runs.groupby(["row", "column"]).seed.nunique()))
    devices = ", ".join(dict.fromkeys(run.provenance["device"] for run in runs.run))
    length, several = f"{_span(epochs)} epochs ({_span(steps)} steps)", "s" * (seeds[-1] > 1)
    return f"{datasets}; {length}; {_span(seeds)} seed{several}; {devices}"


def _span(values):
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"
