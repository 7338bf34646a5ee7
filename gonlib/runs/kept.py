"""What is computed from a run's weights once and kept beside it: tables and pictures, shown later without its data.

As a run grows, a file is named after the step of the weights that it was made of: `samples-18000.png`.
"""

import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from .. import files
from ..data import as_bytes
from ..training.forms import arithmetic
from . import provenance, store
from .contents import KEPT, Unreadable, read_kept, read_record, readable

MOST_PIXELS = 2**26  # of one strip of pictures


def keep(run, compute, device="cpu") -> None:
    """Compute what a function makes of a finished run and keep it beside the run, unless it is there already.

    Args:
        run: A finished run with weights.
        compute: Function (model, data, config) to {name: DataFrame or pictures (N, C, H, H)}.
        device: Where it is computed.
    """
    path, step = run.folder / KEPT, run.metrics["steps"]
    name = f"{compute.__module__.rpartition('.')[2]}.{compute.__name__} at step {step}"
    record = read_record(run.folder)
    if name in record and all((run.folder / file).is_file() for file in record[name]["files"]):
        return
    data = store.load_data(run.config, device)
    store.check_data(run.folder, run.data, data.identity)
    model = run.load_model(device)
    with arithmetic():  # as in training
        made = compute(model, data, run.config)
    names = []
    for key, what in made.items():
        if isinstance(what, torch.Tensor) and not len(what):  # such as paths between the pairs of a single test image
            continue
        names.append(f"{key}-{step}.{'csv' if isinstance(what, pd.DataFrame) else 'png'}")
        with files.disk_space(run.folder):
            files.write(run.folder / names[-1], _csv(what) if isinstance(what, pd.DataFrame) else _png(what))
    record[name] = {"files": names, "source": provenance.source_hash(), "data": data.checksum}
    with files.disk_space(run.folder):
        files.write_json(path, record)  # last: what it lists is there


def _newest(run, name, suffix):
    """The file of that name that was kept at the run's point, or last before it; or None."""
    pattern = re.compile(rf"{re.escape(name)}-(\d+){re.escape(suffix)}")
    found = [pattern.fullmatch(file.name) for file in run.folder.glob(f"{name}-*")]
    steps = [int(match[1]) for match in found if match and int(match[1]) <= run.metrics["steps"]]
    return run.folder / f"{name}-{max(steps)}{suffix}" if steps else None


def table(run, name: str) -> pd.DataFrame | None:
    """The table of that name kept with a run, the newest up to its point; or None."""
    path = _newest(run, name, ".csv")
    if path is None:
        return None
    return read_kept(path, name)


def strips(run) -> dict[str, Path]:
    """Name -> file of the pictures kept with a run, of each name the newest up to its point."""
    names = sorted({file.name.rpartition("-")[0] for file in run.folder.glob("*-*.png")})
    return {name: path for name in names if (path := _newest(run, name, ".png"))}


def pictures(run, name: str, first: int | None = None) -> torch.Tensor | None:
    """The (`first`) square pictures kept with a run under a name, (N, C, H, H) uint8 with C of 1 or 3; or None."""
    path = _newest(run, name, ".png")
    if path is None:
        return None
    with readable(path), Image.open(path, formats=["PNG"]) as image:
        if image.mode not in ("L", "RGB") or image.width * image.height > MOST_PIXELS:
            raise ValueError("it is no strip of pictures")
        strip = torch.from_numpy(np.array(image))
        channels = strip[None] if strip.ndim == 2 else strip.permute(2, 0, 1)
        return channels.unflatten(1, (-1, strip.shape[1])).transpose(0, 1)[:first]


def _csv(frame):
    return frame.to_csv().encode()


def _png(images):
    """Pictures (N, C, H, H), uint8 or floats in [0, 1], as the bytes of a PNG file with one below the other."""
    strip = as_bytes(images).permute(1, 0, 2, 3).flatten(1, 2)  # (C, N H, H)
    image = Image.fromarray(strip[0].numpy() if len(strip) == 1 else strip.permute(1, 2, 0).contiguous().numpy())
    content = io.BytesIO()
    image.save(content, "png", optimize=True)
    return content.getvalue()


def collected(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """The tables kept under a name with finished runs in one, each line with what `experiment.collect` says of its run."""
    parts = []
    for _, run in runs[runs.state == "done"].iterrows():
        try:
            frame = table(run.run, name)
        except Unreadable as fault:  # one damaged table does not stop the others
            print(fault, file=sys.stderr)
            continue
        if frame is not None:
            of_run = run.drop([key for key in frame if key in run])
            parts.append(frame.assign(**{key: [value] * len(frame) for key, value in of_run.items()}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


class Rows(list):
    """Rows of pictures to be drawn: pairs of a title and (N, C, H, H), and the names of the `runs` that kept them."""

    def __init__(self, pairs: Iterable[tuple[str, torch.Tensor]] = (), runs: Iterable[str] = ()) -> None:
        super().__init__(pairs)
        self.runs = dict.fromkeys(runs)

    def put(self, title: str, strip: torch.Tensor | None, run: Any, once: bool = True) -> None:
        """Add a row of a run's pictures, unless there are none or, `once`, there is a row of this title."""
        if strip is not None and not (once and any(title == there for there, _ in self)):
            self.append((title, strip))
            self.runs[run.hash] = None


def alike(rows: Any) -> Any:
    """`Rows`, or {title: (N, C, H, H)}, with all pictures of the largest size and number of channels among them."""
    pairs = list(rows.items() if isinstance(rows, dict) else rows)
    side = max((strip.shape[-1] for _, strip in pairs), default=0)
    channels = max((strip.shape[1] for _, strip in pairs), default=0)
    made = [(title, torch.nn.functional.interpolate(strip, side).expand(-1, channels, -1, -1)) for title, strip in pairs]
    return dict(made) if isinstance(rows, dict) else Rows(made, rows.runs)
