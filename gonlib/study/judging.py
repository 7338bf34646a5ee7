"""The parts that rules are made of: when a difference counts, what was found, and how findings make a verdict."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..runs.kept import collected
from .numbers import Html, number, say

ONE_SEED = 0.05  # without seeds to compare, a difference counts if it exceeds this share of the larger value
MARKS = {"holds": "✓", "fails": "✗", "undecided": "≈", "mixed": "≈"}
NO_RUNS = pd.DataFrame({name: pd.Series(dtype=object if name in ("run", "config") else str) for name in (
    "row", "column", "dataset", "model", "seed", "state", "hash", "run", "config")})


@dataclass(frozen=True)
class Comparison:
    """Whether one quantity lies below another.

    Attributes:
        verdict: "holds", "fails" or "undecided".
        text: The numbers and what they were held against.
        difference: Mean of `higher` minus mean of `lower`.
        standard_error: Of the difference; None if one of them has a single seed.
        p: Of a two-sided t test, paired or Welch's; None likewise, or if nothing varies.
        paired: Whether both have the same seeds, which are compared one by one.
    """

    verdict: str
    text: str
    difference: float
    standard_error: float | None
    p: float | None
    paired: bool = False


def compare(lower, higher, sigmas: float = 2) -> Comparison:
    """Judge that `lower` lies below `higher`, each the values of a metric over seeds.

    The rule of this book: a difference of means counts if it exceeds `sigmas` standard errors. Two Series with the same
    seeds as index are compared pair by pair: a seed decides the first weights and the order of the data, so that
    the differences of a seed's two runs vary less than the runs. Otherwise the error is sqrt(s1^2 / n1 + s2^2 / n2). Where
    one side has a single seed, a difference counts if it exceeds 5% of the larger mean.

    Raises:
        ValueError: For no values, or values that are not finite.
    """
    paired = _same_seeds(lower, higher)
    if paired:
        higher = higher[lower.index]
    sides = [np.asarray(list(values), float) for values in (lower, higher)]
    if not all(len(side) and np.isfinite(side).all() for side in sides):
        raise ValueError("both sides of a comparison need finite values")
    means = [float(side.mean()) for side in sides]
    difference, error, p = means[1] - means[0], None, None
    if all(len(side) > 1 for side in sides):
        error, p = _paired_test(*sides) if paired else _welch_test(*sides)
        needed = max(sigmas * error, 1e-9 * max(abs(mean) for mean in means))  # not a rounding of the last digit
        against = f"{sigmas} standard errors are {sigmas * error:.2g}"
        against += ", seed by seed" if paired else ""
        against += "" if p is None else f", p is {p:.2g}"
    else:
        needed = ONE_SEED * max(abs(mean) for mean in means)
        against = f"one seed, {ONE_SEED:.0%} is {needed:.2g}"
    verdict = "holds" if difference > needed else "fails" if -difference > needed else "undecided"
    return Comparison(verdict, f"{means[0]:.4g} against {means[1]:.4g}: a difference of {difference:.2g}, {against}",
                      difference, error, p, paired)


def _same_seeds(*sides):
    """Whether both sides say of which seeds their values are, and these are the same, at least two."""
    if not all(isinstance(side, pd.Series) and side.index.name == "seed" for side in sides):
        return False
    seeds = [list(side.index) for side in sides]
    return len(seeds[0]) > 1 and sorted(seeds[0]) == sorted(seeds[1]) and len(set(seeds[0])) == len(seeds[0])


def _paired_test(lower, higher):
    """Standard error and p of the mean difference of pairs; no p if all differ by the same."""
    from scipy import stats  # here, as below: it takes almost a second to load, and most commands do not need it

    differences = higher - lower
    error = float(differences.std(ddof=1) / math.sqrt(len(differences)))
    varies = np.ptp(differences) > 1e-6 * np.abs([lower, higher]).mean()
    return error, float(stats.ttest_rel(higher, lower).pvalue) if varies else None


def _welch_test(lower, higher):
    """Standard error and p of the difference of two means; no p if a side does not vary."""
    from scipy import stats

    error = math.sqrt(sum(side.var(ddof=1) / len(side) for side in (lower, higher)))
    varies = all(np.ptp(side) > 1e-6 * abs(side.mean()) for side in (lower, higher))
    return error, float(stats.ttest_ind(lower, higher, equal_var=False).pvalue) if varies else None


def by_seed(runs: pd.DataFrame, metric: str) -> pd.Series:
    """A metric of runs with their seeds as index, for `compare`."""
    return runs.set_index("seed")[metric]


@dataclass(frozen=True)
class Finding:
    """One observation on a claim: `outcome` "holds", "fails" or "undecided", a sentence, the runs that it rests on."""

    outcome: str
    text: Html
    runs: pd.DataFrame = field(default_factory=lambda: NO_RUNS)


@dataclass(frozen=True)
class Rule:
    """How a claim is judged.

    Attributes:
        claim: Its number in `paper.CLAIMS`.
        experiments: Those that it reads.
        says: In words, what makes the claim hold or fail.
        judge: Function of the experiments' runs, named like them with _ for -, that yields findings.
        exact: Mathematics that is checked directly: no runs are needed.
        failures: Whether it is told of failed runs too.
    """

    claim: str
    experiments: tuple
    says: str
    judge: Callable
    exact: bool = False
    failures: bool = False


def rule(claim: str, *experiments: str, says: str, exact=False, failures=False) -> Callable[[Callable], Rule]:
    """Make a function the `Rule` of a claim."""
    return lambda function: Rule(claim, experiments, says, function, exact, failures)


def graded(value: float, good: float, bad: float) -> str:
    """"holds" from `good` on, "fails" beyond `bad`, "undecided" between; `good` may be the larger or the smaller."""
    sign = 1 if good > bad else -1
    return "holds" if sign * value >= sign * good else "fails" if sign * value < sign * bad else "undecided"


def together(outcomes) -> str:
    """What several outcomes say as one: theirs if they agree, else "mixed"."""
    outcomes = set(outcomes)
    return outcomes.pop() if len(outcomes) == 1 else "mixed"


def done(runs: pd.DataFrame, metric: str | None = None) -> pd.DataFrame:
    """The runs that ended well (and have a finite `metric`); failed runs, and runs not made yet, are not counted."""
    runs = runs[runs.state == "done"]
    if metric is None:
        return runs
    if metric not in runs:  # none has been run
        return runs[:0].assign(**{metric: pd.Series(dtype=float)})
    return runs[np.isfinite(runs[metric].astype(float))]


def compared(runs: pd.DataFrame, metric: str = "test_error") -> pd.DataFrame:
    """The finished runs of those columns in which two rows or more have runs of their own to compare."""
    runs = done(runs, metric)
    rows = runs.drop_duplicates("hash").groupby("column").row.nunique()
    return runs[runs.column.isin(rows.index[rows > 1])]


def unless_shown(full: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Recorded runs to stand beside a page's own `runs`: none if the page's own are the very same."""
    recorded = set(done(full).hash)
    return full[:0] if recorded and recorded <= set(runs.hash) else full


def by_column(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(title, runs) of each column of an experiment."""
    for column in dict.fromkeys(runs.column):
        yield column, runs[runs.column == column]


def where(runs: pd.DataFrame, **factors) -> pd.DataFrame:
    """The runs whose factors have these values; a tuple stands for any of its values."""
    for name, value in factors.items():
        if name not in runs:
            return runs[:0]
        runs = runs[runs[name].isin(value if isinstance(value, tuple) else (value,))]
    return runs


def below(column, lower, highers, metric="test_error", digits=2, reach=None) -> Finding | None:
    """One finding: the runs `lower` = (name, runs) have a metric below each of `highers`, all within one column.

    None if a side has no runs, or if it is below those of `highers` that have runs and others have none: one rival can
    refute "below all", only all can confirm it. `reach`, if given, is a factor that the means must differ by as well.
    """
    name, mine = lower[0], done(lower[1], metric)
    rivals = {rival: runs for rival, part in highers.items() if len(runs := done(part, metric))}
    if mine.empty or not rivals:
        return None
    outcomes, told = {}, []
    for rival, runs in rivals.items():
        found = compare(by_seed(mine, metric), by_seed(runs, metric))
        far = not reach or runs[metric].mean() >= reach * mine[metric].mean()
        outcomes[rival] = found.verdict if far or found.verdict != "holds" else "undecided"
        way = "higher" if found.difference > 0 else "lower"
        by = f"{rival} {way} by {abs(found.difference):.2g} ± {found.standard_error or 0:.1g} seed by seed"
        beside = [by] if found.paired else []
        beside += [] if found.p is None else [f"p {found.p:.2g}"]
        beside = f" ({', '.join(beside)})" if beside else ""
        told.append(say("{} {}{} {}", rival, number(runs, metric, digits), beside, MARKS[outcomes[rival]]))
    outcome = together(outcomes.values())
    if outcome == "holds" and len(rivals) < len(highers):
        return None
    text = say("{}: {} {} against {}", column, name, number(mine, metric, digits), Html(", ").join(told))
    return Finding(outcome, text, pd.concat([mine, *rivals.values()]))


def models_below(runs, model, others, metric="test_error", digits=2, reach=None) -> Iterator[Finding]:
    """`below` for each column of an experiment: a model below other models."""
    for column, here in by_column(runs):
        rivals = {name: where(here, model=name) for name in others}
        if found := below(column, (model, where(here, model=model)), rivals, metric, digits, reach):
            yield found


@dataclass(frozen=True)
class Kept:
    """A table kept with runs of one row and column, those runs, and their column's title."""

    title: str
    table: pd.DataFrame
    runs: pd.DataFrame


def kept(runs: pd.DataFrame, name: str) -> Iterator[Kept]:
    """A `Kept` for each row and column of an experiment whose runs have a table of that name."""
    for title, column in by_column(done(runs)):
        for _, part in column.groupby("row", sort=False):
            if len(table := collected(part, name)):
                yield Kept(title, table, part[part.hash.isin(table.hash)])
