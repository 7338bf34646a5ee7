"""Batch normalisation at the origin: three ways to evaluate, its eps, and the scale of the latents."""

import pandas as pd

from ..experiment import experiment
from ..judging import by_column, compare, compared, done, where
from ..numbers import Html, found_in, linked, listed, number, say
from ..races import ahead

STATISTICS = {"batch": "with statistics of the batch", "population": "with those of the population",
              "running": "with stock running averages"}
AHEAD = {"GON": "the GON is ahead", "AE": "the autoencoder is ahead", None: "the two are level"}


@experiment("batch-normalisation", "Three ways to evaluate a GON and an autoencoder with batch normalisation",
            rows=("model", "evaluation"))
def evaluation_modes(dataset, modes=("batch", "population", "running"), models=("GON", "AE")):
    return [{"model": name, "evaluation": mode} for mode in modes for name in models]


@experiment("batch-normalisation-eps", "The eps of batch normalisation, and none at all", rows=("evaluation",),
            columns=("bn_eps",))
def epsilons(dataset, epsilons=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), modes=("batch", "population")):
    return [{"evaluation": mode, "bn_eps": eps} for mode in modes for eps in epsilons]


@experiment("batch-normalisation-scale", "The scale of the latents, with and without batch normalisation",
            rows=("batchnorm",), columns=("latent_scale",))
def latent_scales(dataset, scales=(1.0, 1024.0, 65536.0)):
    return [{"batchnorm": there, "latent_scale": scale} for there in (True, False) for scale in scales]


def in_short(full: pd.DataFrame, modes: pd.DataFrame, scaled: pd.DataFrame) -> list[Html]:
    """What this page found, for the box "In short": `full` and `modes` are recorded runs and this build's."""
    return [say("At the origin all images are one point, whose variance is zero, so that normalisation divides by the "
                "square root of its eps: that constant sets the length of the latents. (The paper does not mention it.)"),
            *mode_sentences(compared(full), "Recorded"), *turned(full), *mode_sentences(modes), *scale_sentences(scaled)]


def mode_sentences(runs: pd.DataFrame, source: str = "This build") -> list[Html]:
    """The GON's test error in each mode of evaluation, on each data set that has several, in one sentence."""
    found: dict[tuple, list] = {}  # modes -> their errors on each data set that has these
    for column, here in by_column(where(done(runs, "test_error"), model="GON")):
        errors = {mode: number(part, "test_error") for mode, part in here.groupby("evaluation", sort=False)}
        if len(errors) > 1:
            found.setdefault(tuple(errors), []).append(say("{} on {}", listed(errors.values()), column))
    told = [say("{} the GON's test error is {}", listed(STATISTICS[mode] for mode in modes), Html("; ").join(each))
            for modes, each in found.items()]
    return [found_in(source, runs, Html(line[:1].upper() + line[1:])) for line in told]


def paired_sentences(runs: pd.DataFrame) -> list[Html]:
    """How the errors of the other modes differ from that of `batch`, seed by seed: each seed is one training."""
    lines = []
    for model, here in done(runs, "test_error").groupby("model", sort=False) if "model" in runs else ():
        errors = here.pivot_table(index="seed", columns="evaluation", values="test_error")
        for mode in [mode for mode in ("population", "running") if {mode, "batch"} <= set(errors)]:
            change = 100 * (errors[mode] / errors["batch"] - 1).dropna()
            words = {"holds": ": lower", "fails": ": higher", "undecided": ": too close to call"}
            verdict = words[compare(change, 0 * change).verdict]
            each = ", ".join(f"{one:+,.{1 if abs(one) < 100 else 0}f}%" for one in change)
            each = linked(each, where(here, evaluation=(mode, "batch")))
            lines.append(say("{}: with {}, seed by seed, the error differs from that with batch by {}{}.", model, mode, each,
                             verdict if len(change) > 1 else ""))
    return lines


def turned(runs: pd.DataFrame) -> list[Html]:
    """On which data sets it depends on the statistics whether GON or autoencoder has the lower error, by a hundredth."""
    lines = []
    for column, here in by_column(done(runs, "test_error")):
        said, leaders = [], []
        for mode in ("batch", "population"):
            gon, ae = (where(here, evaluation=mode, model=name) for name in ("GON", "AE"))
            if len(gon) and len(ae):
                leaders.append(ahead(gon.test_error.mean(), ae.test_error.mean()))
                said.append(say("{} {} (GON {}, autoencoder {})", AHEAD[leaders[-1]], STATISTICS[mode],
                                *(number(part, "test_error") for part in (gon, ae))))
        if len(set(leaders)) > 1:
            lines.append(say("On {} {}.", column, Html(", ").join(said)))
    return lines


def scale_sentences(runs: pd.DataFrame) -> list[Html]:
    """How much the scale of the latents matters, with and without normalisation, in one sentence."""
    runs, each = done(runs, "test_error"), []
    for row, part in runs.groupby("row", sort=False):
        errors = part.groupby("column", sort=False).test_error.mean()
        each.append(say("by a factor of {} {}", linked(f"{errors.max() / errors.min():.2f}", part), row))
    return [say("Latents that are longer by a factor of up to {} change the error {}.",
                f"{runs.latent_scale.max() / runs.latent_scale.min():,.0f}", listed(each))] if each else []


def eps_sentences(runs: pd.DataFrame) -> list[Html]:
    """The error for each eps, evaluated with batch statistics, and which is best."""
    runs = where(done(runs, "test_error"), evaluation="batch")
    errors = runs.groupby("column", sort=False).test_error.mean()
    if errors.empty:
        return []
    low, high = (number(runs[runs.column == end(errors)], "test_error") for end in (pd.Series.idxmin, pd.Series.idxmax))
    return [say("The lowest error is {}, with {}; the highest {}, with {}.", low, errors.idxmin(), high, errors.idxmax())]
