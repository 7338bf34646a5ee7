"""Figures 7 and 9: samples of variational models, and reconstructions of large pictures."""

import pandas as pd
import torch

from ...data import as_float
from ...runs import kept
from .. import judging
from ..experiment import Experiment, models
from ..judging import MARKS, Finding, rule, where
from ..measures import diversity, mean_image, nearest
from ..numbers import Html, conditions, linked, listed, reached, say, span, with_claim
from ..pictures import begun, how_far, learned
from ..pictures import mean_image as pictures_mean

SHOWN = 16  # samples kept as pictures
MEASURED = 1000  # samples that are measured


@torch.no_grad()
def draw(model, n, seed=0):
    """n pictures (n, C, H, W) in [0, 1] of latents from the prior, each decoded alone (`population` statistics)."""
    generator = torch.Generator(model.mean_image.device).manual_seed(seed)
    with model.evaluating("population"):
        return model.sample(n, generator).clamp(0, 1)


def from_the_prior(model, data, config):
    """Some "samples", the "nearest" training image of each, their "diversity", and the "mean-image"."""
    samples = draw(model, min(MEASURED, len(data.test)))
    copies = data.train[nearest(samples[:SHOWN], data.train)[1][:, 0]]
    return {"samples": samples[:SHOWN], "nearest": copies,
            "diversity": pd.DataFrame([diversity(samples, data.train, data.test)]), "mean-image": mean_image(data)}


@torch.no_grad()
def reconstructions(model, data, config):
    """Some test "images" and their "reconstructions", and the "mean-image"."""
    batch = as_float(data.test[: config.batch_size])
    with model.evaluating(config.evaluation):
        pictures = model.reconstruct(batch)
    return {"images": batch[: SHOWN // 2], "reconstructions": pictures[: SHOWN // 2], "mean-image": mean_image(data)}


samples = Experiment("samples", "Figure 7: samples of variational models", models("VGON", "VAE"), keep=from_the_prior)
large_samples = Experiment("samples-9b", "Figure 9b: samples at 64 x 64", models("VGON"), keep=from_the_prior)
large_reconstructions = Experiment("samples-9a", "Figure 9a: reconstructions at 128 x 128", models("GON"),
                                   keep=reconstructions)


def beside_nearest(runs, n=12):
    """Pictures: samples of the runs of seed 0, and under them the training image nearest to each."""
    rows = kept.Rows()
    for run in runs[(runs.state == "done") & (runs.seed == 0)].itertuples():
        for name in ("samples", "nearest"):
            rows.put(f"{run.row}, {run.column}\n{name}", kept.pictures(run.run, name, n), run.run)
    return kept.alike(rows)


def measured(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean `diversity` of each model's samples on each data set."""
    table = kept.collected(begun(runs), "diversity")
    if table.empty:
        return table
    means = table.groupby(["column", "row"], sort=False)[["spread", "novelty", "variety"]].mean()
    return means.round(2).rename_axis(["data", "model"])


def in_short(full: pd.DataFrame, runs: pd.DataFrame) -> list[Html]:
    """How diverse and how new samples are, recorded and of this build; what the paper says."""
    told = [line for source, some in (("Recorded", full), ("This build", runs)) for line in _diverse(source, begun(some))]
    return with_claim(told, "The paper: samples are diverse and often contain fine details.")


def _diverse(source, runs):
    """The range of the measures of both models' samples over the data sets, in one sentence."""
    found = {model: list(judging.kept(where(runs, model=model), "diversity")) for model in ("VGON", "VAE")}
    if not found["VGON"]:
        return []
    used = pd.concat([one.runs for one in found["VGON"]])
    spread, novelty = ([one.table[name].mean() for one in found["VGON"]] for name in ("spread", "novelty"))
    other = [one.table.spread.mean() for one in found["VAE"]]
    far = f", {reached(used)}" if (used.epoch < used.asked).any() else ""
    judged = "less diverse than real images" if max(spread) < 0.8 else (
        "as diverse as real images" if min(spread) >= 0.8 else "on some data less diverse than real images")
    beside = say(" (a VAE's {} times)", span(other, ".2f")) if other else ""
    return [say("Samples of a variational GON are {}: {} times as far apart as test images{}. They are {} times as far from "
                "the nearest training image as test images are: 0 would be copies, far above 1 is like nothing real. "
                "<small>({}: {}{})</small>", judged, linked(span(spread, ".2f"), used), beside, span(novelty, ".2f"), source,
                listed([one.title for one in found["VGON"]]), far)]


def lengths(runs: pd.DataFrame, source: str) -> list[Html]:
    """How runs of a source, such as "Recorded", that are sampled were made, and which have not learned their pictures."""
    there = begun(runs)
    sampled = there[[kept.pictures(run, "samples") is not None for run in there.run]]
    lines = [say("{}: {}.", source, conditions(sampled))] if len(sampled) else []
    for one in there.itertuples():
        if one.hash not in set(sampled.hash):
            lines.append(say("{}, {}: {}, not sampled yet.", one.row, one.column, how_far(one)))
        elif (yard := pictures_mean(one.run)) is not None and not learned(one.run):
            lines.append(say("{}, {}: this short run has not learned its pictures: its error is {}, the mean image's {}.",
                             one.row, one.column, f"{one.test_error:.1f}", f"{yard:.1f}"))
    return lines


@rule("C13", "samples", "samples-9b", says="two samples of a VGON are at least 0.8 times as far apart as two test images, "
      "and from the nearest training image they are 0.5 to 1.5 times as far as test images: nearer are copies, farther is "
      "unlike any picture; fails if the first is under 0.5, or the second under 0.25 or over 2")
def c13(samples, samples_9b):
    for runs in (samples, samples_9b):
        for found in judging.kept(where(runs, model="VGON"), "diversity"):
            spread, novelty = found.table.spread.mean(), found.table.novelty.mean()
            good, bad = spread >= 0.8 and 0.5 <= novelty <= 1.5, spread < 0.5 or not 0.25 <= novelty <= 2
            outcome = "holds" if good else "fails" if bad else "undecided"
            numbers = linked(f"spread {spread:.2f}, novelty {novelty:.2f}", found.runs)
            yield Finding(outcome, say("{}: {} {}", found.title, numbers, MARKS[outcome]), found.runs)
