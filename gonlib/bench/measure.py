"""`make bench`: what a training step, encoding and decoding cost on this machine, as ratios measured in one process.

The works that are compared take turns, so that what else the machine does slows all of them alike; times are medians
over the rounds, and the spread is half the distance between the quartiles.
"""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

from .. import files
from ..errors import UserError, printable
from ..runs import provenance
from ..training.forms import arithmetic, check_device
from .encoding import encoding
from .goals import goals
from .recorded import in_words
from .steps import at_once, scaling, steps
from .timing import COLUMNS, line


def add_arguments(parser):
    """Declare the options of `python -m gonlib bench`."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--out", type=files.given_path, default=Path("build/bench.csv"), metavar="FILE",
                        help="the table as CSV")
    parser.add_argument("--record", action="store_true", help="keep a copy for the book, in book/results/")


def main(args):
    """Measure, print the table and whether the goals are met, and write the files."""
    check_device(args.device)
    places = _places(args)
    facts = conditions(args.device)
    print(describe(facts), flush=True)
    table = measure(args.device)
    facts["seconds"] = round(time.time() - facts.pop("began"), 1)
    for words, value, least in goals(table):
        print(f"{'met    ' if value >= least else 'NOT MET'} {words}: {value:.2f} times faster, wanted {least:.2f}")
    for path in places:
        files.write(path, table.to_csv(index=False, float_format="%.5g").encode())
        files.write(path.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    print(f"{facts['seconds']:.0f} s; written to {args.out}")


def _places(args):
    """Where the table is to be written, its folder made; `UserError` before minutes are spent if it cannot be."""
    if args.out.suffix != ".csv" or args.out.is_dir():
        raise UserError(f"--out is a file whose name ends in .csv, not {printable(args.out)}: beside it comes a .json.")
    places = [args.out]
    if args.record:
        root = provenance.repository_root() or Path.cwd()
        places.append(root / "book" / "results" / f"bench-{args.device.partition(':')[0]}.csv")
    for path in places:
        with files.scratch(path.parent):  # whether something can be written there
            pass
    return places


def conditions(device):
    """Hardware, versions and load: what a time means nothing without."""
    return {
        "device": provenance.device_name(device), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "versions": provenance.versions(), "source": provenance.source_hash(), "load": round(os.getloadavg()[0], 1),
        "started": datetime.now(UTC).isoformat(timespec="seconds"), "began": time.time(),
    }


def describe(facts):
    """One line about `conditions`."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (f"{facts['device']}, {facts['cores']} cores ({facts['threads']} threads used), {versions}, "
            f"{facts['started'][:10]}, load {facts['load']} at the start")


def measure(device):
    """The whole table, a DataFrame with COLUMNS; each part is printed as it comes."""
    rows = []
    with arithmetic("compiled"):
        for part in (steps, encoding, at_once, scaling):
            for found in part(device):
                if not rows:
                    print(line(COLUMNS))
                rows += found
                print("\n".join(line(row.values()) for row in found), flush=True)
    return pd.DataFrame(rows, columns=COLUMNS)


def just_now(device, seconds=1.0):
    """A training step on this machine, eager, as a small table with the words of the book."""
    (rows,) = steps(device, ["conv 32/16"], (64,), seconds, compiled=())
    names = {"variant": "how", "ms": "milliseconds", "times_faster_than_reference": "times as fast as the reference form"}
    table = pd.DataFrame(rows)[list(names)].rename(columns=names).round(2)
    return table.assign(how=table.how.map(in_words))
