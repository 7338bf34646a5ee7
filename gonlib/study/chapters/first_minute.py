"""Figure 8: the first minute of training."""

from ..experiment import Experiment, models
from ..judging import MARKS, Finding, done, graded, rule, where
from ..numbers import number, say

first_minute = Experiment("first-minute", "Figure 8: the first minute of training", models("GON", "AE"))


def signal_share(run, seconds: float) -> tuple[float, float, int] | None:
    """Share of the signal that a run with snapshots had modelled after so many seconds of training.

    It is 1 - error / error of the training set's mean image.

    Returns:
        (share, error, step), or None if the run was over before.
    """
    shots = run.snapshots[1]
    if shots.seconds.iloc[-1] < seconds:
        return None
    last = shots[shots.seconds <= seconds].iloc[-1]
    return 1 - last.test_error / last.mean_image_error, last.test_error, int(last.step)


def sentences(runs, moments) -> list[str]:
    """What each finished run had modelled at some moments, in seconds; one line each."""
    lines = []
    for seconds in moments:
        for row in done(runs).itertuples():
            if found := signal_share(row.run, seconds):
                share, error, step = found
                lines.append(f"{row.row:3} after {seconds:4} s: {share:6.1%} of the signal "
                             f"(error {error:.2f}, step {step:,})")
    return lines


@rule("C14", "first-minute", says="after 3 s of training at least half of the signal (1 - error / error of the mean "
      "image) is modelled; fails under a quarter")
def c14(first_minute):
    for _, row in where(first_minute, model="GON").iterrows():
        if found := signal_share(row.run, 3):
            share, _, step = found
            one = first_minute[first_minute.hash == row.hash]
            outcome = graded(share, good=0.5, bad=0.25)
            text = say("{} of the signal after 3 s (step {}); error at the end {}", f"{share:.0%}", f"{step:,}",
                       number(one, "test_error"))
            yield Finding(outcome, say("{} {}", text, MARKS[outcome]), one)
