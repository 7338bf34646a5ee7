"""What is computed from a finished run once and kept beside it: tables and pictures, shown later without its data."""

import io
import json

import numpy as np
import pandas as pd
import torch
from PIL import Image

from .. import files
from . import provenance, store

RECORD = "kept.json"  # what was computed, by which function, from which source and data


def keep(run, compute, device="cpu") -> None:
    """Compute what a function makes of a finished run and keep it beside the run, unless it is there already.

    Args:
        run: A finished run with weights.
        compute: Function (model, data, config) to {name: DataFrame or pictures (N, C, H, H)}.
        device: Where it is computed.
    """
    path, name = run.folder / RECORD, f"{compute.__module__.rpartition('.')[2]}.{compute.__name__}"
    record = _record(path)
    there = record.get(name, {})
    if there.get("steps") == run.metrics["steps"] and all((run.folder / file).is_file() for file in there["files"]):
        return
    data, model = store.load_data(run.config, device), run.load_model(device)
    names = []
    for key, what in compute(model, data, run.config).items():
        names.append(f"{key}.csv" if isinstance(what, pd.DataFrame) else f"{key}.png")
        with files.disk_space(run.folder):
            files.write(run.folder / names[-1], _csv(what) if isinstance(what, pd.DataFrame) else _png(what))
    record[name] = {"files": names, "steps": run.metrics["steps"], "source": provenance.source_hash(), "data": data.checksum}
    with files.disk_space(run.folder):
        files.write_json(path, record)  # last: what it lists is there


def _record(path):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def table(run, name: str) -> pd.DataFrame | None:
    """The table kept with a run as `name`.csv, or None."""
    path = run.folder / f"{name}.csv"
    return pd.read_csv(path, index_col=0) if path.is_file() else None


def pictures(run, name: str) -> torch.Tensor | None:
    """The square pictures kept with a run as one strip, `name`.png: (N, C, H, H) uint8 with C of 1 or 3; or None."""
    path = run.folder / f"{name}.png"
    if not path.is_file():
        return None
    with Image.open(path) as image:
        strip = torch.from_numpy(np.array(image))
    channels = strip[None] if strip.ndim == 2 else strip.permute(2, 0, 1)
    return channels.unflatten(1, (-1, strip.shape[1])).transpose(0, 1)


def _csv(frame):
    return frame.to_csv().encode()


def _png(images):
    """Pictures (N, C, H, H), uint8 or floats in [0, 1], as the bytes of a PNG file with one below the other."""
    strip = as_bytes(images).permute(1, 0, 2, 3).flatten(1, 2)  # (C, N H, H)
    image = Image.fromarray(strip[0].numpy() if len(strip) == 1 else strip.permute(1, 2, 0).contiguous().numpy())
    content = io.BytesIO()
    image.save(content, "png", optimize=True)
    return content.getvalue()


def as_bytes(images):
    """Images as uint8 on the CPU, from uint8 or from floats in [0, 1]."""
    images = images.detach().cpu()
    return images if images.dtype == torch.uint8 else (images.clamp(0, 1) * 255).round().byte()


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
    """{title: (N, C, H, H)}, or pairs of them, with all pictures of the largest size and number of channels among them."""
    pairs = list(pictures.items() if isinstance(pictures, dict) else pictures)
    side = max((strip.shape[-1] for _, strip in pairs), default=0)
    channels = max((strip.shape[1] for _, strip in pairs), default=0)
    made = [(title, torch.nn.functional.interpolate(strip, side).expand(-1, channels, -1, -1)) for title, strip in pairs]
    return dict(made) if isinstance(pictures, dict) else made
