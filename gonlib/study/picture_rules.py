"""The rules (rules.py) of the claims about pictures and latents: figures 4 to 8, 12 to 15 and 17."""

import pandas as pd

from ..book.figures import number
from ..runs.kept import collected
from .judging import MARKS, Finding, by_column, done, kept, linked, rows, rule
from .paper import DATASETS
from .registry import signal_share


@rule("C10", "implicit-parameters", says="the network with 4,385 parameters has an error at most that of a PCA with as "
      "many components as latents; fails above one and a half times it")
def c10(implicit_parameters):
    yards = collected(implicit_parameters, "yardsticks")
    for row in done(rows(implicit_parameters, "34 latents, 4 x 32"), "test_error").itertuples():
        one = implicit_parameters[implicit_parameters.hash == row.hash]
        for pca in yards[yards.hash == row.hash].pca_error if len(yards) else ():
            outcome = "holds" if row.test_error <= pca else "fails" if row.test_error > 1.5 * pca else "undecided"
            yield Finding(outcome, f"{row.column}: {row.parameters:,.0f} parameters {number(one, 'test_error')}, PCA "
                          f"{pca:.2f} {MARKS[outcome]}", one)


@rule("C11", "super-resolution-half", says="enlarged to its true size, the model's picture is nearer to the truth than its "
      "own small reconstruction enlarged bicubically, by 0.1 dB; fails if it is farther by as much")
def c11(super_resolution_half):
    scores = collected(super_resolution_half, "scores")
    for (column, size, run), here in scores.groupby(["column", "size", "hash"], sort=False) if len(scores) else ():
        psnr = here.set_index("method").psnr
        gain = psnr["GON"] - psnr["bicubic of the GON"]
        outcome = "holds" if gain > 0.1 else "fails" if gain < -0.1 else "undecided"
        one = super_resolution_half[super_resolution_half.hash == run].assign(psnr=psnr["GON"])
        text = (f"{DATASETS.get(column, column)} at {size} px: {number(one, 'psnr')} dB against "
                f"{psnr['bicubic of the GON']:.2f} {MARKS[outcome]}; bicubic of the image itself {psnr['bicubic']:.2f}")
        yield Finding(outcome, text, one)


@rule("C12", "interpolation", says="on the way from one picture to another of different size or rotation, the nearest true "
      "view goes from end to end without a step back for nine pairs in ten; fails for fewer than half")
def c12(interpolation):
    paths = collected(interpolation, "smoothness")
    for path in paths[(paths.path == "slerp") & (paths.change != "x")].itertuples() if len(paths) else ():
        outcome = "holds" if path.monotone >= 0.9 else "fails" if path.monotone < 0.5 else "undecided"
        one = interpolation[interpolation.hash == path.hash].assign(monotone=100 * path.monotone)
        yield Finding(outcome, f"{DATASETS.get(path.column, path.column)}, {path.change}: {number(one, 'monotone', 0)}% of "
                      f"{path.pairs} pairs {MARKS[outcome]}", one)


@rule("C13", "samples", "samples-9b", says="two samples of a VGON are at least 0.8 times as far apart as two test images, "
      "and samples no nearer to training images than half the distance of test images; fails under 0.5 and a quarter")
def c13(samples, samples_9b):
    for runs in (samples, samples_9b):
        for found in kept(rows(runs, "VGON"), "diversity"):
            spread, novelty = found.table.spread.mean(), found.table.novelty.mean()
            good, bad = spread >= 0.8 and novelty >= 0.5, spread < 0.5 or novelty < 0.25
            outcome = "holds" if good else "fails" if bad else "undecided"
            text = f"{found.title}: {linked(f'spread {spread:.2f}, novelty {novelty:.2f}', found.runs)} {MARKS[outcome]}"
            yield Finding(outcome, text, found.runs)


@rule("C14", "first-minute", says="after 3 s of training at least half of the signal (1 - error / error of the mean "
      "image) is modelled; fails under a quarter")
def c14(first_minute):
    for _, run in rows(first_minute, "GON").iterrows():
        found = signal_share(run.run, 3)
        if found:
            outcome = "holds" if found[0] >= 0.5 else "fails" if found[0] < 0.25 else "undecided"
            one = first_minute[first_minute.hash == run.hash]
            yield Finding(outcome, f"{found[0]:.0%} of the signal after 3 s (step {found[2]:,}); error at the end "
                          f"{number(one, 'test_error')}", one)


@rule("C18", "classifier", says="with two latents at least 90% of the test images are named rightly; fails under half")
def c18(classifier):
    two = done(classifier[(classifier.column == "2 latents") & classifier.row.str.startswith("implicit")], "test_accuracy")
    ceilings = collected(two, "ceiling")
    for (row, dataset), runs in two.groupby(["row", two.config.map(lambda c: c.dataset)], sort=False):
        accuracy = runs.test_accuracy.mean()
        outcome = "holds" if accuracy >= 0.9 else "fails" if accuracy < 0.5 else "undecided"
        limit = ceilings[ceilings.hash.isin(runs.hash)].ceiling.max() if len(ceilings) else float("nan")
        text = f"{DATASETS.get(dataset, dataset)}, {row}: accuracy {number(runs, 'test_accuracy')} {MARKS[outcome]}"
        yield Finding(outcome, text + ("" if limit != limit else f"; best linear latents {limit:.2f}"), runs)


@rule("C19", "latents", says="the implicit GON's latents have a mean |skewness| under 0.5 and |excess kurtosis| under 1, "
      "and their mean departure (chapter 19) is at most half the VAE's; fails if it is the larger one")
def c19(latents):
    for column, here in by_column(latents):
        models = {name: list(kept(rows(here, name), "normality")) for name in ("implicit GON", "VAE")}
        if not all(models.values()):
            continue
        tables = {name: found[0].table[found[0].table.kind == "latents"] for name, found in models.items()}
        skewness, excess = (tables["implicit GON"][key].abs().mean() for key in ("skewness", "excess"))
        gon, vae = (part.departure.mean() for part in tables.values())
        good = skewness < 0.5 and excess < 1 and gon <= vae / 2
        outcome = "holds" if good else "fails" if gon > vae else "undecided"
        said = [f"|skewness| {skewness:.2f}, |excess kurtosis| {excess:.2f}, departure {gon:.3f}", f"departure {vae:.3f}"]
        links = [f"{name} {linked(text, models[name][0].runs)}" for name, text in zip(models, said, strict=True)]
        yield Finding(outcome, f"{column}: {', '.join(links)} {MARKS[outcome]}",
                      pd.concat([found[0].runs for found in models.values()]))


@rule("C20", "latents-early", says="of the early-stopped samples' ten nearest training images so many are of one class that "
      "half the way from samples of normal pixels to test images is made; fails under a tenth")
def c20(latents_early):
    earliest = latents_early[latents_early.row == latents_early.row.iloc[0]] if len(latents_early) else latents_early
    for found in kept(earliest, "shapes"):
        ours, low, high = (found.table[name].mean() for name in ("samples", "normal pixels", "test images"))
        way = (ours - low) / max(high - low, 1e-9)
        outcome = "holds" if way >= 0.5 else "fails" if way < 0.1 else "undecided"
        text = linked(f"samples {ours:.2f}, normal pixels {low:.2f}, test images {high:.2f}", found.runs)
        yield Finding(outcome, f"{found.title}, {found.runs.row.iloc[0]}: {text}: {way:.0%} of the way {MARKS[outcome]}",
                      found.runs)
