"""Who wins when: at which epochs the leader of two models changes, and at which each has the paper's error."""

from dataclasses import dataclass

import pandas as pd

from .experiment import curves
from .judging import by_column, where
from .numbers import Html, linked, say

AHEAD = 0.01  # a lead of less than this share of the error changes no leader
TOLD = 4  # changes of the leader that are told one by one


@dataclass(frozen=True)
class Race:
    """Two models of one column, followed over the epochs that both have.

    Attributes:
        column: Its title.
        names: The two models.
        leads: (epoch, model that leads from there on), in order; empty if neither was ever ahead by a hundredth.
        epochs, asked: How far both were followed, and how far they are to go.
        paper: Model -> the paper's error, where it states one.
        reached: Model -> the first epoch at which it has no more than the paper's error, of those that reach it.
        errors: Model -> its error at the end of the race.
        runs: Those that were followed.
    """

    column: str
    names: tuple[str, str]
    leads: tuple[tuple[int, str], ...]
    epochs: int
    asked: int
    paper: dict[str, float]
    reached: dict[str, int]
    errors: dict[str, float]
    runs: pd.DataFrame

    @property
    def level(self) -> bool:
        """Whether the two are within a hundredth of each other in the end."""
        low, high = sorted(self.errors.values())
        return low >= (1 - AHEAD) * high

    @property
    def seeds(self) -> int:
        """How many seeds were followed."""
        return self.runs.seed.nunique()


def crossings(runs: pd.DataFrame, first: str = "GON", second: str = "AE", metric: str = "test_error") -> list[Race]:
    """A `Race` of two models for each column of an experiment that has both: as far as both have been trained.

    Args:
        runs: As `registry.recorded` or `registry.run` gives them.
        first, second: Models, named as in the column `model`.
        metric: One that is measured each epoch.

    Only those seeds are followed, as their mean, that have both models to the furthest epoch.
    """
    found = (_race(title, where(here, model=(first, second)), (first, second), metric) for title, here in by_column(runs))
    return [race for race in found if race]


def _race(column, runs, names, metric):
    runs = runs[runs.run.notna()]
    lines = curves(runs) if len(runs) else pd.DataFrame()
    if metric not in lines or set(names) != set(lines.model):
        return None
    ends = lines.groupby(["seed", "model"]).epoch.max().unstack()[list(names)].dropna().min(axis=1)
    if ends.empty:
        return None
    end, followed = int(ends.max()), ends.index[ends == ends.max()]
    lines = lines[lines.seed.isin(followed) & (lines.epoch <= end)]
    errors = lines.groupby(["epoch", "model"])[metric].mean().unstack()[list(names)].dropna()
    runs = runs[runs.seed.isin(followed)]
    paper = {r.model: r.paper[0] for r in runs.itertuples() if getattr(r, "paper", None)}
    below = {name: errors.index[errors[name] <= value] for name, value in paper.items()}
    reached = {name: int(epochs[0]) for name, epochs in below.items() if len(epochs)}
    asked = int(runs.asked.max()) if "asked" in runs else end
    return Race(column, names, _leads(errors, *names), end, max(asked, end), paper, reached, errors.iloc[-1].to_dict(), runs)


def _leads(errors, first, second):
    leads = []
    for epoch, one, other in errors[[first, second]].itertuples():
        leader = ahead(one, other, first, second)
        if leader and (not leads or leads[-1][1] != leader):
            leads.append((int(epoch), leader))
    return tuple(leads)


def ahead(one: float, other: float, first: str = "GON", second: str = "AE") -> str | None:
    """Which of two models has the lower error by a hundredth, if one has."""
    return first if one < (1 - AHEAD) * other else second if other < (1 - AHEAD) * one else None


def leaders(race: Race) -> str:
    """Who leads from when on, in words; the changes between the first and the last are only counted if they are many."""
    told = [f"{name} {'' if at else 'leads '}from {'' if at else 'epoch '}{epoch:,}"
            for at, (epoch, name) in enumerate(race.leads)]
    if len(told) > TOLD:
        told[1:-1] = [f"then {len(told) - 2} changes"]
    told += ["level in the end"] if race.leads and race.level else []
    return ", ".join(told) or "neither is ever ahead by more than a hundredth"


def sentence(race: Race) -> Html:
    """One race in words: who leads from when on, and when each has the paper's error; linked to its runs."""
    seeds = "one seed" if race.seeds == 1 else f"{race.seeds} seeds"
    how_far = f"{race.epochs:,}" if race.epochs == race.asked else f"{race.epochs:,} of {race.asked:,}"
    told = [say("{}, {} to epoch {}: {}", race.column, seeds, how_far, linked(leaders(race), race.runs))]
    for name, value in race.paper.items():
        when = f"is reached at epoch {race.reached[name]:,}" if name in race.reached else "is not reached"
        told.append(say("the paper's {} for {} {}", f"{value:.2f}", name, when))
    return say("{}.", Html("; ").join(told))


def sentences(runs: pd.DataFrame) -> list[Html]:
    """`sentence` for each of the `crossings` of an experiment."""
    return [sentence(race) for race in crossings(runs)]


def table(races: list[Race]) -> pd.DataFrame:
    """Races as rows: data, rivals, how far, who leads when, and the epochs at which each has the paper's error."""
    rows = []
    for race in races:
        at = {f"{name} has the paper's error": _when(race, name) for name in race.names}
        rows.append({"data": race.column, "race": " against ".join(race.names), "to epoch": race.epochs,
                     "seeds": race.seeds, "ahead": linked(leaders(race), race.runs)} | at)
    return pd.DataFrame(rows)


def _when(race, name):
    if name not in race.paper:
        return "–"
    return f"{race.reached[name]:,}" if name in race.reached else "not yet" if race.epochs < race.asked else "never"
