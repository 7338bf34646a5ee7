"""Live elements: models that run in the reader's browser, with nothing asked of any host.

Each function returns one piece of HTML that works in the book, in Jupyter and in a file of its own: a still picture,
the data as a JSON block, and the script of the element (`elements/`) that takes the picture's place where scripts run.
"""

import base64
import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from ..data import as_bytes, as_float
from ..data.builtin import SHAPES
from ..data.registry import at_hand
from ..runs import kept
from ..runs.run import USUAL, Run
from ..runs.store import load_data, recorded_store
from ..study import numbers, paper, registry
from ..study.numbers import Html, say
from . import stills
from .export import exported
from .figures import COLOURS

ELEMENTS = Path(__file__).with_name("elements")
PEN = 1.5 / 32  # radius of the pen, in image sides
SHOWN = 6  # images to choose from
POINTS = 300  # latents in a scatter
OTHERS = 50  # noisy points on the ring that stay
# Corners of the scenes of `shapes`, and inner over outer radius (an ellipse has none, and the ratio of its axes).
CORNERS = {"ellipse": (0, 0.6), "square": (4, 0.5**0.5), "triangle": (3, 0.5), "star": (5, 0.45)}

# Strokes of the starting digits, in the middle 20/28 of the image as MNIST's are; x to the right, y down, from 0 to 1.
DIGITS = [
    [[(0.5, 0), (0.2, 0.3), (0.25, 0.8), (0.5, 1), (0.78, 0.7), (0.75, 0.2), (0.5, 0)]],
    [[(0.6, 0), (0.5, 0.5), (0.42, 1)]],
    [[(0.15, 0.25), (0.4, 0.02), (0.74, 0.15), (0.6, 0.55), (0.14, 0.97)], [(0.14, 0.97), (0.5, 0.9), (0.88, 0.95)]],
    [[(0.2, 0.1), (0.55, 0), (0.75, 0.2), (0.42, 0.45)], [(0.42, 0.45), (0.8, 0.65), (0.65, 0.95), (0.15, 0.93)]],
    [[(0.28, 0.03), (0.14, 0.52)], [(0.14, 0.52), (0.86, 0.48)], [(0.7, 0.05), (0.62, 1)]],
    [[(0.82, 0.03), (0.32, 0.05)], [(0.32, 0.05), (0.24, 0.45)],
     [(0.24, 0.45), (0.65, 0.45), (0.75, 0.8), (0.15, 0.95)]],
    [[(0.66, 0.02), (0.35, 0.35), (0.22, 0.8), (0.52, 1), (0.76, 0.76), (0.5, 0.58), (0.25, 0.78)]],
    [[(0.12, 0.08), (0.85, 0.06)], [(0.85, 0.06), (0.5, 0.55), (0.38, 1)]],
    [[(0.72, 0.16), (0.45, 0), (0.27, 0.22), (0.52, 0.46), (0.76, 0.76), (0.48, 1), (0.25, 0.76), (0.52, 0.46),
      (0.72, 0.16)]],
    [[(0.74, 0.24), (0.48, 0.47), (0.24, 0.26), (0.48, 0.02), (0.74, 0.24), (0.7, 0.6), (0.58, 1)]],
]


def written_digits(size: int) -> Tensor:
    """The starting digits 0 to 9 as the element's pen draws them: (10, 1, size, size), values in [0, 1]."""
    grid = (np.stack(np.meshgrid(*[np.arange(size)] * 2), -1) + 0.5) / size  # the pixels' centres, (row, column, xy)
    pictures = []
    for strokes in DIGITS:
        points = np.concatenate([_curve(np.array(stroke)) for stroke in strokes])
        points = points * (20 / 28 - 2 * PEN) + 4 / 28 + PEN  # the pen's width stays inside the square
        distance = np.linalg.norm(grid[:, :, None] - points, axis=-1).min(-1)
        pictures.append(np.clip((PEN - distance) * size + 0.5, 0, 1))
    return torch.tensor(np.stack(pictures), dtype=torch.float32)[:, None]


def _curve(points):
    """Many points of a smooth curve through a few."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()
    return CubicSpline(np.insert(lengths, 0, 0), points)(np.linspace(0, lengths[-1], 80))


# --- the elements ---


def draw(gon: Run, detached: Run | None = None) -> Html:
    """A canvas to draw a digit on, and what a GON makes of it: residual, latent, picture.

    Args:
        gon: a run of a convolutional GON with one gradient step.
        detached: the run to show beside it, trained without the gradient through the latent.
    """
    runs = {"GON": gon} | ({"The detached model": detached} if detached else {})
    models = {name: run.load_model() for name, run in runs.items()}
    size, channels = gon.config.size, models["GON"].image[0]
    starts, tests = written_digits(size), kept.pictures(gon, "images")
    seen = [] if tests is None else as_float(tests[:8]).mean(1, keepdim=True)
    data = {"size": size, "channels": channels, "pen": PEN * size, "starts": [_bytes(x) for x in starts],
            "tests": [_bytes(x) for x in seen],
            "models": [exported(model) | {"name": name} for name, model in models.items()]}
    caption = ("What you draw is encoded and decoded in this page, by a GON with "
               f"{gon.config.latents} latents and {_made_by(gon)}.")
    if detached:
        caption += f" The detached model is the same network, {_trained(detached)}."
    alt = "A hand-written three, its residual at the origin, its latent as bars, and the picture the latent decodes to"
    return _element("gon-draw", data, stills.draw(models["GON"], starts[3:4]), alt, caption)


def ring(radius: float = 2.0, sigma: float = 0.7) -> Html:
    """A noisy point to drag, and the step to its posterior mean, where the clean points lie on a circle.

    Args:
        radius: of the circle, less than 4.
        sigma: standard deviation of the noise to begin with.
    """
    caption = ("Equation 4 on a prior that is a circle. Grey: the density of the noisy points, all that the formula is "
               "given; arrows: one gradient step, which ends at the posterior mean. Drag the large point, change the noise, "
               "and put the point at the origin, where a GON starts.")
    alt = "Noisy points around a circle, each with an arrow to its posterior mean near the circle"
    generator = torch.Generator().manual_seed(0)
    angles, noise = (2 * np.pi * torch.rand(OTHERS, 1, generator=generator), torch.randn(OTHERS, 2, generator=generator))
    others = torch.cat([angles, noise], 1)
    data = {"radius": radius, "sigma": sigma, "others": [[round(number, 3) for number in row] for row in others.tolist()]}
    return _element("gon-ring", data, stills.ring(radius, sigma, others), alt, caption)


def zoom(run: Run) -> Html:
    """Test images at any zoom as an implicit GON draws them, beside bicubic interpolation and, for `shapes`, the truth."""
    model, config, small = run.load_model(), run.config, _test_images(run)
    with torch.no_grad(), model.evaluating():
        z = model.encode(small)
    data = {"size": config.size, "model": exported(model), "images": [_bytes(x) for x in small]}
    if config.dataset == "shapes":
        data["scenes"] = _scenes(load_data(config.replace(train_images=1, test_images=SHOWN), "cpu").test_factors)
    truth = " and the truth, with the signal-to-noise ratio in the window" if "scenes" in data else ""
    caption = (f"Zoom without pixels. An implicit GON that saw {config.size} × {config.size} pixels draws test images "
               f"at any zoom, beside bicubic interpolation of those pixels{truth}. It has {_made_by(run)}.")
    alt = "One image four times as fine as its pixels: the pixels, bicubic interpolation, and the picture of a GON"
    return _element("gon-zoom", data, stills.zoom(model, small[:1], z[:1]), alt, caption)


def path(run: Run) -> Html:
    """Two test images to choose, and a slider for the way from one to the other, as an implicit GON draws it."""
    model, images = run.load_model(), _test_images(run)
    data = {"size": run.config.size, "model": exported(model), "images": [_bytes(x) for x in images]}
    caption = ("One path between two images: choose them and move t. The first two pictures are decoded from latents "
               f"between those of the images, by an implicit GON with {run.config.latents} latents, {_made_by(run)} at "
               f"{run.config.size} × {run.config.size} pixels.")
    alt = "Three rows of pictures from one image to another: on a great circle, on a straight line, and cross-faded"
    return _element("gon-path", data, stills.path(model, images[:1], images[1:2]), alt, caption)


def scatter(run: Run) -> Html:
    """The latents of test images by a classifier with two of them; the image that is pointed at is shown."""
    points, images = kept.table(run, "points")[:POINTS], as_float(load_data(run.config, "cpu").test[:POINTS])
    rows = points.round(4)[["z1", "z2", "label", "named"]]
    data = {"size": images.shape[-1], "points": [list(row) for row in rows.itertuples(index=False)],
            "images": [_bytes(x) for x in images]}
    right = (points.label == points.named).mean()
    caption = (f"The latents of {len(points)} test images by a GON that classifies, and the images: point at one, or go "
               f"from one to the next with the arrow keys. Of these {right:.0%} are classified correctly. The GON has "
               f"{_made_by(run)}.")
    alt = "Ten classes as clusters of points in the plane of two latents, most of them apart from each other"
    return _element("gon-scatter", data, stills.scatter(points), alt, caption)


def race(groups: dict[str, pd.DataFrame]) -> Html:
    """The test errors of a table's rows as a race over the epochs, a panel for each data set.

    Args:
        groups: what to call some runs, such as "recorded" or "this build", and the runs as `registry.run` gives them;
            each data set of each is a button. Runs are shown as far as they have been trained.
    """
    panels = []
    for group, runs in groups.items():
        for column, part in runs[runs.run.notna()].groupby("column", sort=False):
            rows = [row for name, same in part.groupby("row", sort=False) if (row := _lane(name, same))]
            title = paper.DATASETS.get(column, column) + f", {group}" * (len(groups) > 1)
            panels += [{"title": title, "rows": rows, "about": _length(part)}] if len(rows) > 1 else []
    if not panels:
        return Html('<p class="state">No runs of this table are at hand, so there is no race to see.</p>')
    every = pd.concat([runs[runs.run.notna()] for runs in groups.values()])
    made = numbers.linked(f"{every.hash.nunique()} runs", every.drop_duplicates("hash"))
    fitted = f" On the way GLO fits the latent of a test image in {USUAL[1]} steps." if "GLO" in set(every.row) else ""
    caption = say("The race: who is ahead depends on when one looks. Choose a data set and move through the epochs; its "
                  "numbers are those of {}.{}", made, fitted)
    alt = "Falling curves of test error, one for each row of the table"
    return _element("gon-race", {"panels": panels}, stills.race(panels[0]), alt, caption)


def _length(runs):
    """How many seeds the runs of a panel have, and how far they are where they are growing, in words."""
    seeds = runs.seed.nunique()
    growing = runs[runs.epoch < runs.asked]
    far = f", {numbers.reached(growing)}" if len(growing) else ""
    return f"{seeds} seed{'s' * (seeds != 1)}{far}."


def _lane(name, runs):
    """A row of a race: the mean over seeds at each epoch that all of them have; None if there is none."""
    curves = [run.history.set_index("epoch").test_error for run in runs.run if "test_error" in run.history]
    mean = pd.concat(curves, axis=1, join="inner").mean(axis=1).dropna() if curves else pd.Series(dtype=float)
    mean = mean[(mean > 0) & np.isfinite(mean)]
    known = runs.paper.iloc[0]
    return {"name": name, "colour": COLOURS.get(name, "#7f8790"), "paper": known[0] if known else None,
            "epochs": mean.index.astype(int).tolist(), "errors": [float(f"{e:.4g}") for e in mean]} if len(mean) else None


LONGER = {"dataset": "shapes", "train_images": 10000, "epochs": 40, "steps": 0}
# For each experiment that has an element: the element, and the runs recorded for it with their weights, as what
# differs from the quick profile.
OF_EXPERIMENTS = {
    "gon": (draw, {"dataset": "mnist", "epochs": 10}),
    "implicit": (zoom, LONGER),
    "interpolation": (path, {}),
    "classifier": (scatter, {}),
    "super-resolution-half": (zoom, {}),
}


def element(name: str, runs: pd.DataFrame) -> Html:
    """The element of an experiment's page, made of the runs recorded for it; without those, of the page's own.

    A run is shown as far as it has been trained.

    Args:
        name: of the experiment, a key of `OF_EXPERIMENTS`.
        runs: what `registry.run` gives for it; of several data sets `shapes` is shown, because its truth is known.
    """
    make, recorded = OF_EXPERIMENTS[name][0], recorded_for(name)
    wanted = 2 if make is draw else 1
    own = sorted(runs.run.dropna(), key=lambda run: run.config.dataset != "shapes")
    for found in (recorded.run.dropna(), own):
        usable = [run for run in (Run(one.folder) for one in found) if not run.failed and run.has_weights]
        if make is scatter:
            usable = [run for run in usable if run.config.latents == 2 and at_hand(run.config.dataset)]
        if len(usable) >= wanted:
            return make(*usable[:wanted])
    return Html('<p class="state">No run of this page is at hand with its weights, so there is nothing to play with.</p>')


def recorded_for(name: str) -> pd.DataFrame:
    """The runs recorded with their weights for the element of an experiment, as `registry.collect` gives them."""
    return registry.collect(registry.get(name).cells("quick", **OF_EXPERIMENTS[name][1]), [recorded_store()])


def _test_images(run):
    """A few test images of a run, from the pictures kept with it or else from its data."""
    found = [strip for name in ("small", "images") if (strip := kept.pictures(run, name)) is not None]
    return as_float(found[0] if found else load_data(run.config, "cpu").test)[:SHOWN]


def _scenes(factors):
    """The factors of `shapes` for zoom.js, a dictionary for each scene."""
    columns = pd.DataFrame({name: values.numpy() for name, values in factors.items()}).to_dict("records")
    return [{**scene, "corners": CORNERS[SHAPES[int(scene["shape"])]]} for scene in columns]


def _made_by(run):
    """What made a model, in words for a caption, linked to the run."""
    return f"{run.metrics['parameters']:,} parameters, {_trained(run)}"


def _trained(run):
    data = paper.DATASETS.get(run.config.dataset, run.config.dataset)
    epochs = int(run.history.epoch.iloc[-1])
    return (f'trained for <a class="number" href="runs.html#run-{run.hash}" data-runs="{run.hash}">'
            f"{epochs} epoch{'s' * (epochs != 1)} on {html.escape(data)}</a>")


def _element(name, data, still, alt, caption):
    """The HTML of an element: still picture, data, caption (HTML too), scripts."""
    block = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    script = "\n".join((ELEMENTS / f"{part}.js").read_text() for part in ("gon", "page", name.removeprefix("gon-")))
    return Html(f'<figure class="captioned live"><{name}><img alt="{html.escape(alt)}" src="{still}">'
                f'<script type="application/json">{block}</script></{name}>'
                f"<figcaption>{caption}</figcaption></figure>"
                f"<script>(() => {{\n{script}}})();</script>")


def _bytes(image):
    """Base64 of an image's bytes."""
    return base64.b64encode(as_bytes(image).numpy().tobytes()).decode()
