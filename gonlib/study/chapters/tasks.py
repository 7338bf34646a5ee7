"""What is kept of the runs of section 3.5: latents with their classes, pictures made from sources, and yardsticks."""

from functools import lru_cache

import pandas as pd
import torch

from ...data.datasets import load
from ...method.tasks import TASKS, image
from ...runs import kept
from ...runs.store import load_data
from ...training.evaluation import as_float
from ..linear import ridge_error, softmax_accuracy

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


def keep_classes(run, device="cpu"):
    """Keep with a classifier its "points" (see `class_points`) and, as a table of one row, its "ceiling".

    `ceiling` is the accuracy of the best linear classifier on as many linear numbers as there are latents, `linear`
    that of the best linear classifier of all.
    """
    if kept.table(run, "points") is not None:
        return
    data, model = load_data(run.config, device), run.load_model(device)
    some = as_float(data.test[:POINTS])
    if run.config.latents >= 2:
        points = class_points(model, some, data.test_labels[:POINTS], run.config.evaluation)
        kept.table(run, "points", lambda: points.round(6))
    used = run.config.dataset, run.config.size, run.config.train_images, run.config.test_images, device
    rank, classes = run.config.latents, run.metrics["classes"]
    kept.table(run, "ceiling", lambda: pd.DataFrame([
        {"ceiling": _accuracy(min(rank, classes), *used), "linear": _accuracy(classes, *used)}]))  # fmt: skip


@lru_cache(maxsize=32)  # the same for every seed and model
def _accuracy(rank, *used):
    return softmax_accuracy(load(*used), rank)


def keep_conversion(run, device="cpu"):
    """Keep with a converter some "sources", what it makes of them ("converted") and the "images" meant.

    Table "yardsticks", one row: `mean_error`, of the training set's mean image, and `linear_error`, of the best linear
    map from sources to images.
    """
    if kept.table(run, "yardsticks") is not None or TASKS[run.config.task].source is image:
        return
    data, model = load_data(run.config, device), run.load_model(device)
    shown, source = as_float(data.test[:SHOWN]), TASKS[run.config.task].source
    with model.evaluating(run.config.evaluation), torch.no_grad():
        converted = model.reconstruct(as_float(data.test[: run.config.batch_size]))[:SHOWN]
    for name, pictures in (("sources", source(shown)), ("converted", converted), ("images", shown)):
        kept.pictures(run, name, lambda pictures=pictures: pictures)
    mean = (as_float(data.test) - data.mean_image).square().flatten(1).sum(1).mean().item()
    kept.table(run, "yardsticks", lambda: pd.DataFrame([
        {"mean_error": mean, "linear_error": ridge_error(data, source)}]))  # fmt: skip
