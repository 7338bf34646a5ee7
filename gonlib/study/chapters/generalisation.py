"""Figure 16: training and test error on several data sets, and the gap between them."""

from ..experiment import Experiment, models
from ..judging import models_below, rule

generalisation = Experiment("generalisation", "Figure 16: training and test error on several data sets", models("GON", "AE"))


@rule("C8", "steps-and-gap-latents", "generalisation", says="test minus training error is smaller for GON than for AE")
def c8(steps_and_gap_latents, generalisation):
    for runs in (steps_and_gap_latents, generalisation):
        if "test_error" in runs:
            yield from models_below(runs.assign(gap=runs.test_error - runs.train_error), "GON", ["AE"], "gap")
