"""Samples of variational models, and what is kept of them (figures 7 and 9)."""

import pandas as pd
import torch

from ...runs import kept
from ...runs.store import load_data
from ...training.evaluation import as_float
from ..measures import diversity, nearest

SHOWN = 16  # samples kept as pictures
MEASURED = 1000  # samples that are measured


@torch.no_grad()
def draw(model, n, seed=0):
    """n pictures (n, C, H, W) in [0, 1] of latents from the prior, each decoded alone (`population` statistics)."""
    generator = torch.Generator(model.mean_image.device).manual_seed(seed)
    with model.evaluating("population"):
        return model.sample(n, generator).clamp(0, 1)


def keep_samples(run, device="cpu"):
    """Keep with a variational model some "samples", the "nearest" training image of each, and their "diversity"."""
    if kept.table(run, "diversity") is not None:
        return
    data, model = load_data(run.config, device), run.load_model(device)
    samples = draw(model, min(MEASURED, len(data.test)))
    copies = data.train[nearest(samples[:SHOWN], data.train)[1][:, 0]]
    kept.pictures(run, "samples", lambda: samples[:SHOWN])
    kept.pictures(run, "nearest", lambda: copies)
    kept.table(run, "diversity", lambda: pd.DataFrame([diversity(samples, data.train, data.test)]))


def beside_nearest(runs, n=12):
    """{title: pictures (n, C, H, H)}: samples of the runs of seed 0, and under them the training image nearest to each."""
    rows = {}
    for run in runs[(runs.state == "done") & (runs.seed == 0)].itertuples():
        for name in ("samples", "nearest"):
            if (strip := kept.pictures(run.run, name)) is not None:
                rows[f"{run.row}, {run.column}\n{name}"] = strip[:n]
    return kept.alike(rows)


@torch.no_grad()
def keep_reconstructions(run, device="cpu"):
    """Keep with a model of large pictures some test "images" and their "reconstructions"."""
    if kept.pictures(run, "reconstructions") is not None:
        return
    data, model = load_data(run.config, device), run.load_model(device)
    batch = as_float(data.test[: run.config.batch_size])
    with model.evaluating(run.config.evaluation):
        pictures = model.reconstruct(batch)[: SHOWN // 2]
    kept.pictures(run, "images", lambda: batch[: SHOWN // 2])
    kept.pictures(run, "reconstructions", lambda: pictures)
