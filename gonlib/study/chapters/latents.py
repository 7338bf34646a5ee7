"""Figures 13 to 15: how latents are distributed, and samples from a normal distribution fitted to them."""

import numpy as np
import pandas as pd
import torch

from ...data import as_float
from ...runs import kept
from ...runs.kept import collected
from .. import judging
from ..experiment import Experiment, experiment, models, title
from ..judging import MARKS, Finding, by_column, graded, rule, where
from ..measures import agreement, nearest
from ..numbers import Html, linked, listed, say, with_claim
from ..pictures import begun

IMAGES = 2000  # images that are encoded, and samples that are measured
SHOWN = 16  # samples kept as pictures
PROJECTIONS = "random projections"
NEARLY = (0.5**2 + 1 / 4) / 6  # the departure of a skewness of 0.5 and an excess kurtosis of 1: see claim C19
BINS = np.linspace(-4, 4, 65)  # of standardised latents


@torch.no_grad()
def latents_of(model, images, batch=64, mode="batch"):
    """Latents (N, k) of uint8 images; in a variational model the means of their posteriors."""
    with model.evaluating(mode):
        z = torch.cat([model.encode(as_float(part)) for part in images.split(batch)])
        return z if model.stochastic is None else model.stochastic(z)[0]


def normality(values):
    """A row per latent of values (N, k): `mean`, `sd`, `skewness`, `excess` kurtosis, and `p` of D'Agostino's test.

    `departure` is (skewness^2 + kurtosis^2 / 4) / 6, the Jarque-Bera statistic per image: 0 for a normal distribution,
    0.67 for an exponential one's skewness alone. Source: D'Agostino, Pearson 1973; Jarque, Bera 1980.
    """
    from scipy import stats  # here: it takes almost a second to load

    values = np.asarray(values, float)
    skewness, kurtosis = stats.skew(values), stats.kurtosis(values)
    return pd.DataFrame({"mean": values.mean(0), "sd": values.std(0), "skewness": skewness, "excess": kurtosis,
                         "p": stats.normaltest(values).pvalue, "departure": (skewness**2 + kurtosis**2 / 4) / 6})


def histogram(values):
    """Counts of values (N, k), each column standardised, pooled, in `BINS`; what lies outside goes to the end bins."""
    values = (values - values.mean(0)) / values.std(0)
    return np.histogram(np.clip(values, BINS[0], BINS[-1]), BINS)[0]


def projections(images, k):
    """Projections (N, k) of uint8 images on random directions: what any linear encoder that learned nothing gives."""
    flat = as_float(images.flatten(1).cpu())
    return (flat @ torch.randn(flat.shape[1], k, generator=torch.Generator().manual_seed(0))).numpy()


def distribution(model, data, config):
    """The "normality" and the "histogram" of the latents of test images, beside random projections."""
    images = data.test[:IMAGES]
    kinds = {"latents": latents_of(model, images, config.batch_size, config.evaluation).cpu().double().numpy(),
             "random projections": projections(images, config.latents)}
    rows = [normality(values).assign(kind=kind) for kind, values in kinds.items()]
    counts = pd.DataFrame({"left": BINS[:-1]} | {kind: histogram(values) for kind, values in kinds.items()})
    return {"histogram": counts, "normality": pd.concat(rows, ignore_index=True)}


def normal_samples(values, n, seed=0):
    """n samples (n, k) of the multivariate normal distribution with the mean and covariance of values (N, k)."""
    mean, covariance = values.mean(0), torch.cov(values.double().T)
    level, vectors = torch.linalg.eigh(covariance)  # which, unlike Cholesky's, may have no full rank
    noise = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return mean + ((noise.to(level) * level.clamp(min=0).sqrt()) @ vectors.T).to(mean)


@torch.no_grad()
def fitted_samples(model, images, n, seed=0, mode="batch", batch=64):
    """n pictures of latents from one multivariate normal distribution fitted to those of training images (uint8)."""
    z = normal_samples(latents_of(model, images, batch, mode), n, seed)
    with model.evaluating("population"):
        return torch.cat([model.decode(part) for part in z.split(batch)]).clamp(0, 1)


def samples_of_a_fit(model, data, config):
    """Samples from a normal distribution fitted to the latents: "samples", their "nearest" images, and "normal-pixels".

    Table "shapes": `agreement` (measures.py) of these "samples", of "test images", and of "normal pixels": samples
    from a normal distribution fitted to the training images themselves, which keeps their covariance and no shapes.
    """
    n = min(IMAGES, len(data.test))
    samples = fitted_samples(model, data.train[: 10 * IMAGES], n, 0, config.evaluation, config.batch_size)
    pixels = normal_samples(as_float(data.train[: 10 * IMAGES].flatten(1)), n).clamp(0, 1).view_as(samples)
    sets = {"samples": samples, "test images": as_float(data.test[:n]), "normal pixels": pixels}
    shares = {name: agreement(pictures, data.train, data.train_labels) for name, pictures in sets.items()}
    copies = data.train[nearest(samples[:SHOWN], data.train)[1][:, 0]]
    return {"samples": samples[:SHOWN], "normal-pixels": pixels[:SHOWN], "nearest": copies, "shapes": pd.DataFrame([shares])}


latents = Experiment("latents", "Figures 13 and 14: latents after 800 steps", models("implicit GON", "VAE", "GON"),
                     keep=distribution)


@experiment("latents-early", "Figure 15: samples of implicit GONs stopped early", rows=("stop",), keep=samples_of_a_fit)
def early_samples(dataset, stops=(800, 8000)):
    return [({"model": "implicit GON", "stop": steps}, {"steps": steps}) for steps in stops]


def normality_summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean |skewness|, |excess kurtosis|, departure, and the share of latents that are not normal (p < 0.01)."""
    table = collected(runs, "normality")
    if table.empty:
        return table
    table["model"] = table.model.where(table.kind == "latents", PROJECTIONS)
    table = table.assign(skewness=table.skewness.abs(), excess=table.excess.abs(), rejected=table.p < 0.01)
    names = {"skewness": "|skewness|", "excess": "|excess kurtosis|", "departure": "departure", "rejected": "rejected"}
    means = table.groupby(["column", "model"], sort=False)[list(names)].mean()
    return means.rename(columns=names).round(3).rename_axis(["data", "model"])


def stops(runs: pd.DataFrame) -> pd.DataFrame:
    """Early-stopped runs as far as they have come: a run that has not reached its stop stands for one that ends there."""
    here = begun(runs)
    titles = [title({"stop": int(steps)}, ["stop"]) for steps in here.steps] if len(here) else []
    return here.assign(row=titles).drop_duplicates(["column", "row", "seed"])


def fitted_pictures(runs: pd.DataFrame) -> kept.Rows:
    """Pictures for each data set: samples of each stop and the images nearest to them, and normal pixels."""
    rows = kept.Rows()
    for column, here in by_column(runs[(runs.state == "done") & (runs.seed == 0)]):
        for run in here.itertuples():
            for label, name in ((run.row, "samples"), (f"nearest to {run.row}", "nearest")):
                rows.put(f"{column}, {label}", kept.pictures(run.run, name, 12), run.run)
        rows.put(f"{column}, normal pixels", kept.pictures(run.run, "normal-pixels", 12), run.run)  # the same for all
    return kept.alike(rows)


def shape_summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean `agreement` of samples, normal pixels and test images, and how far from the one to the other samples are."""
    table = collected(runs, "shapes")
    if table.empty:
        return table
    means = table.groupby(["column", "row"], sort=False)[["samples", "normal pixels", "test images"]].mean()
    way = (means["samples"] - means["normal pixels"]) / (means["test images"] - means["normal pixels"])
    return means.round(3).assign(**{"of the way": way.map("{:.0%}".format)}).rename_axis(["data", "stopped after"])


def normality_sentences(runs: pd.DataFrame) -> list[Html]:
    """For each data set, how the models' latents depart from normal, beside random projections of the pixels."""
    table, lines = normality_summary(runs), []
    for column in table.index.unique("data") if len(table) else ():
        here = table.loc[column].departure
        models = [name for name in here.index if name != PROJECTIONS]
        told = [linked(f"{here[name]:.3f} ({name})", where(runs, column=column, model=name)) for name in models]
        nearly = "latents are nearly normal, and so are random sums of pixels: " if here.max() < NEARLY else ""
        lines.append(say("{}: {}the departure from normal is {}, and {} of random sums (0: none).{}", column, nearly,
                         listed(told), f"{here[PROJECTIONS]:.3f}", _gon_and_vae(here)))
    return lines


def _gon_and_vae(departure):
    """Claim C19 in words, where both models were measured."""
    if not {"implicit GON", "VAE"} <= set(departure.index):
        return ""
    times = departure["VAE"] / departure["implicit GON"]
    if times >= 2:
        return f" The VAE's latents are {times:.1f} times as far from normal as the implicit GON's, as the paper says."
    return f" The VAE's latents are {times:.1f} times as far from normal as the implicit GON's; in the paper, far more."


def shape_sentences(runs: pd.DataFrame) -> list[Html]:
    """For each data set and stop, how far samples are on the way from normal pixels to test images."""
    table = shape_summary(runs)
    lines = []
    for (column, row), one in table.iterrows():
        way = linked(one["of the way"], runs[(runs.column == column) & (runs.row == row)])
        nothing = one["samples"] - one["normal pixels"] < 0.1 * (one["test images"] - one["normal pixels"])
        said = ": no better than normal pixels" if nothing else ""
        lines.append(say("{}, {}: in keeping shapes, samples of the fitted latents are {} of the way from samples of fitted "
                         "pixels to real images{}.", column, row, way, said))
    return lines


def in_short(full: pd.DataFrame, runs: pd.DataFrame, full_early: pd.DataFrame, early: pd.DataFrame) -> list[Html]:
    """What the first recorded data set and the first of this build say of latents and of samples; what the paper says."""
    told = [say("{}, {}", source, line) for source, lines in (
        ("Recorded", normality_sentences(full)), ("This build", normality_sentences(runs)),
        ("Recorded", shape_sentences(full_early)), ("This build", shape_sentences(early))) for line in lines[:1]]
    return with_claim(
        told, "The paper: a GON's latents are approximately normal after 800 steps, a VAE's significantly less so, "
                      "and samples from a normal distribution fitted to a GON's capture the object shapes.")


def take_away(runs: pd.DataFrame) -> list[Html]:
    """Whether latents are nearer to normal than random sums of pixels."""
    table = normality_summary(runs)
    if table.empty:
        return [say("Nothing has been measured.")]
    means = table.groupby("model").departure.mean()
    nearer = [f"the {name}" for name in means.index if name != PROJECTIONS and means[name] < means[PROJECTIONS]]
    told = say("The latents of {} are nearer to normal than random sums of pixels", listed(nearer)) if nearer else (
        "No model's latents are nearer to normal than random sums of pixels")
    return [say("{}. Such sums are near normal by themselves, so a histogram that looks normal is no evidence that a model "
                "has learned it: compare with random sums.", told)]


@rule("C19", "latents", says="the implicit GON's latents have a mean |skewness| under 0.5 and |excess kurtosis| under 1, "
      "and their mean departure (chapter 19) is at most half the VAE's; fails if it is the larger one")
def c19(latents):
    for column, here in by_column(latents):
        both = {name: list(judging.kept(where(here, model=name), "normality")) for name in ("implicit GON", "VAE")}
        if not all(both.values()):
            continue
        tables = {name: found[0].table[found[0].table.kind == "latents"] for name, found in both.items()}
        skewness, excess = (tables["implicit GON"][key].abs().mean() for key in ("skewness", "excess"))
        gon, vae = (part.departure.mean() for part in tables.values())
        good = skewness < 0.5 and excess < 1 and gon <= vae / 2
        outcome = "holds" if good else "fails" if gon > vae else "undecided"
        told = [f"|skewness| {skewness:.2f}, |excess kurtosis| {excess:.2f}, departure {gon:.3f}", f"departure {vae:.3f}"]
        links = [linked(text, both[name][0].runs) for name, text in zip(both, told, strict=True)]
        yield Finding(outcome, say("{}: implicit GON {}, VAE {} {}", column, *links, MARKS[outcome]),
                      pd.concat([found[0].runs for found in both.values()]))


@rule("C20", "latents-early", says="of the early-stopped samples' ten nearest training images so many are of one class that "
      "half the way from samples of normal pixels to test images is made; fails under a tenth")
def c20(latents_early):
    earliest = where(latents_early, stop=latents_early.stop.min()) if len(latents_early) else latents_early
    for found in judging.kept(earliest, "shapes"):
        ours, low, high = (found.table[name].mean() for name in ("samples", "normal pixels", "test images"))
        way = (ours - low) / max(high - low, 1e-9)
        outcome = graded(way, good=0.5, bad=0.1)
        shares = linked(f"samples {ours:.2f}, normal pixels {low:.2f}, test images {high:.2f}", found.runs)
        text = say("{}, {}: {}: {} of the way {}", found.title, found.runs.row.iloc[0], shares, f"{way:.0%}", MARKS[outcome])
        yield Finding(outcome, text, found.runs)
