"""Equation 8: a GON, and the same network trained without the gradient through its latent."""

import pandas as pd
import torch

from ...data import as_float
from ..experiment import Experiment, models
from ..judging import done, where
from ..measures import evenly
from ..numbers import Html, number, reached, say

SHOWN = 12  # test images kept as pictures


@torch.no_grad()
def pictures(model, data, config):
    """Some test "images" from all over the set, and what the model makes of each alone ("reconstructed")."""
    shown = as_float(evenly(data.test, SHOWN))
    return {"images": shown, "reconstructed": model.reconstruct(shown)}


gon = Experiment("gon", "Equation 8: a GON, with and without gradients through the latent",
                 models("GON", "1 step, detached"), keep=pictures)


def in_short(full: pd.DataFrame, runs: pd.DataFrame) -> list[Html]:
    """What a GON is, and its test error with and without the gradient through the latent: recorded, and in this build."""
    told = [Html("One network is decoder and encoder: the latent is minus the gradient of its loss at the origin, and the "
                 "network is trained through that gradient (equation 8).")]
    return told + [line for part in (full, runs) if (line := detaching(part))]


def detaching(runs: pd.DataFrame) -> Html | None:
    """The errors of a GON and of its detached twin as a sentence; None if one of them has no run."""
    pair = [done(where(runs, model=name), "test_error") for name in ("GON", "1 step, detached")]
    if not all(len(part) for part in pair):
        return None
    growing, config = (pair[0].epoch < pair[0].asked).any(), pair[0].config.iloc[0]
    how_far = reached(pair[0]) if growing else f"after {pair[0].epoch.max():,.0f} epochs"
    times = pair[1].test_error.mean() / pair[0].test_error.mean()
    return say("On <strong>{}</strong> ({} × {} pixels, {} latents, {}) its test error is {}; trained without the gradient "
               "through the latent it is {}, {} times as much.", pair[0].column.iloc[0], config.size, config.size,
               config.latents, how_far, *(number(part, "test_error") for part in pair), f"{times:.1f}")
