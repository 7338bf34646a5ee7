"""Figure 10: latents with a spatial size, numbers of filters and numbers of latents, judged by the training error."""

import pandas as pd

from ..experiment import data_title, experiment
from ..judging import MARKS, Finding, below, by_column, by_seed, compare, compared, rule, where
from ..numbers import Html, as_table, found_in, linked, listed, number, say, with_claim

PAIR = ("GON", "AE")
AHEAD = {"holds": "the GON is ahead", "undecided": "neither is clearly ahead", "fails": "the autoencoder is ahead"}


@experiment("architectures-spatial", "Figure 10a: latents with a spatial size, blocks left out", columns=("spatial",))
def spatial_sizes(dataset, sides=(1, 4, 8, 16), models=PAIR):
    return [{"model": name, "spatial": side} for side in sides for name in models]


@experiment("architectures-filters", "Figure 10b: numbers of filters", columns=("filters",))
def filter_counts(dataset, counts=(8, 16, 32, 64), models=PAIR):
    return [{"model": name, "filters": count} for count in counts for name in models]


@experiment("architectures-latents", "Figure 10c: training error for several latent sizes", columns=("latents",))
def latent_sizes(dataset, sizes=(32, 64, 128, 256, 512), models=PAIR):
    return [{"model": name, "latents": k} for k in sizes for name in models]


@rule("C16", "architectures-spatial", "architectures-filters", "architectures-latents",
      says="GON's training error is below AE's at spatial sizes under a quarter of the image's side (8 x 8 of 32 x 32), and "
      "above at a quarter, where two layers are left; AE minus GON is smaller with the most filters than with the fewest, "
      "and with the fewest latents than with the most")
def c16(architectures_spatial, architectures_filters, architectures_latents):
    for column, here in by_column(architectures_spatial):
        left = here.config.iloc[0].size // here.spatial.iloc[0]  # a decoder that enlarges by 4 has two layers
        pair = [(name, where(here, model=name)) for name in PAIR]
        lower, higher = pair if left > 4 else pair[::-1]
        if left >= 4:
            yield below(column, lower, dict([higher]), "train_error")
    yield _lead(architectures_filters, "filters", smaller=max)
    yield _lead(architectures_latents, "latents", smaller=min)


def _lead(runs, factor, smaller):
    """That AE minus GON is smaller at one end of a factor's values, `smaller` (min or max), than at the other."""
    runs = at_one_epoch(runs)
    leads = {}
    for value, here in runs.groupby(factor) if factor in runs else ():
        gon, ae = (where(here, model=name).set_index("seed").train_error for name in PAIR)
        if len(lead := (ae - gon).dropna()):
            leads[value] = lead
    if len(leads) < 2:
        return None
    low, high = (end(leads) for end in ((min, max) if smaller is min else (max, min)))
    outcome = compare(leads[low], leads[high]).verdict
    used = where(runs, **{factor: (low, high)})
    ends = [f"with {value} {factor} {leads[value].mean():.3g}" for value in (low, high)]
    text = say("{}: AE - GON {}, {} {}", data_title(used.config.iloc[0].dataset), *ends, MARKS[outcome])
    return Finding(outcome, text, used)


def at_one_epoch(runs: pd.DataFrame) -> pd.DataFrame:
    """The finished runs of an experiment, all at the furthest epoch that every one of them has.

    Recorded runs are alike within a column only, and here columns are compared.
    """
    runs = compared(runs, "train_error")
    if runs.empty or runs.epoch.nunique() == 1:
        return runs
    views = [run.at(int(runs.epoch.min())) for run in runs.run]
    numbers = {name: [view.metrics[name] for view in views] for name in ("train_error", "test_error")}
    return runs.assign(run=views, epoch=[view.metrics["epochs"] for view in views], **numbers)


def several(runs: pd.DataFrame) -> pd.DataFrame:
    """`at_one_epoch`, or nothing if fewer than two columns have both models: there is no lead to follow then."""
    runs = at_one_epoch(runs)
    return runs if runs.column.nunique() > 1 else runs[:0]


def in_short(full: dict, runs: dict) -> list[Html]:
    """Where the GON is ahead in recorded runs, and how long, and in this build's; what the paper says.

    Both are {what is varied: runs}.
    """
    told = []
    for source, experiments in (("Recorded", full), ("This build", runs)):
        if found := trends(experiments):
            runs_of = pd.concat(several(part) for part in experiments.values())
            line = Html("; ").join(found)
            told.append(found_in(source, runs_of, "W" + line[1:]) + _later(experiments))
    return with_claim(told, "The paper: a GON has a lower training error than an autoencoder until its latents have a "
                            "spatial size of 8 × 8; the lead shrinks with more filters and with fewer latents.")


def trends(experiments: dict) -> list[Html]:
    """With which values of what is varied which model is ahead, a clause for each model."""
    ahead = {words: [] for words in AHEAD.values()}
    for name, runs in experiments.items():
        runs, judged = several(runs), {words: [] for words in AHEAD.values()}
        for column, here in by_column(runs):
            gon, ae = (by_seed(where(here, model=model), "train_error") for model in PAIR)
            judged[AHEAD[compare(gon, ae).verdict]].append(column)
        for words, columns in judged.items():
            if columns:
                ahead[words].append(linked(_values(name, columns), runs[runs.column.isin(columns)]))
    return [say("with {} {}", Html(" and with ").join(found), words) for words, found in ahead.items() if found]


def _values(name, columns):
    """The titles of some columns in few words: 8, 16 and 32 filters, latents of 4 × 4 and 8 × 8."""
    if name == "latent shape":
        return say("latents of {}", listed(columns))
    return say("{} {}", listed([column.split()[0] for column in columns]), name)


def _later(experiments):
    """Who is ahead where a pair was followed beyond the epoch at which all are compared."""
    lines = {}
    for name, runs in experiments.items():
        common = several(runs)
        for column, here in by_column(compared(runs, "train_error")):
            if len(common) and here.epoch.min() > common.epoch.min():
                gon, ae = (where(here, model=model) for model in PAIR)
                judged = AHEAD[compare(by_seed(gon, "train_error"), by_seed(ae, "train_error")).verdict]
                errors = (number(part, "train_error") for part in (gon, ae))
                line = say("at epoch {} {} (GON {}, AE {})", f"{here.epoch.min():,.0f}", judged, *errors)
                lines.setdefault(line, []).append(_values(name, [column]))
    told = [say("{} with {}", line, listed(places)) for line, places in lines.items()]
    return say(" A lead need not last: {}.", Html("; ").join(told)) if told else ""


def lead_table(experiments: dict) -> Html:
    """AE minus GON, and AE over GON, for each value of what is varied, as a table; nothing if nothing is varied."""
    lines = {}
    for name, runs in experiments.items():
        for column, here in by_column(several(runs)):
            gon, ae = (where(here, model=model).train_error.mean() for model in PAIR)
            lines[name, column] = {"AE − GON": linked(f"{ae - gon:+.2f}", here), "AE / GON": linked(f"{ae / gon:.2f}", here)}
    return as_table(pd.DataFrame(lines).T)
