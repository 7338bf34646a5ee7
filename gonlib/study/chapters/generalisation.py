"""Figure 16: training and test error on several data sets, and the gap between them."""

import pandas as pd

from ..experiment import Experiment, models
from ..judging import models_below, rule

generalisation = Experiment("generalisation", "Figure 16: training and test error on several data sets", models("GON", "AE"))


def with_gap(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `gap`, test minus training error, and `ratio`, test over training error."""
    if "test_error" not in runs:  # none has been run
        return runs
    return runs.assign(gap=runs.test_error - runs.train_error, ratio=runs.test_error / runs.train_error)


@rule("C8", "steps-and-gap-latents", "generalisation", says="test minus training error is smaller for GON than for AE")
def c8(steps_and_gap_latents, generalisation):
    for runs in (steps_and_gap_latents, generalisation):
        yield from models_below(with_gap(runs), "GON", ["AE"], "gap")
