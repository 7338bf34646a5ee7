"""Figure 11: origins drawn from a normal distribution, and the two forms of the estimate."""

import pandas as pd

from ..experiment import experiment
from ..judging import below, by_column, compared, done, rule, where
from ..numbers import Html, found_in, linked, number, say, with_claim

NEGATIVE, FROM_ORIGIN = FORMS = ("-grad", "z0 - grad")  # of the latent
LETTERS = dict(zip(FORMS, "ab", strict=True))  # in the paper's figure


@experiment("origins", "Figure 11: origins drawn from a normal distribution", rows=("form", "origin_sd"))
def origins(dataset, sds=(0.0, 0.01, 0.1, 1.0)):
    return [({"form": form, "origin_sd": sd}, {"add_origin": form == FROM_ORIGIN and sd > 0})
            for form in FORMS for sd in sds]


def in_short(full: pd.DataFrame, runs: pd.DataFrame) -> list[Html]:
    """What noise at the origin does in recorded runs and in this build's; what the paper says."""
    told = [found_in(source, found, clause) for source, found in
            (("Recorded", compared(full)), ("This build", compared(runs))) for clause in sentences(found)]
    return with_claim(told, "The paper: an origin without noise has the lowest error, how much noise hardly matters, and "
                            "form (a), the negative gradient, is better than form (b), which adds the origin to it.")


def sentences(runs: pd.DataFrame) -> list[Html]:
    """The error without noise, and for each form of the estimate how much larger that with noise is."""
    runs = done(runs, "test_error")
    still, lines = where(runs, form=NEGATIVE, origin_sd=0.0), []
    for form in FORMS if len(still) else ():
        noisy = where(runs[runs.origin_sd > 0], form=form)
        means = noisy.groupby("origin_sd").test_error.mean()
        if len(means):
            low, high = (linked(f"{end / still.test_error.mean():.2f}", noisy) for end in (means.min(), means.max()))
            lines.append(say("{} to {} times as large in form ({})", low, high, LETTERS[form]))
    both = Html(" and ").join(lines)
    return [say("With the origin at zero the error is {}; with one drawn at random for each image it is {}",
                number(still, "test_error"), both)] if lines else []


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
