"""What is computed from a finished run once and kept beside it: tables and pictures, shown later without its data."""

import io

import numpy as np
import pandas as pd
import torch
from PIL import Image

from .. import files
from ..data import as_bytes


def table(run, name, compute=None):
    """The DataFrame kept with a run as `name`.csv; else that of `compute()`, which is then kept; else None."""
    path = run.folder / f"{name}.csv"
    if not path.is_file():
        if compute is None:
            return None
        with files.disk_space(run.folder):
            files.write(path, compute().to_csv().encode())
    return pd.read_csv(path, index_col=0)


def pictures(run, name, compute=None):
    """Square pictures kept with a run as one strip, `name`.png; else those of `compute()`, kept; else None.

    (N, C, H, H) with C of 1 or 3: uint8 when read; `compute` may give floats in [0, 1].
    """
    path = run.folder / f"{name}.png"
    if not path.is_file():
        if compute is None:
            return None
        strip = as_bytes(compute()).permute(1, 0, 2, 3).flatten(1, 2)  # (C, N H, H)
        image = Image.fromarray(strip[0].numpy() if len(strip) == 1 else strip.permute(1, 2, 0).contiguous().numpy())
        content = io.BytesIO()
        image.save(content, "png", optimize=True)
        with files.disk_space(run.folder):
            files.write(path, content.getvalue())
    with Image.open(path) as image:
        strip = torch.from_numpy(np.array(image))
    channels = strip[None] if strip.ndim == 2 else strip.permute(2, 0, 1)
    return channels.unflatten(1, (-1, strip.shape[1])).transpose(0, 1)


def collected(runs, name):
    """The tables kept under a name with finished runs in one, each line with what `experiments.collect` says of its run."""
    parts = []
    for _, run in runs[runs.state == "done"].iterrows():
        frame = table(run.run, name)
        if frame is not None:
            of_run = run.drop([key for key in frame if key in run])
            parts.append(frame.assign(**{key: [value] * len(frame) for key, value in of_run.items()}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def gallery(runs, *names):
    """The pictures kept under some names with runs: {row title: (N, C, H, H)}, made `alike`.

    Smaller pictures are enlarged with their pixels left visible; runs without pictures are left out.
    """
    found = {}
    for run in runs[runs.state == "done"].itertuples():
        for name in names:
            if (strip := pictures(run.run, name)) is not None:
                found[f"{run.column}\n{name}" if len(names) > 1 else run.column] = strip
    return alike(found)


def alike(pictures):
    """{title: (N, C, H, H)} with all pictures of the largest size and number of channels among them."""
    side = max((strip.shape[-1] for strip in pictures.values()), default=0)
    channels = max((strip.shape[1] for strip in pictures.values()), default=0)
    return {title: torch.nn.functional.interpolate(strip, side).expand(-1, channels, -1, -1)
            for title, strip in pictures.items()}
