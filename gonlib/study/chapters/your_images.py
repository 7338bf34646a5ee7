"""GONs of your own images, and a small folder of pictures to show before you name yours."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.colors import hsv_to_rgb
from PIL import Image

from ...data import as_bytes, as_float
from ...data.builtin import shapes_images
from ...files import disk_space
from ...runs.provenance import repository_root
from ..experiment import experiment
from ..measures import mean_image
from ..numbers import Html, listed, number, say


@experiment("your-images", "A convolutional and an implicit GON on any folder of images")
def your_images(dataset):
    return [{"model": "convolutional GON"}, {"model": "implicit GON"}]


def eggs(count, side):
    """Pictures (count, 3, side, side) of one kind of object: an egg of some size, place, tilt and colour, lit from above."""
    random = np.random.default_rng(0)
    ranges = {"radius": (0.25, 0.42), "x": (0.4, 0.6), "y": (0.4, 0.6), "rotation": (0, 180)}
    factors = {name: random.uniform(*span, count).astype(np.float32) for name, span in ranges.items()}
    shape = as_float(shapes_images(factors | {"shape": np.zeros(count, int), "grey": np.ones(count, np.float32)}, side))
    colours = hsv_to_rgb(np.stack([random.uniform(size=count), np.full(count, 0.7), np.ones(count)], 1))
    egg, ground = torch.tensor(colours).float()[..., None, None], torch.tensor([0.25, 0.3, 0.35])[:, None, None]
    light = torch.linspace(1, 0.45, side)[:, None]
    return as_bytes((shape * egg + (1 - shape) * ground) * light)


def example_folder(images=480, side=48):
    """Write pictures of eggs as PNG files, once; returns "folder:PATH".

    The folder is build/example-eggs, PATH is relative to the working folder.
    """
    folder = (repository_root() or Path.cwd()) / "build" / "example-eggs"
    with disk_space(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if len(list(folder.glob("*.png"))) != images:
            for i, picture in enumerate(eggs(images, side)):
                Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{i:04d}.png")
    return f"folder:{os.path.relpath(folder)}"


def in_short(runs: pd.DataFrame, images) -> list[Html]:
    """What the two models have learned of a folder's images, beside the mean image."""
    mean, told = float(mean_image(images).error.iloc[0]), []
    for row, part in runs.groupby("row", sort=False):
        one = part.iloc[0]
        if one.state == "done":
            share = f"{1 - one.test_error / mean:.0%}" if one.test_error < mean else "nothing"
            told.append(say("the {} reproduces {} (test error {} after {} steps)", row, share, number(part, "test_error"),
                            f"{one.steps:,.0f}"))
    counts = (f"{len(part):,}" for part in (images.train, images.test))
    about = say("{} training and {} test images of {} × {} pixels; the mean image's error is {}.", *counts, images.size,
                images.size, f"{mean:.1f}")
    return [say("Of what the mean image leaves unexplained {}.", listed(told)), about] if told else [about]
