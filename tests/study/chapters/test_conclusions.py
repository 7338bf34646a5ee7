"""What pages conclude: sentences and summaries that hold whatever has been run, on whatever data."""

import pandas as pd
import pytest
from study.fake_runs import table

from gonlib.data import load
from gonlib.study import registry
from gonlib.study.chapters import (
    activations,
    architectures,
    first_minute,
    generalisation,
    implicit,
    interpolation,
    latents,
    monte_carlo,
    normalisation,
    origins,
    samples,
    settings,
    steps_and_gap,
    super_resolution,
    table1,
    table2,
    tasks,
)

NOTHING = pd.DataFrame()


class Nothing:
    """A store without runs."""

    def find(self, config):
        return None


def missing(name):
    """The runs of an experiment, none of which is there."""
    return registry.collect(registry.get(name).cells("smoke", dataset="patches"), stores=[Nothing()])


@pytest.mark.parametrize("conclude, name", [
    (activations.sentences, "activations"), (lambda runs: architectures.sentences(filters=runs), "architectures-filters"),
    (lambda runs: first_minute.sentences(runs, [3]), "first-minute"), (generalisation.with_gap, "generalisation"),
    (implicit.sentences, "implicit"), (implicit.count_sentences, "implicit-parameters"),
    (latents.normality_summary, "latents"), (latents.shape_summary, "latents-early"),
    (latents.fitted_pictures, "latents-early"),
    (monte_carlo.noise_of, "monte-carlo"), (monte_carlo.compare, "monte-carlo"), (monte_carlo.with_times, "monte-carlo"),
    (lambda runs: monte_carlo.large_sentences(runs, runs), "monte-carlo-large"),
    (normalisation.scale_sentences, "batch-normalisation-scale"), (normalisation.mode_sentences, "batch-normalisation"),
    (normalisation.eps_sentences, "batch-normalisation-eps"), (origins.sentences, "origins"), (samples.measured, "samples"),
    (table1.pictured, "table1"), (table1.costs, "table1"), (table1.ratio_sentences, "table1"),
    (lambda runs: table1.fit_sentences(runs, runs), "glo-steps"),
    (lambda runs: table1.in_short(runs, runs)[1:], "table1"),  # all but what the paper says
    (lambda runs: steps_and_gap.in_short(steps_and_gap.further(runs), steps_and_gap.further(runs))[1:], "more-steps"),
    (samples.beside_nearest, "samples"), (settings.crossing_sentences, "steps-and-gap-latents"),
    (settings.residuals, "settings"), (steps_and_gap.further, "more-steps"), (tasks.ceiling_sentences, "classifier"),
    (tasks.both_sentences, "classifier-both"), (tasks.converted_pictures, "classifier-conversion"),
    (tasks.converted_errors, "classifier-conversion"),
])
def test_of_no_runs_nothing_is_concluded(conclude, name):
    found = conclude(missing(name))
    assert len(found) == 0 or set(found.state) == {"not run"}


def test_of_empty_tables_nothing_is_concluded():
    assert super_resolution.by_size(NOTHING).empty and interpolation.summary(NOTHING).empty
    assert super_resolution.score_sentences(NOTHING) == super_resolution.detail_sentences(NOTHING) == []
    assert monte_carlo.noise_sentences(NOTHING) == tasks.conversion_sentences(NOTHING) == []
    assert settings.nearest_sentences(NOTHING) == settings.unexplained_sentences(NOTHING) == []


def test_where_no_true_views_are_known_chapter_16_says_so():
    assert interpolation.known_views(load("patches", 8, 16, 16)) == {}
    (line,) = interpolation.sentences(NOTHING)
    assert "on other data nothing is measured" in line


def test_activations_are_compared_with_their_control():
    values = {("GON", "elu", 32): 1.0, ("GON", "relu", 32): 2.0, ("AE", "elu", 32): 1.0, ("AE", "relu", 32): 1.5}
    lines = activations.sentences(table(values, names=("model", "activation", "latents"), seeds=1))
    assert lines == ["32 latents, relu against elu: error times 2.01 for GON, times 1.51 for AE: more for the GON"]


def test_the_lead_of_each_architecture():
    runs = table({("GON", 8): 5.0, ("AE", 8): 9.0, ("GON", 64): 1.0, ("AE", 64): 2.0}, "train_error", ("model", "filters"))
    assert architectures.sentences(filters=runs) == ["filters: 8 filters +4.00, 64 filters +1.00"]


def test_the_range_of_errors_with_noise():
    values = {("-grad", 0.0, "digits"): 1.0, ("-grad", 1.0, "digits"): 2.0, ("z0 - grad", 0.0, "digits"): 1.0,
              ("z0 - grad", 1.0, "digits"): 3.0}
    lines = origins.sentences(table(values, names=("form", "origin_sd", "dataset"), seeds=3))
    assert lines[0] == "z = -grad: without noise 1, with noise 2 to 2, 2.00 to 2.00 times as much"
    assert lines[1].startswith("z = z0 - grad: without noise 1, with noise 3 to 3")


def test_both_tasks_beside_each_alone():
    errors = {("reconstruct", "digits"): 2.0, ("both", "digits"): 3.0, ("classify", "digits"): 1.0}
    runs = table(errors, names=("task", "dataset"))
    runs = runs.assign(test_accuracy=runs.task.map({"both": 0.8, "classify": 0.9}))
    assert "1.50 times that of the image alone, and the accuracy differs by -10.0 points" in tasks.both_sentences(runs)[0]


def test_table_2_names_the_ranges():
    runs = table({("VGON", "gaussian", "digits"): 4.0, ("VAE", "gaussian", "digits"): 5.0}, "test_bits",
                 ("model", "likelihood", "dataset"), spread=0.0).assign(paper=None)
    lines = table2.sentences(runs, runs)
    assert lines[0] == "The paper's 12 values lie between 1.06 and 5.94 bits/dim."
    assert lines[1] == "In this build gaussian gives 4.00 to 5.00 on digits."
