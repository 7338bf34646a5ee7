"""Which runs of the experiments are there, what the others would take, and why a run is missing or out of date."""

import math
import sys
from dataclasses import asdict
from statistics import median

from ..data import registry as data
from ..errors import UserError, duration, unknown
from ..runs import provenance
from ..runs.schedule import Wanted
from ..runs.store import find_run
from .parameters import read
from .profiles import ALIASES, load_profile
from .registry import EXPERIMENTS

STATES = ("done", "recorded", "failed", "growing", "missing", "needs data", "unreadable")
# Fields that leave the time of one training step as it is.
FREE = ("dataset", "train_images", "test_images", "seed", "epochs", "steps", "learning_rate", "free_learning_rate",
        "kl_anneal", "evaluation", "snapshots", "origin_sd", "latent_scale", "step_size")


def plan(names, profile, texts=(), lenient=False):
    """(experiment, cells) of each named experiment (none: of all), with the overrides (name, text) it knows.

    Raises `UserError` for an unknown experiment, profile or parameter, or a value of the wrong type or out of range. If
    `lenient`, an experiment whose own group in the profile is wrong is left out, as a sentence on stderr says.
    """
    load_profile(profile)
    for name in names:
        if name not in EXPERIMENTS:
            raise unknown("experiment", name, EXPERIMENTS)
    chosen = [EXPERIMENTS[name] for name in dict.fromkeys(names or EXPERIMENTS)]
    known = {e.name: e.parameters for e in chosen}
    every = sorted({name for names in known.values() for name in names})
    overrides = {e.name: {} for e in chosen}
    for name, text in texts:
        takers = [e for e in chosen if name in known[e.name]]
        if not takers and name in ALIASES:
            name = ALIASES[name]
            takers = [e for e in chosen if name in known[e.name]]
        if not takers:
            raise unknown("parameter", name, every)
        for e in takers:
            overrides[e.name][name] = read(name, text, known[e.name][name])
    faults = {e: fault for e in chosen if (fault := _fault(e, profile))} if lenient else {}
    if len(faults) < len(chosen):
        chosen = [e for e in chosen if e not in faults]
        for e, fault in faults.items():
            print(f"{e.name} is left out, for its group in profile {profile} is wrong: {fault}", file=sys.stderr)
    planned = {e: e.expand(profile, **overrides[e.name]) for e in chosen}
    for e, (_, idle) in planned.items():
        for name in sorted(idle):  # what another experiment can use is meant for that one
            if all(name in planned[other][1] for other in chosen if name in overrides[other.name]):
                e.cells(profile, **overrides[e.name])  # says so
    return [(e, cells) for e, (cells, _) in planned.items()]


def _fault(experiment, profile):
    """What an experiment cannot take of what a profile gives it; None if it can take all."""
    try:
        experiment.expand(profile)
    except UserError as fault:
        return fault
    return None


class Clock:
    """Estimates how long a run takes on a device from the times of similar runs in the stores, growing ones too."""

    def __init__(self, stores, device="cpu"):
        self.steps, self.images, self.device = {}, {}, provenance.device_name(device)
        self.done = {run.hash: run.reached.steps for run in stores[0].runs()}
        for run in (run for store in stores for run in store.runs()):
            self.images[self._data(run.config)] = run.metrics["images"]
            for made in run.stretches:
                if made["device"] == self.device and made["to"] > made["from"]:
                    shared = made["at_once"]  # runs that had the device together took the time together
                    seconds = made["wall_seconds"] / (made["to"] - made["from"]) / shared
                    self.steps.setdefault(self._kind(run.config), []).append(seconds)

    def seconds(self, config):
        """Estimated seconds that are left, or None where no run of this model was timed or the data's size is unknown."""
        seconds, images = self.steps.get(self._kind(config)), self.images.get(self._data(config), config.train_images)
        if not seconds or not images:
            return None
        return median(seconds) * max(config.end(images)[1] - self.done.get(config.hash, 0), 0)

    def _data(self, config):
        return config.dataset, config.train_images

    def _kind(self, config):
        return tuple(value for name, value in asdict(config.trajectory).items() if name not in FREE)


def wanted(planned):
    """The runs of planned experiments, for runs/schedule.py, with what each experiment keeps of them."""
    return [Wanted(f"{experiment.name} / {cell.row} / {cell.column}, seed {config.seed}", config,
                   cell.factors.get("model") in experiment.last, [experiment.finish])
            for experiment, cells in planned for cell in cells for config in cell.configs]


def only(runs, names):
    """Those of the wanted `runs` whose names begin with one of `names`; `UserError` for a name that none of them has."""
    for name in names:
        if not name or not any(run.config.hash.startswith(name) for run in runs):
            raise UserError(f"none of the {len(runs)} runs asked for has a name that begins with {name!r}.")
    return [run for run in runs if run.config.hash.startswith(tuple(names))]


def state(config, stores):
    """One of STATES, and the run as far as it is, or None; `stores` are the local one and those of recorded runs."""
    try:
        run = find_run(config, stores)
    except UserError as fault:  # or its data have changed since
        print(fault, file=sys.stderr)
        return "unreadable", None
    if run and run.complete:
        recorded = run.status == "done" and run.folder.parent != stores[0].root
        return ("recorded" if recorded else run.status), run
    if run is None and stores[0].state(config) == "missing":
        return ("missing" if data.at_hand(config.dataset) else "needs data"), None
    return "growing", run


def status(planned, stores, device="cpu"):
    """The state of every cell of the planned experiments, as a dictionary for JSON; times are in seconds.

    `left_s` is the estimated time of what is not finished, null if no similar run was timed on this kind of device.
    """
    clock, experiments = Clock(stores, device), []
    for experiment, cells in planned:
        rows, left = [], {}
        for cell in cells:
            runs = []
            for config in cell.configs:
                now, run = state(config, stores)
                runs.append({"hash": config.hash, "state": now, "seconds": run.metrics["seconds"] if run else None,
                             "epochs": run.metrics["epochs"] if run else 0, "asked": config.epochs})
                if not (run and run.complete):
                    seconds = clock.seconds(config)
                    left[config.hash] = max(left.get(config.hash, 0), math.inf if seconds is None else seconds)
            mine = {config.hash for config in cell.configs} & left.keys()
            rows.append({"row": cell.row, "column": cell.column, "state": _cell_state(runs), "runs": runs,
                         "left_s": _total(left[name] for name in mine)})
        counts = {s: n for s in STATES if (n := sum(run["state"] == s for row in rows for run in row["runs"]))}
        experiments.append({"name": experiment.name, "title": experiment.title, "counts": counts,
                            "left_s": _total(left.values()), "cells": rows})
    return {"experiments": experiments}


def _total(times):
    """The sum of times in seconds, None if one of them is unknown (infinite)."""
    total = sum(times)
    return None if total == math.inf else round(total, 1)


def _cell_state(runs):
    """What a cell's seeds have in common, else what keeps it from being finished."""
    states = {run["state"] for run in runs}
    if states <= {"done", "recorded"}:
        return "done" if states <= {"done"} else "recorded"
    for one in ("unreadable", "failed", "needs data"):
        if one in states:
            return one
    return "missing" if states == {"missing"} else "growing"


def as_text(found):
    """The dictionary of `status` as lines for people."""
    lines = []
    for e in found["experiments"]:
        counts = ", ".join(f"{n} {s}" for s, n in e["counts"].items())
        left = "time left unknown" if e["left_s"] is None else f"about {duration(e['left_s'])} left"
        open_ = any(run["state"] not in ("done", "recorded", "failed") for c in e["cells"] for run in c["runs"])
        lines.append(f"{e['name']}: {counts or 'no runs'}" + (f"; {left}" if open_ else ""))
        width = max((len(f"{c['row']} / {c['column']}") for c in e["cells"]), default=0)
        for c in e["cells"]:
            ready = sum(run["state"] in ("done", "recorded") for run in c["runs"])
            name = f"  {c['row']} / {c['column']}".ljust(width + 4)
            lines.append(f"{name}{c['state']} ({ready} of {len(c['runs'])}{_epochs(c['runs'])}{_left(c['left_s'])})")
    return "\n".join(lines)


def _epochs(runs):
    """The least epoch that the begun seeds of an unfinished cell have reached, in words."""
    if all(run["state"] in ("done", "recorded", "failed") for run in runs) or not any(run["epochs"] for run in runs):
        return ""
    return f"; at epoch {min(run['epochs'] for run in runs if run['epochs'])} of {runs[0]['asked']}"


def _left(seconds):
    """The time that the rest of a cell would take, in words, where it is known."""
    return f"; about {duration(seconds)} left" if seconds else ""


def why(targets, planned, stores, device="cpu"):
    """Lines that say, for each target, how it differs: a missing run from the nearest one, a stored run from now.

    A target is a run's hash (or how it begins), or EXPERIMENT, EXPERIMENT/ROW or EXPERIMENT/ROW/COLUMN.
    """
    wanted = {f"{e.name}/{c.row}/{c.column}": c.configs for e, cells in planned for c in cells}
    stored = [run for store in stores for run in store.runs()]
    configs = {run.hash: run.config for run in stored} | {c.hash: c for cell in wanted.values() for c in cell}
    lines = []
    for target in targets:
        found = [(f"{name} seed {c.seed}", c) for name, cell in wanted.items() for c in cell
                 if f"{name}/".startswith(target.strip("/") + "/")]
        found = found or [(name, c) for name, c in configs.items() if len(target) > 3 and name.startswith(target)]
        if not found:
            raise unknown("run or cell", target, [*wanted, *configs])
        for name, config in found:
            try:
                run = find_run(config, stores)
            except UserError as fault:
                lines.append(f"{name}: {fault}")
                continue
            differences = since(run, device) if run else nearest(config, stored)
            head = f"{name}: run {config.hash} is {run.status if run else 'not there'}"
            lines += [f"{head}{f' ({run.message})' if run and run.message else ''}; {differences}"]
    return "\n".join(lines)


def since(run, device="cpu"):
    """In words: which sources, versions or device differ between a stored run and now."""
    now, then = provenance.source_files(), run.provenance["source_files"]
    files = [f"{name} has changed" for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)]
    versions, before = provenance.versions(), run.provenance["versions"]
    here = versions | {"device": provenance.device_name(device)}
    there = before | {"device": run.provenance["device"]}
    other = [f"{name} was {there.get(name)}, is {here.get(name)}" for name in here if here[name] != there.get(name)]
    if files or other:
        return "since then " + "; ".join(files + other) + "."
    return "made by this source on this machine's kind."


def nearest(config, stored):
    """In words: how a wanted config differs from the stored run that is most like it."""
    wanted = asdict(config)

    def differences(run):
        return {name: value for name, value in asdict(run.config).items() if value != wanted[name]}

    if not stored:
        return "the stores hold no run."
    run = min(stored, key=lambda run: len(differences(run)))
    fields = [f"{name} {value!r} there, {wanted[name]!r} wanted" for name, value in differences(run).items()]
    return f"the nearest, {run.hash}, has {'; '.join(fields)}."
