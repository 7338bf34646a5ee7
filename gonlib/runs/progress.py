"""How far a run is: a bar on a terminal, or a file that a program watching from outside reads."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .. import files
from ..training.config import Config

Report = Callable[..., Any]  # (fraction done, text)


def title(config: Config) -> str:
    """A few words for a run: data set, seed, and what else sets it apart from the default configuration."""
    fields = {name: value for name, value in config.to_dict().items() if name not in ("dataset", "seed")}
    return " ".join([f"{config.dataset}, seed {config.seed}", *(f"{name}={value}" for name, value in fields.items())])


@contextmanager
def reporter(config: Config, given: Report | None = None) -> Iterator[Report]:
    """A function (fraction, text): the one given; else a file if $GONLIB_PROGRESS names a folder; else a bar; else nothing.

    The file, named after the process, holds one line of JSON, {"run": text, "fraction": number}, replaced at most five
    times a second.
    """
    path = os.environ.get("GONLIB_PROGRESS")
    if given is not None:
        yield given
    elif path:
        yield _file(Path(path) / f"{os.getpid()}.json", title(config))
    elif sys.stderr.isatty():
        layout = "{desc} {percentage:3.0f}% |{bar}| {elapsed} < {remaining}"
        with tqdm(total=1.0, desc=title(config)[:60], bar_format=layout, leave=False, dynamic_ncols=True) as bar:
            yield lambda fraction, text="": bar.update(fraction - bar.n)
    else:
        yield lambda fraction, text="": None


def _file(path: Path, run: str) -> Report:
    last = -1.0

    def report(fraction, text=""):
        nonlocal last
        if fraction < 1 and time.monotonic() - last < 0.2:
            return
        last = time.monotonic()
        with suppress(OSError), files.replacing(path, durable=False) as temporary:  # nobody can watch: the run goes on
            temporary.write_text(json.dumps({"run": run, "fraction": round(fraction, 4)}) + "\n", encoding="utf-8")

    return report
