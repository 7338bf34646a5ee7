"""Figure 11: origins drawn from a normal distribution, and the two forms of the estimate."""

import pandas as pd

from ..experiment import experiment
from ..judging import below, by_column, done, rule, where

NEGATIVE, FROM_ORIGIN = FORMS = ("-grad", "z0 - grad")  # of the latent


@experiment("origins", "Figure 11: origins drawn from a normal distribution", rows=("form", "origin_sd"))
def origins(dataset, sds=(0.0, 0.01, 0.1, 1.0)):
    return [({"form": form, "origin_sd": sd}, {"add_origin": form == FROM_ORIGIN and sd > 0})
            for form in FORMS for sd in sds]


def sentences(runs: pd.DataFrame) -> list[str]:
    """For each form of the estimate, the range of errors with noise, beside that without."""
    means = done(runs, "test_error").groupby(["form", "origin_sd"], sort=False).test_error.mean()
    lines, still = [], means.get((NEGATIVE, 0.0))
    for form in FORMS if still else ():
        noisy = means[(means.index.get_level_values("form") == form) & (means.index.get_level_values("origin_sd") > 0)]
        if len(noisy):
            lines.append(f"z = {form}: without noise {still:.3g}, with noise {noisy.min():.3g} to {noisy.max():.3g}, "
                         f"{noisy.min() / still:.2f} to {noisy.max() / still:.2f} times as much")
    return lines


@rule("C17", "origins", says="the error without noise at the origin is lowest, and for every noise that of z = -grad is "
      "below that of z = z0 - grad")
def c17(origins):
    for column, here in by_column(origins):
        noisy = {sd: runs for sd, runs in where(here, form=NEGATIVE).groupby("origin_sd") if sd > 0}
        titles = {sd: runs.row.iloc[0] for sd, runs in noisy.items()}
        still = where(here, form=NEGATIVE, origin_sd=0.0)
        yield below(column, (f"{NEGATIVE}, sd 0", still), {titles[sd]: runs for sd, runs in noisy.items()})
        for sd, runs in noisy.items():
            other = where(here, form=FROM_ORIGIN, origin_sd=sd)
            yield below(column, (titles[sd], runs), {f"{FROM_ORIGIN}, sd {sd:g}": other})
