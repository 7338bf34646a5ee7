"""Section 3.5 and figure 12: GONs that classify, do both, or make an image of another modality."""

from functools import lru_cache

import pandas as pd
import torch

from ...data import as_float
from ...data.datasets import load
from ...data.registry import facts
from ...method.tasks import TASKS, image
from ...runs import kept
from ...runs.kept import collected
from ..experiment import data_title, experiment
from ..judging import MARKS, Finding, done, graded, rule, where
from ..linear import ridge_error, softmax_accuracy
from ..measures import evenly, mean_image
from ..numbers import Html, linked, number, say, with_claim
from ..pictures import how_far

POINTS = 1000  # test images whose latents are kept
SHOWN = 8  # test images kept as pictures


@torch.no_grad()
def class_points(model, images, labels, mode="batch"):
    """Latents of images (N, C, H, W) with two numbers or more: a DataFrame of `z1`, `z2`, `label` and `named`, the
    class that the classifier names."""
    with model.evaluating(mode):
        z = model.encode(images)
        named = model.classifier(z).argmax(1)
    return pd.DataFrame({"z1": z[:, 0].cpu(), "z2": z[:, 1].cpu(), "label": labels.cpu(), "named": named.cpu()})


def classes(model, data, config):
    """Of a classifier some "points" (see `class_points`) and, as a table of one row, its "ceiling".

    `ceiling` is the accuracy of the best linear classifier on as many linear numbers as there are latents, `linear`
    that of the best linear classifier of all.
    """
    kept, count = {}, int(data.train_labels.max()) + 1
    if config.latents >= 2:
        some = as_float(data.test[:POINTS])
        kept["points"] = class_points(model, some, data.test_labels[:POINTS], config.evaluation).round(6)
    used = config.dataset, config.size, config.train_images, config.test_images, data.test.device
    ceilings = {"ceiling": _accuracy(min(config.latents, count), *used), "linear": _accuracy(count, *used)}
    return kept | {"ceiling": pd.DataFrame([ceilings])}


@lru_cache(maxsize=32)  # the same for every seed and model
def _accuracy(rank, *used):
    return softmax_accuracy(load(*used), rank)


def conversions(model, data, config):
    """Some "sources", what a converter makes of them ("converted"), the target "images", and two yardsticks.

    They are the "mean-image" and the "best-linear" map from sources to images, each a table with its `error`.
    """
    source = TASKS[config.task].source
    if source is image:
        return {}
    batch = as_float(evenly(data.test, config.batch_size))
    with model.evaluating(config.evaluation), torch.no_grad():
        converted = evenly(model.reconstruct(batch), SHOWN)
    shown, linear = evenly(batch, SHOWN), pd.DataFrame([{"error": ridge_error(data, source)}])
    return {"sources": source(shown), "converted": converted, "images": shown, "mean-image": mean_image(data),
            "best-linear": linear}


@experiment("classifier", "Figure 12 and equation 13: a GON as a classifier", rows=("model", "inner_steps"),
            columns=("latents",), keep=classes)
def classifier(dataset, models=("implicit GON", "GON"), sizes=(2, 10), step_counts=(1,)):
    return [({"model": name, "inner_steps": k, "latents": latents}, {"step_size": 1 / k, "task": "classify"})
            for name in models for k in step_counts for latents in sizes]


@experiment("classifier-both", "Section 3.5: classifier and generator trained together", rows=("model", "task"))
def classifier_both(dataset, models=("GON",)):
    return [{"model": name, "task": task} for name in models for task in ("reconstruct", "classify", "both")]


@experiment("classifier-conversion", "Section 3.5: modality conversion", columns=("dataset", "task"), keep=conversions)
def conversion(dataset, sources=("from_edges", "from_left"), colour_sources=("from_edges", "from_grey"),
               models=("GON", "AE")):
    chosen = colour_sources if facts(dataset).channels == 3 else sources
    return [{"model": name, "task": source} for source in chosen for name in models]


def in_short(full: pd.DataFrame, runs: pd.DataFrame, converted: pd.DataFrame) -> list[Html]:
    """What a classifier of few latents reaches beside its ceiling, and who wins at conversion; what the paper says."""
    told = [say("{}, {}", source, line) for source, some in (("Recorded", full), ("This build", runs))
            for line in ceiling_sentences(some)[:1]]
    errors = converted_errors(converted)
    if {"GON", "AE"} <= set(errors):
        wins = int((errors["GON"] < errors["AE"]).sum())
        linear = int((errors["best linear map"] < errors[["GON", "AE"]].min(axis=1)).sum())
        told.append(say("Conversion, in this build: the GON has the lower error in {} of {} tasks, the autoencoder in {}; "
                        "the best linear map has less than both in {}.", wins or "none", len(errors), len(errors) - wins,
                        linear or "none"))
    answer = say("It classifies: it is a softmax regression of low rank, whose best is its ceiling. And it converts, "
                 "reading its source through one matrix.")
    return with_claim([answer, *told],
                      "The paper: the latents of a classifier GON, squeezed into two numbers, show the classes.")


def of_data(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with columns that name their data, so that those of several stand beside each other in a table."""
    sets = [data_title(config.dataset) for config in runs.config]
    return runs.assign(column=[f"{name}, {column}" for name, column in zip(sets, runs.column, strict=True)])


def ceiling_sentences(runs: pd.DataFrame) -> list[Html]:
    """For each number of latents, the best GON's accuracy beside that of softmax regression."""
    lines = []
    ceilings = collected(runs, "ceiling")
    for column, part in ceilings.groupby("column", sort=False) if len(ceilings) else ():
        best = part.loc[part.test_accuracy.idxmax()]
        ours = linked(f"{best.test_accuracy:.1%}", part[part.hash == best.hash][:1])
        lines.append(say("{}, {}, {}: the {}GON gets {} of the test images right; softmax regression of the same rank "
                         "{}, of any rank {}.", data_title(best.dataset), column, how_far(best),
                         "best " if part.row.nunique() > 1 else "", ours,
                         f"{best.ceiling:.1%}", f"{best.linear:.1%}"))
    return lines


def both_sentences(runs: pd.DataFrame) -> list[Html]:
    """What doing both tasks costs, beside each alone."""
    if not len(done(runs)):
        return []
    mean = done(runs).groupby("task")[["test_error", "test_accuracy"]].mean()
    if not {"reconstruct", "classify", "both"} <= set(mean.index):
        return []
    times = mean.test_error["both"] / mean.test_error["reconstruct"]
    points = 100 * (mean.test_accuracy["both"] - mean.test_accuracy["classify"])
    return [say("Doing both, the error is {} times that of the image alone, and the accuracy differs by {} points.",
                linked(f"{times:.2f}", done(runs)), f"{points:+.1f}")]


def converted_pictures(runs: pd.DataFrame) -> kept.Rows:
    """Rows of pictures: of each conversion the sources, what each model makes of them, the target."""
    rows = kept.Rows()
    for column, part in runs[(runs.state == "done") & (runs.seed == 0)].groupby("column", sort=False):
        first = part.run.iloc[0]
        shown = [(column, "sources", first), *((f"by {one.row}", "converted", one.run) for one in part.itertuples()),
                 ("target", "images", first)]
        for words, name, run in shown:
            rows.put(words, kept.pictures(run, name), run, once=False)
    return kept.alike(rows)


def converted_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """The models' errors for each conversion, beside those of the mean image and of the best linear map."""
    yards = {"mean image": collected(runs, "mean-image"), "best linear map": collected(runs, "best-linear")}
    if any(table.empty for table in yards.values()):
        return pd.DataFrame()
    means = done(runs).groupby(["column", "row"], sort=False).test_error.mean().unstack()
    return means.assign(**{name: table.groupby("column").error.first() for name, table in yards.items()})


def conversion_sentences(errors: pd.DataFrame, runs: pd.DataFrame) -> list[Html]:
    """What a GON explains of each conversion, from `converted_errors` of the runs."""
    lines = []
    for column, row in errors.iterrows() if {"GON", "AE"} <= set(errors) else ():
        better = "less" if row["GON"] < row["AE"] else "more"
        share = 1 - row["GON"] / row["mean image"]
        those = runs[(runs.column == column) & runs.row.isin(["GON", "AE"])]
        told = "the GON explains {} of what the mean image leaves" if share > 0 else "this short run has not learned it ({})"
        linear = row.get("best linear map", float("nan"))
        beside = "; the best linear map has less than both" if linear < min(row["GON"], row["AE"]) else ""
        lines.append(say("{}: " + told + ", with {} error than the autoencoder{}.", column, linked(f"{share:.0%}", those),
                         better, beside))
    return lines


@rule("C18", "classifier", says="with two latents at least 90% of the test images are classified correctly; fails under "
      "half")
def c18(classifier):
    two = done(where(classifier, model="implicit GON", latents=2), "test_accuracy")
    ceilings = collected(two, "ceiling")
    for (row, dataset), runs in two.groupby(["row", "dataset"], sort=False):
        outcome = graded(runs.test_accuracy.mean(), good=0.9, bad=0.5)
        limit = ceilings[ceilings.hash.isin(runs.hash)].ceiling.max() if len(ceilings) else float("nan")
        best = "" if limit != limit else f"; best linear latents {limit:.2f}"
        text = say("{}, {}: accuracy {} {}{}", data_title(dataset), row, number(runs, "test_accuracy"),
                   MARKS[outcome], best)
        yield Finding(outcome, text, runs)
