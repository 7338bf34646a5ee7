"""Figures 5 and 17: an implicit decoder asked for more pixels than it was trained on, and what it is compared with.

The first and last points of the decoder's grid are the *centres* of the outer pixels of the training images. A larger
picture drawn on the same interval [-1, 1] therefore shows the scene without the outer halves of those pixels: good
for looking at, and a few per cent larger than the truth. `render` puts every pixel where it belongs.
"""

import pandas as pd
import torch
import torch.nn.functional as F

from ...data import as_float
from ...data.registry import facts
from ...runs.kept import collected
from ...runs.store import load_data
from ..experiment import experiment
from ..judging import MARKS, Finding, rule
from ..measures import evenly, mean_image, psnr, ring_correlation
from ..numbers import Html, linked, listed, number, say, source_of, span, with_claim
from ..pictures import how_far, only_learned

MODES = ("nearest", "bilinear", "bicubic")
LEAST = 28  # images of a smaller side, and folders whose images differ, are enlarged before they are learned
SHOWN, LARGE = 8, 256  # test images kept as pictures, and their side (figures 5 and 17)
SCORED = 256  # test images scored
ADDED = 0.1  # decibels from which on detail counts as added
DECIBELS = "+z.2f"  # how they are written: no minus before a zero
CHUNK = 2**22  # numbers in the widest layer at a time


def pixel_centres(size, trained):
    """Where the pixels of a size x size picture lie for a decoder trained at `trained` x `trained`: (size^2, 2).

    In image sides a pixel's centre is (i + 1/2) / size, and the decoder's -1 and 1 are 1/2 and trained - 1/2 pixels of
    the training images. A little of the border lies outside [-1, 1].
    """
    side = (torch.arange(size, dtype=torch.float64) + 0.5) / size * trained - 0.5
    side = (side / (trained - 1) * 2 - 1).float()
    return torch.cartesian_prod(side, side)


@torch.no_grad()
def render(model, z, size, aligned=False):
    """Pictures (N, C, size, size) in [0, 1] of latents z by an implicit decoder.

    Every pixel is where it belongs in the scene; `aligned` gives the published picture instead, whose corner pixels
    are those of the training grid.
    """
    decoder = model.decoder
    points = decoder.coordinates(size) if aligned else pixel_centres(size, decoder.size).to(z)
    each = max(1, CHUNK // (size**2 * decoder.layers[0].out_features))
    parts = [model.likelihood.mean(decoder.at(part, points)) for part in z.split(each)]
    return torch.cat(parts).unflatten(-1, (size, size)).clamp(0, 1)


def enlarge(images, size, mode):
    """Images (N, C, h, h) interpolated to size x size: nearest, bilinear or bicubic, pixels where they belong."""
    options = {} if mode == "nearest" else {"align_corners": False}
    return F.interpolate(images, (size, size), mode=mode, **options).clamp(0, 1)


@torch.no_grad()
def contestants(model, small, size):
    """Name -> pictures (N, C, size, size) of the small images (N, C, h, h), by interpolation and by the model.

    "bicubic of the GON" enlarges the model's small reconstruction: it has the same information as "GON" and differs
    only in who fills in the pixels between. "GON, published grid" is what not minding the coordinates gives.
    """
    with model.evaluating():
        z = model.encode(small)
        pictures = {mode: enlarge(small, size, mode) for mode in MODES}
        pictures["bicubic of the GON"] = enlarge(model.decode(z).clamp(0, 1), size, "bicubic")
        return pictures | {"GON": render(model, z, size), "GON, published grid": render(model, z, size, aligned=True)}


def measure(model, small, large):
    """Small images (N, C, h, h) enlarged by every contestant, against the true large ones: two DataFrames.

    The first has a row per contestant and the column `psnr` (decibels, mean over images); the second a row per
    contestant and frequency, with the `correlation` of `measures.ring_correlation`.
    """
    scores, detail = [], []
    for name, pictures in contestants(model, small, large.shape[-1]).items():
        scores.append({"method": name, "psnr": psnr(pictures, large).mean().item()})
        frequencies, correlation = ring_correlation(pictures, large)
        detail.append(pd.DataFrame({"method": name, "frequency": frequencies, "correlation": correlation}))
    return pd.DataFrame(scores), pd.concat(detail, ignore_index=True)


def true_sizes(config):
    """Twice and four times a run's image size, as far as the data set has images so large that were not seen."""
    known = facts(config.dataset).side
    return [size for size in (2 * config.size, 4 * config.size) if size <= known]


def enlargements(model, data, config):
    """A few "small" test images, "bicubic" and the model's "large" pictures of them, and the "mean-image".

    Where the truth is known, the tables "scores" and "detail" too.
    """
    small, both = as_float(data.test[:SCORED]), []
    for size in true_sizes(config):
        large = as_float(load_data(config.replace(size=size), data.test.device).test[:SCORED])
        both.append([frame.assign(size=size, images=len(large)) for frame in measure(model, small, large)])
    tables = [pd.concat(frames, ignore_index=True) for frames in zip(*both, strict=True)]
    shown = as_float(evenly(data.test, SHOWN))
    with model.evaluating(), torch.no_grad():
        large = render(model, model.encode(shown), LARGE)
    found = {"small": shown, "bicubic": enlarge(shown, LARGE, "bicubic"), "large": large, "mean-image": mean_image(data)}
    return found | dict(zip(("scores", "detail"), tables, strict=False))


@experiment("super-resolution", "Figures 5 and 17: trained small, shown at 256 x 256", keep=enlargements)
def large(dataset, small=0):
    side = facts(dataset).side
    return [({"model": "implicit GON"}, {"size": small or int(min(side if side >= LEAST else 32, 32))})]


@experiment("super-resolution-half", "Claim C11: trained at half size, scored at full size", keep=enlargements)
def half_size(dataset, small=0):
    side = facts(dataset).side
    return [({"model": "implicit GON"}, {"size": small or int(min((side if side >= LEAST else 64) / 2, 32))})]


def largest(tables):
    """Of tables kept with runs, the lines of each run's largest size."""
    return tables[tables["size"] == tables.groupby("hash")["size"].transform("max")]


def by_size(scores: pd.DataFrame) -> pd.DataFrame:
    """The kept tables "scores" as rows for a table: methods by data set and size."""
    if scores.empty:
        return scores
    return scores.assign(row=scores.method, column=scores.column + ", " + scores["size"].astype(str) + " px")


def gains(scores: pd.DataFrame) -> pd.DataFrame:
    """For each run and size, in decibels: what the decoder `adds` to its own reconstruction enlarged, and the like."""
    rows = []
    for (column, size, run), part in scores.groupby(["column", "size", "hash"], sort=False) if len(scores) else ():
        psnr, one = part.set_index("method").psnr, part.iloc[0]
        psnr = psnr.round(2)  # as it is shown
        rows.append({"column": column, "size": size, "hash": run, "small": one.config.size, "images": one.images,
                     "adds": psnr["GON"] - psnr["bicubic of the GON"], "beside_bicubic": psnr["GON"] - psnr["bicubic"],
                     "published": psnr["GON, published grid"] - psnr["GON"]})
    return pd.DataFrame(rows)


def score_sentences(scores: pd.DataFrame) -> list[Html]:
    """For each data set and size, what the decoder adds to its own reconstruction enlarged."""
    return [say("{}, {} to {} px, {} images: the decoder adds {} dB to its own reconstruction enlarged, and is {} dB "
                "{} bicubic of the image itself. The published grid would change its score by {} dB.", row.column, row.small,
                row.size, row.images, linked(f"{row.adds:+.2f}", scores[scores.hash == row.hash][:1]),
                f"{abs(row.beside_bicubic):.2f}", _side([row.beside_bicubic]), f"{row.published:+.2f}")
            for row in gains(scores).itertuples()]


def in_short(full: pd.DataFrame, scores: pd.DataFrame) -> list[Html]:
    """What the decoder adds to its own reconstruction enlarged, from tables "scores", and what the paper says."""
    told = []
    for source, table in (("Recorded", full), (source_of(scores).capitalize(), scores)):
        if len(found := gains(table)):
            added = linked(span(found.adds, DECIBELS), table.drop_duplicates("hash"))
            truth = "nearer" if min(found.adds) > ADDED else "no nearer" if max(found.adds) <= ADDED else "not always nearer"
            told.append(say("The decoder's picture is {} to the truth than its own small reconstruction enlarged "
                            "bicubically (by {} dB; from {} on it counts), and {} dB {} bicubic interpolation of the image "
                            "itself. <small>({}: {})</small>", truth, added, ADDED, span(found.beside_bicubic.abs(), ".2f"),
                            _side(found.beside_bicubic), source, _which(table)))
    return with_claim(told, "The paper: much fine detail is drawn though only small images were seen.")


def _which(tables):
    """The data sets of kept tables, and how far their runs are."""
    runs = tables.drop_duplicates("hash")
    far = runs.groupby([how_far(one) for one in runs.itertuples()], sort=False).column.unique()
    return "; ".join(f"{listed(columns)} {how}" for how, columns in far.items())


def _side(differences):
    """On which side of something these differences lie."""
    return "below" if max(differences) <= 0 else "above" if min(differences) >= 0 else "below or above"


def take_away(full: pd.DataFrame, scores: pd.DataFrame) -> list[Html]:
    """What the scores come to: whether the decoder adds detail, and what it is good for."""
    found = pd.concat([gains(full), gains(scores)])
    if found.empty:
        return [say("Nothing has been measured.")]
    runs, told = pd.concat([full, scores]).drop_duplicates("hash"), []
    for some, verb in ((found[found.adds > ADDED], "adds detail"), (found[found.adds <= ADDED], "adds no detail")):
        if len(some):
            told.append(say("on {} {} ({} dB)", listed(some.column.unique()), verb,
                            linked(span(some.adds, DECIBELS), runs[runs.hash.isin(some.hash)])))
    lost = ("But what was lost when the image was squeezed into its latent no finer grid brings back: bicubic interpolation "
            "of the image itself, which has lost nothing, stays nearer to the truth." if found.beside_bicubic.max() < 0 else
            "It can even be nearer to the truth than bicubic interpolation of the image itself.")
    return [say("Beside its own reconstruction, enlarged bicubically, the decoder {}. {}", listed(told), lost)]


def detail_sentences(detail: pd.DataFrame) -> list[Html]:
    """The mean correlation with the truth at frequencies that the small images cannot hold."""
    lines = []
    for column, part in largest(detail).groupby("column", sort=False) if len(detail) else ():
        beyond = part[part.frequency > part.config.iloc[0].size / 2].groupby("method").correlation.mean()
        each = ", ".join(f"{name} {beyond[name]:.2f}" for name in ("bicubic", "bicubic of the GON", "GON"))
        runs = part.drop_duplicates("hash")
        lines.append(say("{}, mean correlation beyond what the small images hold: {}.", column, linked(each, runs)))
    return lines


@rule("C11", "super-resolution-half", says="enlarged to its true size, the model's picture is nearer to the truth than its "
      "own small reconstruction enlarged bicubically, by 0.1 dB: else no detail was added. Models that have not learned "
      "their small pictures do not count")
def c11(super_resolution_half):
    scores = collected(only_learned(super_resolution_half), "scores")
    for (column, size, run), here in scores.groupby(["column", "size", "hash"], sort=False) if len(scores) else ():
        psnr = here.set_index("method").psnr
        outcome = "holds" if psnr["GON"] - psnr["bicubic of the GON"] > ADDED else "fails"
        one = super_resolution_half[super_resolution_half.hash == run].assign(psnr=psnr["GON"])
        text = say("{} at {} px: {} dB against {} {}; bicubic of the image itself {}", column, size, number(one, "psnr"),
                   f"{psnr['bicubic of the GON']:.2f}", MARKS[outcome], f"{psnr['bicubic']:.2f}")
        yield Finding(outcome, text, one)
