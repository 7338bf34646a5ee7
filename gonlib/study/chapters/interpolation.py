"""Figure 6: paths between images and, where they are known, the true views between them: `shapes`, COIL-20."""

import pandas as pd
import torch

from ...data import as_float
from ...data.builtin import shapes_images
from ...data.registry import facts
from ...runs.kept import collected
from ..experiment import Experiment, models
from ..judging import MARKS, Finding, graded, rule
from ..measures import along, evenly, known_paths, mean_image, paths, smoothness
from ..numbers import Html, linked, listed, number, say, source_of, with_claim
from ..pictures import how_far

FRAMES, SHOWN, DRAWN = 9, 5, 64  # of a path; pairs kept as pictures; the side that these are drawn at, at least

# The change of one factor over a path: of the radius and of x nearly their whole range; of the rotation two fifths of
# the turn after which a shape looks the same, so that the way is the shortest.
CHANGES = {"rotation": 0.4, "radius": 0.18, "x": 0.2}
SYMMETRIES = torch.tensor([180.0, 90.0, 120.0, 72.0])  # of the shapes, in the order of `builtin.SHAPES`
ARC = 6  # views of 5 degrees


def shape_views(data, factor, pairs=32, views=33):
    """`shapes` in which one factor changes evenly, all else fixed: (views, pairs, 1, H, W).

    The scenes are the first test images; `factor` is one of `CHANGES`. Radius and x start at their lowest.
    """
    factors = {key: value[:pairs].cpu() for key, value in data.test_factors.items()}
    if factor == "rotation":
        start, change = factors[factor], CHANGES[factor] * SYMMETRIES[factors["shape"]]
    else:
        start, change = data.train_factors[factor].min().cpu(), CHANGES[factor] * torch.ones(pairs)
    scenes = [shapes_images(factors | {factor: start + t * change}, data.size) for t in torch.linspace(0, 1, views)]
    return as_float(torch.stack(scenes)).to(data.test.device)


def object_views(data, pairs=32):
    """Views of COIL-20's objects, 5 degrees apart, along arcs of `ARC` steps: (ARC + 1, pairs, 1, H, W).

    One arc for each object in turn, from view 0 on, then from other views; they contain training and test images.
    """
    images, labels = torch.cat([data.train, data.test]), torch.cat([data.train_labels, data.test_labels])
    angles = torch.cat([data.train_factors["angles"], data.test_factors["angles"]])
    at = {(int(thing), int(angle)): i for i, (thing, angle) in enumerate(zip(labels, angles, strict=True))}
    things = sorted({thing for thing, _ in at})
    arcs = [(things[i % len(things)], 5 * ARC * (i // len(things))) for i in range(pairs)]
    rows = [[at[thing, (start + 5 * step) % 360] for thing, start in arcs] for step in range(ARC + 1)]
    return as_float(images[torch.tensor(rows, device=images.device)])


def known_views(data, pairs=32):
    """What changes -> true views, for data sets whose views are known; an empty dictionary for others."""
    known = facts(data.name)
    if known.draw:
        return {factor: shape_views(data, factor, pairs) for factor in known.views}
    if "angles" in known.views:
        return {f"turn by {5 * ARC} degrees": object_views(data, pairs=pairs)}
    return {}


def ways(model, data, config):
    """Paths between pairs of test images, their smoothness where the true views between them are known, the "mean-image".

    Pictures "slerp", "lerp", and the cross-fade "pixels": `SHOWN` pairs of `FRAMES` each; "known": for each known change,
    for its first pair, the true views and the four paths of `measures.known_paths`. Table "smoothness": a row per change
    and path.
    """
    kept, strips, rows = {"mean-image": mean_image(data)}, [], []
    for change, true in known_views(data).items():
        rows.append(smoothness(model, true, FRAMES).assign(change=change))
        strips += [along(true, FRAMES)[:, 0], *(path[:, 0] for path in known_paths(model, true, FRAMES).values())]
    if rows:
        kept |= {"known": torch.cat(strips), "smoothness": pd.concat(rows, ignore_index=True)}
    shown = as_float(evenly(data.test, 2 * SHOWN))
    found = paths(model, shown[::2], shown[1::2], FRAMES, max(DRAWN, config.size))
    return kept | {name: found[name].transpose(0, 1).flatten(0, 1) for name in ("lerp", "slerp", "pixels")}


interpolation = Experiment("interpolation", "Figure 6: from one latent to another", models("implicit GON"),
                           keep=ways)


def summary(smooth: pd.DataFrame) -> pd.DataFrame:
    """The kept tables "smoothness", a line per data set, change and way; empty if no true views are known."""
    if smooth.empty:
        return smooth
    values = {name: name.replace("_", " ") for name in ("monotone", "largest_jump", "off_path")}
    table = smooth.groupby(["column", "change", "path"], sort=False)[list(values)].mean()
    return table.rename(columns=values).rename_axis(["data", "change", "path"])


def beside(full: pd.DataFrame, small: pd.DataFrame) -> pd.DataFrame:
    """Recorded runs, or tables, and those small ones whose data none of them is of."""
    return pd.concat([full, small[~small.column.isin(full.column)]]) if len(full) and len(small) else (
        full if len(full) else small)


def sentences(smooth: pd.DataFrame) -> list[Html]:
    """How near slerp and lerp come to the true views, from the kept tables "smoothness"."""
    if smooth.empty:
        return [say("The true views between two images are known for shapes and COIL-20 only: on other data nothing is "
                    "measured.")]
    off = smooth.pivot_table(index=["column", "change"], columns="path", values="off_path", sort=False)
    beyond = [f"{(off[way] / off['views'] - 1).mean():+.0%}" for way in ("slerp", "lerp")]
    nearer = (off.slerp < off.lerp).sum()
    return [say("Beyond what reconstruction alone costs, slerp adds {} to the distance from the true views and lerp {}, on "
                "average over {} change{}. Slerp is nearer than lerp in {} of them.",
                linked(beyond[0], smooth.drop_duplicates("hash")), beyond[1], len(off), "s" * (len(off) != 1), nearer)]


def in_short(full: pd.DataFrame, smooth: pd.DataFrame) -> list[Html]:
    """What lies on a straight path, how the tables "smoothness" compare it with a great circle; what the paper says."""
    told = [say("On the straight path lies exactly the reconstruction of the cross-fade of the two images, because the "
                "encoder is linear.")]
    for source, table in (("Recorded", full), (source_of(smooth).capitalize(), smooth)):
        if table.empty:
            continue
        monotone, jump = (table.groupby("path")[name].mean() for name in ("monotone", "largest_jump"))
        runs = table.drop_duplicates("hash")
        shares = [linked(f"{monotone[name]:.0%}", runs) for name in ("slerp", "lerp", "views")]
        named = listed([f"{one.column}, {how_far(one)}" for one in runs.itertuples()])
        told.append(say("Where the true views between two images are known, {} of the great circles pass them in order, and "
                        "{} of the straight paths; of these views themselves, encoded and decoded, {} are in order. The "
                        "largest jump is {} of the way on the great circle, and {} in a cross-fade. <small>({}: {})</small>",
                        *shares, f"{jump.slerp:.0%}", f"{jump.pixels:.0%}", source, named))
    return with_claim(told, "The paper: on a great circle between two latents, pictures vary in shape, size and rotation.")


@rule("C12", "interpolation", says="on the way from one picture to another of different size or rotation, the nearest true "
      "view goes from end to end without a step back for nine pairs in ten; fails for fewer than half")
def c12(interpolation):
    paths = collected(interpolation, "smoothness")
    for path in paths[(paths.path == "slerp") & (paths.change != "x")].itertuples() if len(paths) else ():
        outcome = graded(path.monotone, good=0.9, bad=0.5)
        one = interpolation[interpolation.hash == path.hash].assign(monotone=100 * path.monotone)
        text = say("{}, {}: {}% of {} pairs {}", path.column, path.change, number(one, "monotone", 0), path.pairs,
                   MARKS[outcome])
        yield Finding(outcome, text, one)
