"""What pages conclude: sentences and summaries that hold whatever has been run, on whatever data."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from study.fake_runs import FakeRun, table

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
from gonlib.study.judging import unless_shown
from gonlib.training.config import Config

NOTHING = pd.DataFrame()


class Nothing:
    """A store without runs."""

    def find(self, config):
        return None


def missing(name):
    """The runs of an experiment, none of which is there."""
    return registry.collect(registry.get(name).cells("smoke", dataset="patches"), stores=[Nothing()])


@pytest.mark.parametrize("conclude, name", [
    (activations.factors, "activations"),
    (lambda runs: architectures.lead_table({"filters": runs}), "architectures-filters"),
    (lambda runs: architectures.trends({"filters": runs}), "architectures-filters"),
    (generalisation.at_equal_fit, "generalisation"), (normalisation.paired_sentences, "batch-normalisation"),
    (first_minute.with_snapshots, "first-minute"),
    (first_minute.share_table, "first-minute"), (first_minute.milestones, "first-minute"),
    (generalisation.with_gap, "generalisation"),
    (implicit.kept_table, "implicit"), (implicit.count_sentences, "implicit-parameters"),
    (latents.normality_summary, "latents"), (latents.shape_summary, "latents-early"),
    (latents.fitted_pictures, "latents-early"), (latents.normality_sentences, "latents"),
    (lambda runs: samples.lengths(runs, "Recorded"), "samples"),
    (latents.shape_sentences, "latents-early"), (latents.stops, "latents-early"), (implicit.yardsticks, "implicit"),
    (monte_carlo.noise_of, "monte-carlo"), (monte_carlo.compare, "monte-carlo"), (monte_carlo.with_times, "monte-carlo"),
    (lambda runs: monte_carlo.large_sentences(runs, runs), "monte-carlo-large"),
    (normalisation.scale_sentences, "batch-normalisation-scale"), (normalisation.mode_sentences, "batch-normalisation"),
    (normalisation.eps_sentences, "batch-normalisation-eps"), (origins.sentences, "origins"), (samples.measured, "samples"),
    (table2.winners, "table2"), (table2.distance_sentence, "table2"), (table1.pictured, "table1"), (table1.costs, "table1"),
    (table1.ratio_sentences, "table1"), (table1.paired_sentences, "table1"),
    (lambda runs: table1.fit_sentences(runs, runs), "glo-steps"),
    (lambda runs: table1.in_short(runs, runs)[1:], "table1"),  # all but what the paper says
    (lambda runs: steps_and_gap.in_short(steps_and_gap.further(runs), steps_and_gap.further(runs))[1:], "more-steps"),
    (samples.beside_nearest, "samples"),
    (settings.residuals, "settings"),
    (settings.schedules, "settings"), (steps_and_gap.further, "more-steps"), (tasks.ceiling_sentences, "classifier"),
    (tasks.both_sentences, "classifier-both"), (tasks.converted_pictures, "classifier-conversion"),
    (tasks.converted_errors, "classifier-conversion"),
])
def test_of_no_runs_nothing_is_concluded(conclude, name):
    found = conclude(missing(name))
    assert len(found) == 0 or set(found.state) == {"not run"}


def test_of_empty_tables_nothing_is_concluded():
    assert super_resolution.by_size(NOTHING).empty and interpolation.summary(NOTHING).empty
    assert super_resolution.score_sentences(NOTHING) == super_resolution.detail_sentences(NOTHING) == []
    assert not monte_carlo.noise_table(NOTHING)
    assert monte_carlo.noise_sentences(NOTHING) == tasks.conversion_sentences(NOTHING, NOTHING) == []
    assert "No recorded run" in settings.schedule_sentence(NOTHING) and not settings.schedule_table(NOTHING)


def test_of_no_runs_the_box_of_a_chapter_holds_the_claim():
    nothing = [missing(name) for name in ("implicit", "samples", "latents", "classifier", "classifier-conversion")]
    found, sampled, spread, classes, converted = nothing
    for lines in (implicit.in_short(found, found, found), samples.in_short(sampled, sampled),
                  latents.in_short(spread, spread, found, found), super_resolution.in_short(NOTHING, NOTHING)):
        assert len(lines) == 1 and lines[0].startswith("The paper: ")
    for lines in (interpolation.in_short(NOTHING, NOTHING), tasks.in_short(classes, classes, converted)):
        assert len(lines) == 2 and lines[1].startswith("The paper: ")  # the first needs no runs


def test_where_no_true_views_are_known_chapter_16_says_so():
    assert interpolation.known_views(load("patches", 8, 16, 16)) == {}
    (line,) = interpolation.sentences(NOTHING)
    assert "on other data nothing is measured" in line


@pytest.mark.parametrize("chapter, name", [
    (activations, "activations"), (origins, "origins"), (generalisation, "generalisation"), (first_minute, "first-minute")])
def test_without_runs_a_page_begins_with_what_the_paper_says(chapter, name):
    (line,) = chapter.in_short(missing(name), missing(name))
    assert line.startswith("The paper:")


def text(line):
    """A sentence as it is read."""
    return BeautifulSoup(line, "html.parser").text


def test_activations_are_compared_with_their_control():
    values = {("GON", "elu", 32): 1.0, ("GON", "relu", 32): 2.0, ("AE", "elu", 32): 1.0, ("AE", "relu", 32): 1.5,
              ("GON", "leaky_relu", 32): 1.2, ("AE", "leaky_relu", 32): 1.3}
    runs = table(values, names=("model", "activation", "latents"), spread=0.0)
    answer, paper = map(text, activations.in_short(missing("activations"), runs))
    assert answer.startswith("In place of ELU, ReLU multiplies the GON's error by 2.00 (an autoencoder's: 1.50) and leaky "
                             "ReLU by 1.20 (an autoencoder's: 1.30). ReLU hurts the GON more than the autoencoder, "
                             "leaky ReLU not.")
    assert "1,000 steps, 3 seeds" in answer and paper.startswith("The paper:")
    assert activations.factors(runs).loc["ReLU"].to_dict() == {("32 latents", "GON"): 2.0, ("32 latents", "AE"): 1.5}


def test_the_lead_of_each_architecture():
    values = {("GON", 8): 5.0, ("AE", 8): 9.0, ("GON", 64): 2.0, ("AE", 64): 1.0}
    runs = {"filters": table(values, "train_error", ("model", "filters"))}
    assert text(architectures.lead_table(runs)).split() == [
        "AE", "−", "GON", "AE", "/", "GON", "filters", "8", "filters", "+4.00", "1.80", "64", "filters", "-1.00", "0.50"]
    told = text(architectures.in_short({}, runs)[0])
    assert told.startswith("With 8 filters the GON is ahead; with 64 filters the autoencoder is ahead. (This build:")
    one = {"filters": runs["filters"][runs["filters"].filters == 8]}
    assert architectures.lead_table(one) == ""  # nothing is varied


class Grown(FakeRun):
    """A run that has half the error at each epoch."""

    def at(self, epoch):
        error = self.metrics["train_error"] * 2 ** (self.metrics["epochs"] - epoch)
        return Grown({"epochs": epoch, "steps": epoch, "images": 9, "train_error": error, "test_error": error})

    config = Config()


def test_architectures_are_compared_at_the_epoch_that_all_have():
    values = {("GON", 8): 2.0, ("AE", 8): 4.0, ("GON", 64): 1.0, ("AE", 64): 1.5}
    runs = table(values, "train_error", ("model", "filters"), seeds=1, spread=0.0)
    runs["epoch"] = [3 if filters == 8 else 5 for filters in runs.filters]
    runs["run"] = [Grown({"epochs": one.epoch, "train_error": one.train_error}) for one in runs.itertuples()]
    found = architectures.several(runs)
    assert set(found.epoch) == {3} and list(found.train_error) == [2.0, 4.0, 4.0, 6.0]
    told = text(architectures.in_short({"filters": runs}, {})[0])
    assert "A lead need not last: at epoch 5 the GON is ahead (GON 1.00, AE 1.50) with 64 filters." in told
    findings = architectures.c16.judge(missing("architectures-spatial"), runs, runs[:0])
    (judged,) = (finding for finding in findings if finding)
    assert judged.outcome == "undecided" and "with 64 filters 2" in text(judged.text)  # at epoch 5 it would be 0.5


def test_rows_of_table_1_are_compared_seed_by_seed():
    """What a seed does to all rows, here 1.0 from one to the next, is no difference between them."""
    runs = table({("GON", "digits"): 3.0, ("AE", "digits"): 3.5, ("Tied AE", "digits"): 2.9}, spread=1.0)
    runs.loc[runs.model == "AE", "test_error"] += [0.1, -0.1, 0.0]
    (line,) = table1.paired_sentences(runs)
    assert text(line).startswith("On digits, the error less the GON's with the same seed: AE +0.50 ± 0.06, p ")
    assert text(line).endswith("; Tied AE -0.10 ± 0.00.")
    assert not table1.paired_sentences(runs[runs.seed == 0])  # one seed has no standard error


def test_the_range_of_errors_with_noise():
    values = {("-grad", 0.0, "digits"): 1.0, ("-grad", 1.0, "digits"): 2.0, ("z0 - grad", 0.0, "digits"): 1.0,
              ("z0 - grad", 1.0, "digits"): 3.0}
    runs = table(values, names=("form", "origin_sd", "dataset"), seeds=1, spread=0.0)
    assert [text(line) for line in origins.sentences(runs)] == [
        "With the origin at zero the error is 1.00; with one drawn at random for each image it is 2.00 to 2.00 times as "
        "large in form (a) and 3.00 to 3.00 times as large in form (b)"]


def test_the_test_error_is_compared_where_both_models_fit_alike():
    values = {("GON", "digits"): 3.0, ("AE", "digits"): 4.0}
    runs = table(values, seeds=1, spread=0.0).assign(factors=[("model",)] * 2)
    falling = {"GON": [(8.0, 8.5), (2.0, 3.0)], "AE": [(8.0, 9.0), (4.0, 5.0), (1.0, 4.0)]}
    runs["run"] = [FakeRun(history=pd.DataFrame(falling[model], columns=["train_error", "test_error"]).assign(
        epoch=range(len(falling[model])))) for model in runs.model]
    assert text(generalisation.at_equal_fit(runs)).split()[-4:] == ["digits", "2.000", "3.000", "4.333"]
    answer = text(generalisation.in_short(runs[:0], runs.assign(train_error=2.0))[0])
    assert answer.startswith("The smaller gap is the GON's on digits. Where both fit their training images equally well, "
                             "the lower test error is the GON's on digits.")


def test_the_gap_of_each_model():
    runs = table({("GON", "digits"): 3.0, ("AE", "digits"): 4.0}, seeds=1, spread=0.0).assign(train_error=1.0)
    assert "epoch 500, 1 seed" in text(generalisation.gap_table(runs))
    assert text(generalisation.gap_table(runs)).split()[-4:] == ["AE", "1.000", "4.000", "3.000"]
    assert generalisation.gap_table(runs[:0]) == ""


def test_recorded_runs_do_not_stand_beside_themselves():
    runs = table({("GON", "digits"): 3.0, ("AE", "digits"): 4.0})
    assert unless_shown(runs[:3], runs).empty and unless_shown(runs, runs[:3]) is runs


def test_ways_to_evaluate_are_compared_seed_by_seed():
    runs = table({("GON", "batch", "digits"): 1.0, ("GON", "running", "digits"): 20.0},
                 names=("model", "evaluation", "dataset"), spread=0.0)
    (line,) = normalisation.paired_sentences(runs)
    assert text(line) == ("GON: with running, seed by seed, the error differs from that with batch by +1,900%, +1,900%, "
                          "+1,900%: higher.")
    (line,) = normalisation.mode_sentences(runs)
    assert text(line).startswith("With statistics of the batch and with stock running averages the GON's test error is "
                                 "1.00 ± 0.00 and 20.00 ± 0.00 on digits.")


def test_a_lead_that_depends_on_the_evaluation_is_told():
    errors = {("GON", "batch"): 9.3, ("AE", "batch"): 8.9, ("GON", "population"): 8.4, ("AE", "population"): 8.5}
    runs = table({(*key, "cifar10"): value for key, value in errors.items()}, names=("model", "evaluation", "dataset"),
                 spread=0.0)
    (line,) = normalisation.turned(runs)
    assert text(line) == ("On CIFAR-10 the autoencoder is ahead with statistics of the batch (GON 9.30 ± 0.00, autoencoder "
                          "8.90 ± 0.00), the GON is ahead with those of the population (GON 8.40 ± 0.00, autoencoder "
                          "8.50 ± 0.00).")
    assert not normalisation.turned(runs.assign(test_error=runs.test_error + 2 * (runs.model == "AE")))


def test_the_signal_at_moments_that_all_runs_have_reached():
    shots = pd.DataFrame({"step": [1, 9], "seconds": [1.0, 4.0], "test_error": [60.0, 10.0], "mean_image_error": [50.0] * 2})
    runs = table({("GON", "digits"): 10.0}, seeds=1, shots=shots)
    shown = text(first_minute.share_table(runs, [2, 4, 10]))
    assert "after 2 s" in shown and "nothing (step 1)" in shown
    assert "after 4 s" in shown and "80% (step 9)" in shown and "after 10 s" not in shown
    assert text(first_minute.milestones(runs)[0]) == "half of the signal is there by step 9 (4 s) with the GON"


def test_both_tasks_beside_each_alone():
    errors = {("reconstruct", "digits"): 2.0, ("both", "digits"): 3.0, ("classify", "digits"): 1.0}
    runs = table(errors, names=("task", "dataset"))
    runs = runs.assign(test_accuracy=runs.task.map({"both": 0.8, "classify": 0.9}))
    (line,) = tasks.both_sentences(runs)
    assert "1.50 times that of the image alone, and the accuracy differs by -10.0 points" in line.striptags()


def test_table_2_says_who_is_ahead():
    values = {("VGON", "gaussian", "digits"): 4.0, ("VAE", "gaussian", "digits"): 5.0, ("VGON", "logistic", "digits"): 7.0}
    runs = table(values, "test_bits", ("model", "likelihood", "dataset"), spread=0.0).assign(paper=None)
    lines = [BeautifulSoup(line, "html.parser").text for line in table2.in_short(runs[:0], runs)]
    answer, paper, likelihood = lines
    assert answer == ("Of 1 small pairs of a data set and a likelihood the variational GON has fewer bits in 1, the VAE in "
                      "none, neither clearly in none. The VGON is ahead on digits (discretised Gaussian).")
    assert paper.startswith("The paper:") and likelihood.startswith("The paper's values lie between 1.06 and 5.94.")


class Followed(FakeRun):
    """A run that is still growing."""

    def at(self, epoch):
        return self


def test_table_1_says_who_is_lowest_and_whether_that_lasts():
    values = {("GON", "mnist"): 1.0, ("AE", "mnist"): 2.0, ("1 step, detached", "mnist"): 4.0, ("GON", "coil20"): 2.0,
              ("Tied AE", "coil20"): 1.5, ("10 steps, detached", "coil20"): 1.0}
    runs = table(values, spread=0.0, seeds=1).assign(factors=[("model",)] * 6, asked=[500, 500, 500, 900, 900, 900])
    falling = {"GON": [3.0, 1.0], "AE": [4.0, 0.5]}
    runs["run"] = [Followed(history=pd.DataFrame({"epoch": [1, 500], "test_error": falling.get(model, [9.0, 9.0])}))
                   for model in runs.model]
    lowest, paper, of_all, leaders = (text(line) for line in table1.in_short(runs, runs))
    assert lowest == ("Of the four single-step rules, the lowest error is the GON's on MNIST (1.00; AE 2.00); the Tied AE's "
                      "on COIL-20 (1.50; GON 2.00). Not trained through (1 step, detached), the GON's step has 4.00 times "
                      "its error. (So far: at epoch 500 of 900; complete on MNIST.)")
    assert paper.startswith("The paper:")
    assert of_all == "Of all seven rules, lower still is “10 steps, detached” on COIL-20 (1.00)."
    assert leaders.endswith("on MNIST GON leads from epoch 1, AE from 500.")
