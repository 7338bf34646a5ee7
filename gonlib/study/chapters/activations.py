"""Figure 3: activation functions, of which those without a second derivative should hurt a GON."""

import pandas as pd

from ...method.decoders import ACTIVATIONS
from ..experiment import experiment
from ..judging import MARKS, Finding, below, by_column, done, rule, where
from ..numbers import number, say

FLAT = ("relu", "leaky_relu")  # their second derivative is zero wherever it is defined


@experiment("activations", "Figure 3: activation functions for several latent sizes", rows=("model", "activation"),
            columns=("latents",))
def activations(dataset, names=tuple(ACTIVATIONS), sizes=(512, 128, 32), models=("GON", "AE")):
    return [{"model": model, "activation": name, "latents": k} for k in sizes for model in models for name in names]


@rule("C9", "activations", says="at every latent size a GON with ELU has a lower error than with ReLU and leaky ReLU, "
      "and at most a quarter more than the best activation")
def c9(activations):
    for column, here in by_column(where(activations, model="GON")):
        elu = where(here, activation="elu")
        yield below(column, ("GON, elu", elu), {f"GON, {name}": where(here, activation=name) for name in FLAT})
        mine, every = done(elu, "test_error"), done(here, "test_error")
        if len(mine) and set(FLAT) <= set(every.activation):
            means = every.groupby("activation").test_error.mean()
            outcome = "holds" if mine.test_error.mean() <= 1.25 * means.min() else "fails"
            best = where(every, activation=means.idxmin())
            text = say("{}: the best is GON, {} {}, GON, elu {} {}", column, means.idxmin(), number(best, "test_error"),
                       number(mine, "test_error"), MARKS[outcome])
            yield Finding(outcome, text, pd.concat([mine, best]))
