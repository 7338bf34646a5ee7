"""Figure 3: activation functions, of which those without a second derivative should hurt a GON."""

import pandas as pd

from ...method.decoders import ACTIVATIONS
from ..experiment import experiment, title
from ..judging import MARKS, Finding, below, by_column, compare, compared, done, rule, where
from ..numbers import Html, found_in, linked, listed, number, say, with_claim

FLAT = ("relu", "leaky_relu")  # their second derivative is zero wherever it is defined


@experiment("activations", "Figure 3: activation functions for several latent sizes", rows=("model", "activation"),
            columns=("latents",))
def activations(dataset, names=tuple(ACTIVATIONS), sizes=(32, 128, 512), models=("GON", "AE")):
    return [{"model": model, "activation": name, "latents": k} for k in sizes for model in models for name in names]


def named(name: str) -> str:
    """An activation function as it is written in text."""
    return title({"activation": name}, ["activation"])


@rule("C9", "activations", says="at every latent size a GON with ELU has a lower error than with ReLU and leaky ReLU, "
      "these two raise its error by more than an autoencoder's, and ELU has at most a quarter more error than the best "
      "other activation")
def c9(activations):
    for column, here in by_column(activations):
        gon = where(here, model="GON")
        elu = where(gon, activation="elu")
        yield below(column, ("GON, ELU", elu), {f"GON, {named(name)}": where(gon, activation=name) for name in FLAT})
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
    text = say("{}: the best other is GON, {} {}; GON, ELU {} {}", column, named(means.idxmin()), number(best, "test_error"),
               number(elu, "test_error"), MARKS[outcome])
    return Finding(outcome, text, pd.concat([elu, best]))


def hurt(runs: pd.DataFrame, model: str, name: str) -> pd.Series:
    """The error with an activation over that with ELU, a value for each column and seed that has both."""
    mine, elu = (done(where(runs, model=model, activation=one), "test_error").set_index(["column", "seed"]).test_error
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
    return Finding(outcome, say("{}: {} in place of ELU: error {} {}", column, named(name), factors, MARKS[outcome]), used)


def in_short(full: pd.DataFrame, runs: pd.DataFrame) -> list[Html]:
    """Whether the function matters, and its second derivative, in recorded runs and in this build's; what the paper says."""
    told = [found_in(source, found, line) for source, found in
            (("Recorded", compared(full)), ("This build", compared(runs))) if (line := _cost(found))]
    return with_claim(told, "The paper: an activation function whose second derivative is zero hurts a GON; ELU is good "
                            "everywhere.")


def _cost(runs):
    """What the activations without a second derivative cost a GON and an autoencoder; None if they were not run."""
    told, worse, control = [], [], []
    for name in FLAT:
        used = where(runs, activation=(name, "elu"))
        gon, ae = hurt(used, "GON", name), hurt(used, "AE", name)
        if len(gon):
            beside = say(" (an autoencoder's: {})", linked(f"{ae.mean():.2f}", where(used, model="AE"))) if len(ae) else ""
            told.append(say("{}{} by {}{}", named(name), "" if told else " multiplies the GON's error",
                            linked(f"{gon.mean():.2f}", where(used, model="GON")), beside))
        if len(gon) and len(ae):
            control.append(named(name))
            worse += [named(name)] if gon.mean() > ae.mean() else []
    if not told:
        return None
    verdict = f". {listed(worse)} {'hurt' if len(worse) > 1 else 'hurts'} the GON more than the autoencoder" if worse else (
        ". The GON is not hurt more than the autoencoder, against the claim")
    less = f", {listed([name for name in control if name not in worse])} not" if 0 < len(worse) < len(control) else ""
    return say("In place of ELU, {}{}{}", listed(told), verdict if control else "", less)


def factors(runs: pd.DataFrame) -> pd.DataFrame:
    """The error with each activation over that with ELU, a row per activation and a column per latent size and model."""
    runs = compared(runs)
    names = [name for name in dict.fromkeys(runs.activation) if name != "elu"] if len(runs) else []
    found = {named(name): {(column, model): hurt(here, model, name).mean() for column, here in by_column(runs)
                                     for model in ("GON", "AE")} for name in names}
    return pd.DataFrame.from_dict(found, orient="index").dropna(axis=1, how="all")


def of_factor(runs: pd.DataFrame, function: str, column: tuple[str, str]) -> pd.DataFrame:
    """The runs behind a field of `factors`: with that activation, and with ELU."""
    runs = where(compared(runs), column=column[0], model=column[1])
    return runs[runs.activation.map(named).isin([function, named("elu")])]
