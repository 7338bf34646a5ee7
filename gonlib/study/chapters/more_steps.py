"""What further gradient steps would do to a trained GON: more steps at evaluation than it was trained with."""

import pandas as pd
import torch

from ...method.origin import descend
from ...runs import kept
from ...runs.store import load_data
from ...training.evaluation import as_float

COUNTS = (1, 2, 5, 10, 20, 50)


@torch.no_grad()
def by_steps(model, images, config, counts=COUNTS):
    """A DataFrame with a row per number of gradient steps at evaluation, on images (N, C, H, W) uint8, batch by batch.

    Columns: `steps`; `error`, the summed squared error per image; `moved`, how far latents lie from those of one step,
    in lengths of that step.
    """
    totals = torch.zeros(len(counts), 2, dtype=torch.float64)
    with model.evaluating(config.evaluation), model.inferring(steps=1):
        for x in as_float(images).split(config.batch_size):
            z, taken = model.encode(x), 1
            one = z
            for total, steps in zip(totals, counts, strict=True):
                z, taken = descend(model, x, z, steps - taken, model.inference.step_size), steps
                moved = (z - one).norm(dim=1) / one.norm(dim=1)
                total += torch.stack([(model.decode(z) - x).square().sum(), moved.sum()]).cpu()
    error, moved = (totals / len(images)).T.tolist()
    return pd.DataFrame({"steps": counts, "error": error, "moved": moved})


def keep(run, device="cpu"):
    """Compute and keep with a run of a GON the table "steps": `by_steps` on its test images."""
    kept.table(run, "steps", lambda: by_steps(run.load_model(device), load_data(run.config, device).test, run.config))
