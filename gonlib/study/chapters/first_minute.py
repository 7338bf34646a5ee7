"""Figure 8: the first minute of training."""

import pandas as pd

from ...training.snapshots import IMAGES
from ..experiment import Experiment, models
from ..judging import MARKS, Finding, done, graded, rule, where
from ..numbers import Html, as_table, conditions, linked, listed, number, say, with_claim


def originals(model, data, config):
    """The test images whose reconstructions the snapshots show, as "originals"."""
    return {"originals": data.test[:IMAGES]}


first_minute = Experiment("first-minute", "Figure 8: the first minute of training", models("GON", "AE"), keep=originals)


def with_snapshots(runs: pd.DataFrame) -> pd.DataFrame:
    """The finished runs that have reconstructions of the way there."""
    runs = done(runs)
    return runs[runs.run.map(lambda run: bool(run.snapshots)).astype(bool)]


def signal_share(run, seconds: float) -> tuple[float, float, int] | None:
    """Share of the signal that a run with snapshots had modelled after so many seconds of training.

    It is 1 - error / error of the training set's mean image.

    Returns:
        (share, error, step), or None if the run was over before or kept no snapshots.
    """
    if not run.snapshots or run.snapshots[1].seconds.iloc[-1] < seconds:
        return None
    shots = run.snapshots[1]
    last = shots[shots.seconds <= seconds].iloc[-1]
    return 1 - last.test_error / last.mean_image_error, last.test_error, int(last.step)


def in_short(full: pd.DataFrame, runs: pd.DataFrame) -> list[Html]:
    """How far recorded runs and this build's were after 3 seconds and a minute, and when half-way; what the paper says."""
    told = []
    for source, found in (("Recorded", with_snapshots(full)), ("This build", with_snapshots(runs))):
        gon = next((row for row in found.itertuples() if row.model == "GON"), None)
        said = [say("{} {} s the GON has modelled {}", "After" if moment == 3 else "after", moment, _at(found, gon, moment))
                for moment in (3, 60) if gon and signal_share(gon.run, moment)] + milestones(found)
        if said:
            device = found.run.iloc[0].provenance["device"]
            told.append(say("{}. <small>({}: {}, on {})</small>", Html("; ").join(said), source, conditions(found), device))
    meaning = [say("Signal is what the mean image of the training set leaves unexplained.")] if told else []
    return [*with_claim(told, "The paper: after only 3 seconds of training on a GPU, much of MNIST's signal is modelled."),
            *meaning]


def milestones(runs: pd.DataFrame) -> list[Html]:
    """By which step a run had modelled half of the signal, which does not depend on the machine; a clause, if any had."""
    told = []
    for row in with_snapshots(runs).itertuples():
        shots = row.run.snapshots[1]
        there = shots[shots.test_error <= shots.mean_image_error / 2]
        if len(there):
            when = f"step {there.step.iloc[0]:,} ({there.seconds.iloc[0]:,.0f} s)"
            told.append(say("{} with the {}", linked(when, runs[runs.hash == row.hash]), row.row))
    return [say("half of the signal is there by {}", listed(told))] if told else []


def share_table(runs: pd.DataFrame, moments=(0.3, 1, 3, 10, 30, 60, 180, 600)) -> Html:
    """What finished runs had modelled at those of some moments, in seconds, that all of them reached; nothing if none."""
    runs = with_snapshots(runs)
    there = [m for m in moments if len(runs) and all(signal_share(run, m) for run in runs.run)]
    lines = {f"after {seconds:g} s": {row.row: _at(runs, row, seconds) for row in runs.itertuples()} for seconds in there}
    return as_table(pd.DataFrame(lines).T)


def _at(runs, row, seconds):
    """The share of the signal that a run, one of the rows of `runs`, had modelled after some seconds, and its step."""
    share, _, step = signal_share(row.run, seconds)
    return say("{} (step {})", linked(f"{share:.0%}" if share > 0 else "nothing", runs[runs.hash == row.hash]), f"{step:,}")


@rule("C14", "first-minute", says="after 3 s of training at least half of the signal (1 - error / error of the mean "
      "image) is modelled; fails under a quarter. The claim is of a GPU: a run on a CPU can confirm it, not refute it")
def c14(first_minute):
    for _, row in where(first_minute, model="GON").iterrows():
        if found := signal_share(row.run, 3):
            share, _, step = found
            one = first_minute[first_minute.hash == row.hash]
            outcome = graded(share, good=0.5, bad=0.25)
            if outcome != "holds" and row.run.provenance.get("device_type") == "cpu":
                continue
            modelled = f"{share:.0%}" if share > 0 else "nothing"
            text = say("{} of the signal after 3 s (step {}); error at the end {}", modelled, f"{step:,}",
                       number(one, "test_error"))
            yield Finding(outcome, say("{} {}", text, MARKS[outcome]), one)
