"""How long the notebooks take: what is remembered from the last build, and the bar that shows the time left."""

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .. import files
from ..errors import duration


class Timings:
    """How long each notebook took the last time, and how far this build is.

    Args:
        profile: Name of the profile; each has times of its own.
        names: The notebooks that will be executed.
        workers: How many are executed at a time.
        kept: JSON files with times, the first that knows a notebook counts; new times go to the first.
    """

    def __init__(self, profile: str, names: list[str], workers: int, kept: list[Path]) -> None:
        self.profile, self.workers, self.file = profile, workers, kept[0]
        known: dict[str, float] = {}
        for file in reversed(kept):
            known |= {name: seconds for name, seconds in _of(_read_json(file), profile).items()
                      if type(seconds) in (int, float) and 0 <= seconds < math.inf}
        self.expected: dict[str, float | None] = {name: known.get(name) for name in names}
        self.done: set[str] = set()

    def left(self, running: dict[str, float]) -> float | None:
        """Seconds left in all, given the seconds that running notebooks have taken; None if that is not known."""
        coming = {name: seconds for name, seconds in self.expected.items() if name not in self.done}
        if None in coming.values():
            return None
        for name, spent in running.items():
            if coming.get(name) is None:  # one that changed while the others were executed
                return None
            coming[name] = max(coming[name] - spent, spent / 10)  # longer than the last time: still some to go
        return self._shared(list(coming.values()))

    def _shared(self, seconds: list[float]) -> float:
        return max(sum(seconds) / self.workers, max(seconds, default=0.0))

    def percent(self, running: dict[str, float]) -> float:
        """How much of the work is done, from 0 to 100."""
        left = self.left(running)
        if left is None:
            return 100 * len(self.done) / len(self.expected)
        return 100 * (1 - min(left / max(self._shared(list(self.expected.values())), 1e-9), 1))

    def finished(self, name: str, seconds: float, keep: bool) -> None:
        """Take note that a notebook is done; its time is kept for the next build if `keep`."""
        self.expected[name] = seconds
        self.done.add(name)
        if keep:
            found = _read_json(self.file)
            everything = found if isinstance(found, dict) else {}
            everything[self.profile] = _of(everything, self.profile) | {name: round(seconds, 1)}
            with contextlib.suppress(OSError):  # it only guides the next progress bar
                files.write_json(self.file, everything)


@contextlib.contextmanager
def progress_bar(timings: Timings, began: dict[str, float], reports: Path) -> Iterator[None]:
    """Show which notebooks and which runs are going on, and the time left, on a terminal.

    Args:
        timings: Which notebooks there are and which are done.
        began: Name of each notebook that was begun -> value of `time.monotonic` at that moment.
        reports: Folder in which the kernels' runs say how far they are (`gonlib.runs.progress`).
    """
    # tqdm shows no bar where there is no terminal; the line per notebook is then enough.
    bar = tqdm(total=100, bar_format="{desc} {percentage:3.0f}% |{bar:20}| {elapsed}{postfix}", dynamic_ncols=True,
               disable=None, leave=False)
    stop = threading.Event()

    def show():
        while not stop.wait(0.3):
            running = {name: time.monotonic() - start for name, start in dict(began).items() if name not in timings.done}
            left = timings.left(running)
            bar.set_description_str(f"{len(timings.done)}/{len(timings.expected)} notebooks", refresh=False)
            known = f"about {duration(left)} left" if left is not None else "time left unknown"
            bar.set_postfix_str("; ".join([known, ", ".join(running), *_runs_under_way(reports)]), refresh=False)
            bar.n = timings.percent(running)
            bar.refresh()

    watcher = threading.Thread(target=show, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        bar.close()


def _runs_under_way(folder: Path) -> list[str]:
    """What the kernels' runs report: "digits, seed 0 45%"."""
    recent = [file for file in folder.glob("*.json") if time.time() - _changed(file) < 3]
    return [f"{report['run']} {report['fraction']:.0%}" for report in map(_read_json, recent) if report]


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _of(values: Any, name: str) -> dict[str, Any]:
    """The dictionary of that name in another; an empty one if there is none."""
    found = values.get(name) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # not there, or half-written: it only guides a progress bar
        return None
