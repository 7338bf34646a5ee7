"""Figure 10: latents with a spatial size, numbers of filters and numbers of latents, judged by the training error."""

import pandas as pd

from ..experiment import experiment
from ..judging import MARKS, Finding, below, by_column, compare, done, rule, where
from ..numbers import say

PAIR = ("GON", "AE")


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
    runs = done(runs, "train_error")
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
    ends = [(used[used[factor] == value].column.iloc[0], f"{leads[value].mean():.3g}") for value in (low, high)]
    text = say("AE - GON with {} {}, with {} {} {}", *ends[0], *ends[1], MARKS[outcome])
    return Finding(outcome, text, used)


def sentences(**experiments: pd.DataFrame) -> list[str]:
    """AE's mean training error minus GON's in each column of some experiments, a line for each."""
    lines = []
    for name, runs in experiments.items():
        means = done(runs, "train_error").pivot_table(index="column", columns="model", values="train_error", sort=False)
        if set(PAIR) <= set(means):
            each = ", ".join(f"{column} {lead:+.2f}" for column, lead in (means.AE - means.GON).items())
            lines.append(f"{name.replace('_', ' ')}: {each}")
    return lines
