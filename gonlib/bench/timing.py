"""Times as medians over rounds in which what is compared takes turns, and memory at its peak: the rows of the table."""

import os
import time
import warnings

import pandas as pd
import torch

COLUMNS = ["case", "variant", "batch", "device", "ms", "spread", "times_faster_than_reference", "peak_mib"]
REFERENCE = "reference"  # the variant that others are compared with
SECONDS = 4.0  # for measuring one case; at least three rounds


def line(values):
    """Values as columns of text."""
    case, *others = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)
    return case.ljust(46) + " ".join(v[:24].ljust(24) if i == 0 else v[:9].rjust(9) for i, v in enumerate(others))


def synchronise(device):
    """Wait for a GPU."""
    if str(device).startswith("cuda"):
        torch.cuda.synchronize(device)


def interleaved(works, device, seconds=SECONDS):
    """Name -> (median, spread) in ms of works (name -> callable) that take turns for about `seconds`, three times at least.

    A work that takes little time is repeated within its turn, for 20 ms.
    """
    repeats, once = {}, 0.0
    for name, work in works.items():
        work()  # the first call allocates, compiles or captures
        took = _timed(work, 1, device)
        repeats[name] = max(1, round(0.02 / max(took, 1e-6)))
        once += took * repeats[name]
    times = {name: [] for name in works}
    for _ in range(max(3, min(int(seconds / once), 50))):
        for name, work in works.items():
            times[name].append(_timed(work, repeats[name], device) / repeats[name] * 1e3)
    quartiles = {name: pd.Series(values).quantile([0.25, 0.5, 0.75]).tolist() for name, values in times.items()}
    return {name: (middle, (high - low) / 2) for name, (low, middle, high) in quartiles.items()}


def _timed(work, repeats, device):
    synchronise(device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronise(device)
    return time.perf_counter() - start


def peak_mib(work, device):
    """Memory that one call of `work` takes on top of what is there before, at its peak, in MiB."""
    if str(device).startswith("cuda"):
        synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        synchronise(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler complains that there is no GPU
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a profiler that records once
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
            work()
    changes = [(e.start_ns(), e.nbytes()) for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(pd.Series([size for _, size in sorted(changes)]).cumsum().max(), 0) / 2**20


def rows_of(case, works, batch, device, scale=None, memory=(), base=REFERENCE, seconds=SECONDS):
    """Rows of one case; `scale` (variant -> factor) is for works that do a part of the whole, `base` is compared with."""
    found = interleaved(works, device, seconds)
    found = {name: tuple(x * (scale or {}).get(name, 1) for x in times) for name, times in found.items()}
    kind = str(device).partition(":")[0]
    return [
        {"case": case, "variant": name, "batch": batch, "device": kind, "ms": ms, "spread": spread,
         "times_faster_than_reference": found[base][0] / ms if base in found else float("nan"),
         "peak_mib": float(peak_mib(works[name], device)) if name in memory else float("nan")}
        for name, (ms, spread) in found.items()
    ]
