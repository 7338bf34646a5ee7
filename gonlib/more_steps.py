"""What further gradient steps would do to a trained GON: more steps at evaluation than it was trained with."""

from contextlib import contextmanager

import pandas as pd
import torch

from . import extras
from .evaluation import as_float, evaluate
from .store import load_data

COUNTS = (1, 2, 5, 10, 20, 50, 100)  # the first is what the others are compared with


@contextmanager
def taking(model, steps):
    """Within, the model's latents are found with so many gradient steps of the size that it was trained with."""
    was, model.inference.steps = model.inference.steps, steps
    try:
        yield model
    finally:
        model.inference.steps = was


def by_steps(model, images, config, counts=COUNTS):
    """A DataFrame with a row per number of gradient steps at evaluation, on images (N, C, H, W) uint8.

    Columns: `steps`; `error`, the summed squared error per image; `moved`, how far the latents of a first batch lie from
    those of one step, in lengths of that step.
    """
    first, found = as_float(images[: config.batch_size]), []
    for steps in counts:
        with taking(model, steps), torch.no_grad(), model.evaluating(config.evaluation):
            error, z = evaluate(model, images, config)["error"], model.encode(first)
        one = found[0]["latents"] if found else z
        moved = ((z - one).norm(dim=1) / one.norm(dim=1)).mean().item()
        found.append({"steps": steps, "error": error, "moved": moved, "latents": z})
    return pd.DataFrame(found).drop(columns="latents")


def keep(run, device="cpu"):
    """Compute and keep with a run of a GON the table "steps": `by_steps` on its test images."""
    extras.table(run, "steps", lambda: by_steps(run.load_model(device), load_data(run.config, device).test, run.config))
