"""Implicit GONs with few parameters (figure 4): counting them, and what is kept of a run."""

import pandas as pd
import torch

from ...runs import kept
from ...runs.store import load_data
from ...training.evaluation import as_float
from ..linear import pca_error

SHOWN = 8  # test images kept as pictures


def siren_parameters(inputs, hidden, layers, outputs=1):
    """Number of weights and biases of a SIREN: `layers` hidden layers of `hidden` units, then a linear output."""
    return (inputs + 1) * hidden + (layers - 1) * (hidden + 1) * hidden + (hidden + 1) * outputs


def networks_with(count, widths=(8, 16, 24, 32, 48, 64, 96, 128), most_layers=8, outputs=1):
    """Every SIREN with exactly `count` parameters: a DataFrame with the columns hidden, layers, inputs."""
    found = []
    for hidden in widths:
        for layers in range(1, most_layers + 1):
            inputs, rest = divmod(count - siren_parameters(0, hidden, layers, outputs), hidden)
            if rest == 0 and inputs >= 3:  # two coordinates and a latent at least
                found.append({"hidden": hidden, "layers": layers, "inputs": inputs, "latents": inputs - 2})
    return pd.DataFrame(found)


def keep(run, device="cpu"):
    """Compute and keep with a run a few test images and their reconstructions, and yardsticks for its error.

    Table "yardsticks", one row: `pca_error`, of as many principal components as latents; `mean_error`, of the training
    set's mean image; `numbers`, how many numbers the training set consists of.
    """
    if kept.table(run, "yardsticks") is not None:
        return
    data, model = load_data(run.config, device), run.load_model(device)
    shown = as_float(data.test[:SHOWN])
    with model.evaluating(), torch.no_grad():
        kept.pictures(run, "images", lambda: shown)
        kept.pictures(run, "reconstructed", lambda: model.reconstruct(shown))
    mean_error = (as_float(data.test) - data.mean_image).square().flatten(1).sum(1).mean().item()
    kept.table(run, "yardsticks", lambda: pd.DataFrame([
        {"pca_error": pca_error(data, run.config.latents), "mean_error": mean_error, "numbers": data.train.numel()}]))
