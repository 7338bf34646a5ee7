"""One small rule per claim: which experiments it reads, in words what would make it hold, and the judging function.

A function gets the finished runs of its experiments, DataFrames of `experiments.collect` (empty if there are none), and
yields findings; all of them must agree for a claim to hold or to fail. Thresholds that the paper does not state
("markedly", "orders of magnitude") are ours, and are named in the rule. Here are the claims about numbers; those about
pictures are in picture_rules.py.
"""

import pandas as pd
import torch

from ..book.figures import number
from ..method.likelihoods import LIKELIHOODS
from ..method.models import build
from ..training.config import Config
from .judging import MARKS, Finding, below, by_column, compare, done, linked, rows, rows_below, rule

SINGLE_STEP = ("AE", "Tied AE", "1 step, detached")
BEATEN = (*SINGLE_STEP, "10 steps, detached", "10 steps")


@rule("C1", "table1", says="GON's error is below that of AE, tied AE and 1 step detached on every data set")
def c1(table1):
    yield from rows_below(table1, "GON", SINGLE_STEP)


@rule("C2", "table1", says="no method is below GON, except GLO on COIL-20, where it must be; on CIFAR-10 GLO ties")
def c2(table1):
    for column, here in by_column(table1):
        gon, glo = rows(here, "GON"), rows(here, "GLO")
        others = {name: rows(here, name) for name in BEATEN} | ({} if column == "COIL-20" else {"GLO": glo})
        lower = {name: below(column, (name, runs), {"GON": gon}) for name, runs in others.items()}
        lower = {name: found.outcome for name, found in lower.items() if found}
        winners = [name for name, outcome in lower.items() if outcome == "holds"]
        complete = len(lower) == len(others) and not glo.empty
        if gon.empty or not (winners or complete):  # one method can refute "lowest of all"; only all can confirm it
            continue
        text = f"{column}: GON {number(gon, 'test_error')}; below it " + (", ".join(
            f"{name} {number(others[name], 'test_error')}" for name in winners) or "none")
        yield Finding("fails" if winners else "holds", text, here)
        if column == "COIL-20":
            yield below(column, ("GLO", glo), {"GON": gon})
        if column == "CIFAR-10" and len(glo):
            tie = compare(gon.test_error, glo.test_error).verdict
            yield Finding("holds" if tie == "undecided" else "fails", f"GLO {number(glo, 'test_error')} ties "
                          f"{MARKS['holds' if tie == 'undecided' else 'fails']}", glo)


@rule("C3", "table1", "steps-and-gap",
      says="1 step detached is above GON by more than two standard errors and at least half as much again")
def c3(table1, steps_and_gap):
    for runs in (table1, steps_and_gap):
        yield from rows_below(runs, "GON", ["1 step, detached"], reach=1.5)


@rule("C4", "table1", "steps-and-gap",
      says="no joint rule of several steps is below GON by more than two standard errors and 5%")
def c4(table1, steps_and_gap):
    for runs in (table1, steps_and_gap):
        for name in ("3 steps", "5 steps", "10 steps"):
            for column, here in by_column(runs):
                gain = below(column, (name, rows(here, name)), {"GON": rows(here, "GON")}, reach=1.05)
                if gain:
                    outcome = "fails" if gain.outcome == "holds" else "holds"
                    yield Finding(outcome, f"{gain.text[:-1]}{MARKS[outcome]}", gain.runs)


@rule("C5", "table1", "steps-and-gap",
      says="the most detached steps close less than half of the gap between 1 step detached and GON")
def c5(table1, steps_and_gap):
    for runs in (table1, steps_and_gap):
        for column, here in by_column(runs):
            parts = [done(rows(here, name), "test_error") for name in ("GON", "1 step, detached", "10 steps, detached")]
            if any(part.empty for part in parts):
                continue
            gon, one, ten = (part.test_error.mean() for part in parts)
            share = (one - ten) / (one - gon) if one > gon else None
            outcome = "undecided" if share is None else "holds" if share < 0.5 else "fails"
            closed = "no gap to close" if share is None else f"{max(share, 0):.0%} of the gap closed"
            text = ", ".join(f"{p.row.iloc[0]} {number(p, 'test_error')}" for p in parts)
            yield Finding(outcome, f"{column}: {text}: {closed} {MARKS[outcome]}", here)


@rule("C6", "table2", "table2-celeba", says="under each likelihood VGON has fewer bits/dim than the VAE on every data "
      "set, and more on Fashion-MNIST")
def c6(table2, table2_celeba):
    for column, here in by_column(pd.concat([table2, table2_celeba[table2_celeba.column == "celeba"]])):
        for kind in LIKELIHOODS:
            pair = [(name, rows(here, name)) for name in (f"VGON, {kind}", f"VAE, {kind}")]
            lower, higher = pair[::-1] if column == "Fashion-MNIST" else pair
            yield below(column, lower, dict([higher]), "test_bits")


@rule("C7", "steps-and-gap-latents", says="GON's error is below AE's for every latent size, with at most 55% of its "
      "parameters")
def c7(steps_and_gap_latents):
    yield from rows_below(steps_and_gap_latents, "GON", ["AE"])
    for column, here in by_column(steps_and_gap_latents):
        gon, ae = (done(rows(here, name), "parameters") for name in ("GON", "AE"))
        if len(gon) and len(ae):
            outcome = "holds" if gon.parameters.mean() <= 0.55 * ae.parameters.mean() else "fails"
            yield Finding(outcome, f"{column}: {number(gon, 'parameters', 0)} parameters, AE "
                          f"{number(ae, 'parameters', 0)} {MARKS[outcome]}", pd.concat([gon, ae]))


@rule("C8", "steps-and-gap-latents", "generalisation", says="test minus training error is smaller for GON than for AE")
def c8(steps_and_gap_latents, generalisation):
    for runs in (steps_and_gap_latents, generalisation):
        if "test_error" in runs:
            yield from rows_below(runs.assign(gap=runs.test_error - runs.train_error), "GON", ["AE"], "gap")


@rule("C9", "activations", says="at every latent size a GON with ELU has a lower error than with ReLU and leaky ReLU, "
      "and at most a quarter more than the best activation")
def c9(activations):
    yield from rows_below(activations, "GON, elu", ["GON, relu", "GON, leaky_relu"])
    for column, here in by_column(activations):
        mine, gons = rows(here, "GON, elu"), here[here.row.str.startswith("GON")]
        mine, every = done(mine, "test_error"), done(gons, "test_error")
        if len(mine) and {"GON, relu", "GON, leaky_relu"} <= set(every.row):
            means = every.groupby("row").test_error.mean()
            outcome = "holds" if mine.test_error.mean() <= 1.25 * means.min() else "fails"
            best = rows(every, means.idxmin())
            yield Finding(outcome, f"{column}: the best is {means.idxmin()} {number(best, 'test_error')}, GON, elu "
                          f"{number(mine, 'test_error')} {MARKS[outcome]}", pd.concat([mine, best]))


@rule("C16", "architectures-spatial", "architectures-filters", "architectures-latents",
      says="GON's training error is below AE's at spatial sizes under 8 x 8, and above at 8 x 8; AE minus GON is smaller "
      "with the most filters than with the fewest, and with the fewest latents than with the most")
def c16(architectures_spatial, architectures_filters, architectures_latents):
    for column, here in by_column(architectures_spatial):
        side = int(column.split()[0])
        pair = [(name, rows(here, name)) for name in ("GON", "AE")]
        lower, higher = pair if side < 8 else pair[::-1]
        if side <= 8:
            yield below(column, lower, dict([higher]), "train_error")
    yield _lead(architectures_filters, smaller=-1)
    yield _lead(architectures_latents, smaller=0)


def _lead(runs, smaller):
    """That AE minus GON is smaller in one end of an experiment's columns (0 the first, -1 the last) than in the other."""
    runs, leads = done(runs, "train_error"), {}
    for column, here in by_column(runs):
        sides = [rows(here, name).set_index("seed").train_error for name in ("AE", "GON")]
        leads[column] = (sides[0] - sides[1]).dropna()
    leads = {column: values for column, values in leads.items() if len(values)}
    if len(leads) < 2:
        return None
    small, large = (list(leads)[i] for i in (smaller, -1 - smaller))
    outcome = compare(leads[small], leads[large]).verdict
    text = f"AE - GON with {small} {leads[small].mean():.3g}, with {large} {leads[large].mean():.3g} {MARKS[outcome]}"
    return Finding(outcome, text, runs[runs.column.isin([small, large])])


@rule("C17", "origins", says="the error without noise at the origin is lowest, and for every noise that of z = -grad is "
      "below that of z = z0 - grad")
def c17(origins):
    forms = [row for row in dict.fromkeys(origins.row) if row.startswith("-grad") and row != "-grad, sd 0"]
    noises = [row.removeprefix("-grad") for row in forms]
    yield from rows_below(origins, "-grad, sd 0", [f"-grad{noise}" for noise in noises])
    for noise in noises:
        yield from rows_below(origins, f"-grad{noise}", [f"z0 - grad{noise}"])


@rule("C15", "settings-stability", failures=True, says="over the grid of learning rates and batch sizes no GON diverges "
      "(ends at NaN, or with more than 1.5 times the lowest error on its way); fails if more than a quarter do")
def c15(settings_stability):
    said = []
    for model in ("AE", "GON"):  # the GON last: it is the one that is judged
        runs = rows(settings_stability, model)
        wild = runs[[diverged(run) for run in runs.itertuples()]] if len(runs) else runs
        where = f" ({'; '.join(dict.fromkeys(wild.column))})" if len(wild) else ""
        said += [f"{model}: {linked(f'{len(wild)} of {len(runs)}', runs)} diverge{where}"] if len(runs) else []
    if len(runs):
        outcome = "holds" if wild.empty else "fails" if len(wild) > len(runs) / 4 else "undecided"
        yield Finding(outcome, f"{'; '.join(said[::-1])} {MARKS[outcome]}", runs)


def diverged(run):
    """Whether a run failed or ended with more than 1.5 times the lowest test error of its history."""
    errors = None if run.state == "failed" else run.run.history.test_error
    return errors is None or errors.iloc[-1] > 1.5 * errors.min()


@rule("C21", "table1", says="GLO takes at least 100 times as long as GON to reconstruct the validation set; fails "
      "under 10 times")
def c21(table1):
    for column, here in by_column(table1):
        gon, glo = (done(rows(here, name), "reconstruct_seconds") for name in ("GON", "GLO"))
        if gon.empty or glo.empty:
            continue
        ratio = glo.reconstruct_seconds.mean() / max(gon.reconstruct_seconds.mean(), 1e-9)
        outcome = "holds" if ratio >= 100 else "fails" if ratio < 10 else "undecided"
        times = [f"{name} {number(part, 'reconstruct_seconds', 3)} s" for name, part in (("GON", gon), ("GLO", glo))]
        text = f"{column}: {', '.join(times)}, {ratio:.3g} times {MARKS[outcome]}"
        yield Finding(outcome, text, rows(here, "GON", "GLO"))


@rule("C22", exact=True, says="z of a sum of images is the sum of their z (to a millionth), for each of the library's "
      "likelihoods, all mean-field")
def c22():
    for name in LIKELIHOODS:
        departure = departure_from_affine(name)
        outcome = "holds" if departure < 1e-6 else "fails"
        yield Finding(outcome, f"{name.replace('_', ' ')}: {departure:.0e} {MARKS[outcome]}")


def departure_from_affine(likelihood):
    """|z(a + b) - z(a) - z(b) + z(0)| relative to |z(a) - z(0)| + |z(b) - z(0)|, of a random GON and dark images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(Config(likelihood=likelihood, latents=8, filters=4, size=8, batchnorm=False), 1).double().eval()
        a, b = (torch.randint(0, 128, (1, 1, 8, 8)).double() / 255 for _ in range(2))
    with torch.no_grad():
        sum_, one, two, none = (model.encode(x) for x in (a + b, a, b, torch.zeros_like(a)))
    return float((sum_ - one - two + none).norm() / ((one - none).norm() + (two - none).norm()))
