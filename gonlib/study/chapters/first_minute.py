"""Figure 8: the first minute of training."""

import pandas as pd

from ..experiment import Experiment, models
from ..judging import MARKS, Finding, done, graded, rule, where
from ..numbers import Html, conditions, linked, number, say

first_minute = Experiment("first-minute", "Figure 8: the first minute of training", models("GON", "AE"))


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
    """What the paper says, and how far recorded runs and this build's were after some seconds, for "In short"."""
    lines = [say("The paper: after only 3 seconds of training on a GPU, much of MNIST's signal is modelled.")]
    for source, found in (("Recorded", done(full)), ("This build", done(runs))):
        if told := sentences(found, (3, 10, 60)):
            device = found.run.iloc[0].provenance["device"]
            lines += [say("{}: {}, on {}. {}", source, conditions(found), device, told[0]), *told[1:]]
    return lines


def sentences(runs: pd.DataFrame, moments) -> list[Html]:
    """What finished runs had modelled at those of some moments, in seconds, that all of them reached; a sentence each."""
    runs, lines = done(runs), []
    for seconds in moments:
        found = [(row, signal_share(row.run, seconds)) for row in runs.itertuples()]
        if found and all(share for _, share in found):
            each = [say("{} {} (error {}, step {})", row.row, linked(_modelled(share), runs[runs.hash == row.hash]),
                        f"{error:.2f}", f"{step:,}") for row, (share, error, step) in found]
            lines.append(say("After {} s: {}.", seconds, Html(", ").join(each)))
    return lines


def _modelled(share):
    return f"has modelled {share:.0%} of the signal" if share > 0 else "is still worse than the mean image"


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
            text = say("{} of the signal after 3 s (step {}); error at the end {}", f"{share:.0%}", f"{step:,}",
                       number(one, "test_error"))
            yield Finding(outcome, say("{} {}", text, MARKS[outcome]), one)
