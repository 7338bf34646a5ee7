"""Figure 2: one gradient step or several, joint or detached, and what further steps would do to a trained GON."""

import json

import pandas as pd
import torch

from ...data import as_float
from ...method.origin import descend
from ...runs.kept import collected
from ..experiment import Experiment, experiment, models
from ..judging import MARKS, Finding, below, by_column, done, models_below, rule, where
from ..numbers import Html, linked, number, say, with_claim

COUNTS = (1, 2, 5, 10, 20, 50)


@experiment("steps-and-gap", "Figure 2b: joint and detached gradient steps")
def steps_and_gap(dataset, step_counts=(3, 5, 10)):
    # The paper states 0.1 for ten steps: one tenth, so that the steps add up to one.
    several = {f"{k} steps": {"inner_steps": k, "step_size": 1 / k} for k in step_counts}
    detached = {f"{name}, detached": change | {"detach": True} for name, change in ({"1 step": {}} | several).items()}
    return [({"model": name}, change) for name, change in ({"GON": {}} | several | detached).items()]


@experiment("steps-and-gap-latents", "Figures 2a and 2c: GON and AE for several latent sizes", columns=("latents",))
def latent_sizes(dataset, sizes=(32, 64, 128, 256, 512), models=("GON", "AE")):
    return [{"model": name, "latents": k} for k in sizes for name in models]


@torch.no_grad()
def by_steps(model, images, config, counts=COUNTS) -> pd.DataFrame:
    """The error on images (N, C, H, W) uint8, encoded with each number of gradient steps, batch by batch.

    Returns:
        `steps`; `error`, the summed squared error per image; `moved`, how far latents lie from those of one step, in
        lengths of that step.
    """
    totals = torch.zeros(len(counts), 2, dtype=torch.float64)
    with model.evaluating(config.evaluation), model.inferring(steps=1):
        for x in as_float(images).split(config.batch_size):
            z, taken = model.encode(x), 1
            one = z
            for total, steps in zip(totals, counts, strict=True):
                z, taken = descend(model, x, z, steps - taken, model.inference.step_size), steps
                moved = (z - one).norm(dim=1) / one.norm(dim=1)
                total += torch.stack([(model.decode(z) - x).square().sum(), moved.sum()]).cpu()
    error, moved = (totals / len(images)).T.tolist()
    return pd.DataFrame({"steps": counts, "error": error, "moved": moved})


def further_steps(model, data, config):
    """The table "steps": `by_steps` on the test images."""
    return {"steps": by_steps(model, data.test, config)}


more_steps = Experiment("more-steps", "Why several steps gain nothing: more of them at evaluation",
                        models("GON", "10 steps", "1 step, detached", "10 steps, detached"), keep=further_steps)
more_steps_implicit = Experiment("more-steps-implicit", "More steps at evaluation, without normalisation",
                                 models("implicit GON"), keep=further_steps)


def further(*experiments: pd.DataFrame) -> pd.DataFrame:
    """The tables "steps" kept with the runs of some experiments, each line with its `relative` error, of that of one step.

    Implicit GONs of several data sets are told apart in `row`.
    """
    table = collected(pd.concat(experiments), "steps")
    if table.empty:
        return table
    table["row"] = table.model.where(table.model != "implicit GON", table.model + ", " + table.column)
    return table.assign(relative=table.error / table.groupby("hash").error.transform("first"))


def further_columns(runs: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """The runs with their error after 1, 10 and 50 steps as columns, and the headings of these."""
    table, headings = further(runs), {1: "1 step", 10: "10 steps", 50: "50 steps"}
    if len(table):
        runs = runs.join(table.pivot_table(index="hash", columns="steps", values="error"), on="hash")
    return runs, headings


@rule("C3", "table1", "steps-and-gap",
      says="1 step detached is above GON by more than two standard errors and at least half as much again")
def c3(table1, steps_and_gap):
    for runs in (table1, steps_and_gap):
        yield from models_below(runs, "GON", ["1 step, detached"], reach=1.5)


@rule("C4", "table1", "steps-and-gap",
      says="no joint rule of several steps is below GON by more than two standard errors and 5%")
def c4(table1, steps_and_gap):
    for runs in (table1, steps_and_gap):
        for name in ("3 steps", "5 steps", "10 steps"):
            for column, here in by_column(runs):
                gon, several = (where(here, model=model) for model in ("GON", name))
                gain = below(column, (name, several), {"GON": gon}, reach=1.05)
                if gain:
                    outcome = "fails" if gain.outcome == "holds" else "holds"
                    text = say("{}: {} {}; GON {} {}", column, name, number(done(several, "test_error"), "test_error"),
                               number(done(gon, "test_error"), "test_error"), MARKS[outcome])
                    yield Finding(outcome, text, gain.runs)


@rule("C5", "table1", "steps-and-gap",
      says="the most detached steps close less than half of the gap between 1 step detached and GON")
def c5(table1, steps_and_gap):
    for runs in (table1, steps_and_gap):
        for column, here in by_column(runs):
            names = ("GON", "1 step, detached", "10 steps, detached")
            parts = [done(where(here, model=name), "test_error") for name in names]
            if any(part.empty for part in parts):
                continue
            gon, one, ten = (part.test_error.mean() for part in parts)
            share = (one - ten) / (one - gon) if one > gon else None
            outcome = "undecided" if share is None else "holds" if share < 0.5 else "fails"
            closed = "no gap to close" if share is None else f"{max(share, 0):.0%} of the gap closed"
            errors = (number(part, "test_error") for part in parts)
            text = say("{}: GON {}, 1 step, detached {}, 10 steps, detached {}: {} {}", column, *errors, closed,
                       MARKS[outcome])
            yield Finding(outcome, text, here)


@rule("C7", "steps-and-gap-latents", "settings-length", says="GON's error is below AE's for every latent size, with at most "
      "55% of its parameters")
def c7(steps_and_gap_latents, settings_length):
    for runs in (steps_and_gap_latents, settings_length[settings_length.change.str.endswith("latents")]
                 if len(settings_length) else settings_length):
        yield from models_below(runs, "GON", ["AE"])
    for column, here in by_column(steps_and_gap_latents):
        gon, ae = (done(where(here, model=name), "parameters") for name in ("GON", "AE"))
        if len(gon) and len(ae):
            outcome = "holds" if gon.parameters.mean() <= 0.55 * ae.parameters.mean() else "fails"
            counts = (number(part, "parameters", 0) for part in (gon, ae))
            yield Finding(outcome, say("{}: {} parameters, AE {} {}", column, *counts, MARKS[outcome]), pd.concat([gon, ae]))


# --- what the page says ---


def in_short(recorded: pd.DataFrame, build: pd.DataFrame) -> list[Html]:
    """Why one step suffices, by what further steps do to trained models, and what the paper finds in its Figure 2.

    Args:
        recorded: `further` of the recorded runs.
        build: `further` of this build's.
    """
    table, told = recorded if len(recorded) else build, []
    if frozen := _steps_of(table, "GON", "a trained GON"):
        told.append(say("Because batch normalisation freezes the further steps. {}.", frozen))
    if descends := _steps_of(table, "10 steps, detached", "a model trained with ten detached steps"):
        told.append(say("Detached steps are another method, a descent that goes on. {}.", descends))
    return with_claim(told, "The paper: several gradient steps give nothing over one, and detaching them is markedly worse "
                            "(2b); a GON has a lower error than an autoencoder at every latent size, with half the "
                            "parameters (2a), and overfits less (2c).")


def _steps_of(table, model, words):
    """What further steps at evaluation do to a model, of the first column that has it."""
    here = where(table, model=model) if len(table) else table
    if here.empty:
        return None
    here = here[here.column == here.column.iloc[0]]
    runs = here.drop_duplicates("hash")
    errors = here.groupby("steps").error.mean()
    about = {"asked": json.dumps({"epochs": int(runs.epoch.max())})}  # the runs may have been trained for longer
    each = [linked(f"{errors[k]:.4g}", runs, about=about) for k in (1, 10, 50)]
    second = here[here.steps == 2].moved.mean()
    return say("On {} ({} epochs) {} has the error {} after one step, {} after ten and {} after fifty; its second step is "
               "{} times as long as its first", here.column.iloc[0], f"{runs.epoch.max():,.0f}", words, *each,
               linked(f"{second:.1g}", runs, about=about))
