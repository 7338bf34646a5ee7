"""Figure 3: activation functions, of which those without a second derivative should hurt a GON."""

import pandas as pd

from ...method.decoders import ACTIVATIONS
from ..experiment import experiment
from ..judging import MARKS, Finding, below, by_column, compare, done, rule, where
from ..numbers import linked, number, say

FLAT = ("relu", "leaky_relu")  # their second derivative is zero wherever it is defined


@experiment("activations", "Figure 3: activation functions for several latent sizes", rows=("model", "activation"),
            columns=("latents",))
def activations(dataset, names=tuple(ACTIVATIONS), sizes=(512, 128, 32), models=("GON", "AE")):
    return [{"model": model, "activation": name, "latents": k} for k in sizes for model in models for name in names]


@rule("C9", "activations", says="at every latent size a GON with ELU has a lower error than with ReLU and leaky ReLU, "
      "these two raise its error by more than an autoencoder's, and ELU has at most a quarter more error than the best "
      "other activation")
def c9(activations):
    for column, here in by_column(activations):
        gon = where(here, model="GON")
        elu = where(gon, activation="elu")
        yield below(column, ("GON, elu", elu), {f"GON, {name}": where(gon, activation=name) for name in FLAT})
        for name in FLAT:
            yield _hurts_more(column, here, name)
        yield _near_the_best(column, done(elu, "test_error"), done(gon[gon.activation != "elu"], "test_error"))


def _near_the_best(column, elu, others):
    """That ELU has at most a quarter more error than the best of the other activations."""
    if elu.empty or not set(FLAT) <= set(others.activation):
        return None
    means = others.groupby("activation").test_error.mean()
    best = where(others, activation=means.idxmin())
    outcome = "holds" if elu.test_error.mean() <= 1.25 * means.min() else "fails"
    text = say("{}: the best other is GON, {} {}; GON, elu {} {}", column, means.idxmin(), number(best, "test_error"),
               number(elu, "test_error"), MARKS[outcome])
    return Finding(outcome, text, pd.concat([elu, best]))


def hurt(runs: pd.DataFrame, model: str, name: str) -> pd.Series:
    """The error with an activation over that with ELU, a value per seed that has both."""
    mine, elu = (done(where(runs, model=model, activation=one), "test_error").set_index("seed").test_error
                 for one in (name, "elu"))
    return (mine / elu).dropna()


def _hurts_more(column, runs, name):
    """The control: that an activation raises a GON's error by a larger factor than an autoencoder's."""
    ae, gon = (hurt(runs, model, name) for model in ("AE", "GON"))
    if ae.empty or gon.empty:
        return None
    outcome = compare(ae, gon).verdict
    used = where(runs, activation=(name, "elu"))
    factors = linked(f"times {gon.mean():.2f} for GON, {ae.mean():.2f} for AE", used)
    return Finding(outcome, say("{}: {} in place of elu: error {} {}", column, name, factors, MARKS[outcome]), used)


def sentences(runs: pd.DataFrame) -> list[str]:
    """For each latent size, what activations without a second derivative cost a GON and an autoencoder."""
    lines = []
    for column, here in by_column(runs):
        for name in FLAT:
            gon, ae = (hurt(here, model, name).mean() for model in ("GON", "AE"))
            if gon == gon and ae == ae:  # both were run
                lines.append(f"{column}, {name} against elu: error times {gon:.2f} for GON, times {ae:.2f} for AE: "
                             + ("more for the GON" if gon > ae else "not more for the GON"))
    return lines
