"""The cards of numbers: for each run that a page links to, one file with all that is known of it and how to make it again.

Each file is a script that calls `gonlibRun` (book/_static/cards.js): a page opened from disk may load scripts, but fetch
nothing. Beside it lie the pictures that were kept with the run.
"""

import dataclasses
import functools
import json
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..data.registry import facts
from ..errors import UserError
from ..runs import kept
from ..runs.provenance import source_hash
from ..runs.run import Run
from ..runs.store import recorded_store
from ..study.numbers import OTHER_NUMBERS
from ..study.paper import VARIANTS
from ..study.registry import EXPERIMENTS, SMALLER
from ..training.config import ASKED, Config
from .live import OF_EXPERIMENTS

PYTHON = ".venv/bin/python"
AGAIN = "build/again"  # the store that commands make runs in: in others they are there already
MADE = ("device", "started", "to", "wall_seconds", "precision", "versions", "source", "commit")  # of each stretch
DEFAULTS = {f.name: f.default for f in dataclasses.fields(Config)}


class Recipe(NamedTuple):
    """Where a run stands in the experiments: the experiment and profile that make it, and its row and column there."""

    experiment: str
    profile: str
    changes: dict[str, Any]  # of the profile's parameters
    row: str
    column: str
    asked: dict[str, Any]  # of the run: how far it is trained, how it is looked at
    free: tuple[str, ...]  # what of it may be asked for otherwise

    @property
    def title(self) -> str:
        """The experiment in words."""
        return EXPERIMENTS[self.experiment].title

    @property
    def command(self) -> str:
        """The command that trains this run and others of its experiment."""
        changes = [f"-p {name} {shlex.quote(value if isinstance(value, str) else json.dumps(value))}"
                   for name, value in self.changes.items()]
        return " ".join([f"{PYTHON} -m gonlib run {self.experiment} --profile {self.profile}", *changes])


@functools.cache
def recipes(profiles: tuple[str, ...]) -> dict[str, Recipe]:
    """Run hash -> recipe, for each run that the book asks for: of the first of the profiles that makes it, there rather
    of a table or figure of the paper than of another experiment, and rather of one that trains it for longer."""
    found: dict[str, Recipe] = {}
    for profile in profiles:
        here: dict[str, Recipe] = {}
        for name, changes in _asked(profile):
            for run, recipe in _grid(name, profile, changes):
                if run not in here or _rank(recipe) > _rank(here[run]):
                    here[run] = recipe
        found = here | found
    return found


def _rank(recipe):
    epochs, steps = recipe.asked["epochs"], recipe.asked["steps"]  # steps end it before its epochs do
    return EXPERIMENTS[recipe.experiment].of_paper, not recipe.changes, not steps, epochs, steps


def _asked(profile: str) -> Iterator[tuple[str, dict]]:
    """(experiment, changes of its parameters) of all that the book asks for in a profile; see `registry.recorded`."""
    for name, experiment in EXPERIMENTS.items():
        yield name, {}
        if profile == "quick" and name in OF_EXPERIMENTS:
            yield name, OF_EXPERIMENTS[name][1]
        if profile != "paper":
            continue
        datasets = dict.fromkeys(cell.factors["dataset"] for cell in experiment.cells(profile))
        for smaller in ({}, SMALLER[name]) if name in SMALLER else ({},):
            for variant in (VARIANTS[one] for one in datasets if one in VARIANTS):
                yield name, {"dataset": variant} | smaller
            if smaller:
                yield name, smaller


def _grid(name: str, profile: str, changes: Mapping) -> Iterator[tuple[str, Recipe]]:
    """Run hash -> recipe, for each run of one grid."""
    experiment = EXPERIMENTS[name]
    cells = experiment.expand(profile, **changes)[0]
    fit = "fit_steps" if "fit_steps" in experiment.parameters else "free_steps"  # how GLO's fit is called there
    fields = {"epochs": "epochs", "steps": "steps", "evaluation": "evaluation", fit: "free_steps"}
    otherwise = dict.fromkeys(fields, 1) | {"evaluation": "running"}
    others = experiment.expand(profile, **changes | otherwise)[0]
    for cell, other in zip(cells, others, strict=True):
        for config, least in zip(cell.configs, other.configs, strict=True):
            free = tuple(name for name, field in fields.items() if getattr(least, field) == otherwise[name])
            asked = {name: getattr(config, field) for name, field in fields.items()}
            yield config.hash, Recipe(name, profile, dict(changes), cell.row, cell.column, asked, free)


def of_pages(runs: Sequence[tuple[Run, list[str]]], pages: Mapping[str, dict],
             profiles: tuple[str, ...]) -> dict[str, Recipe]:
    """`recipes`, and those of the other runs that pages made which were executed with parameters of their own.

    Args:
        runs: Runs, each with the names of the pages that link to it.
        pages: Executed notebooks by name.
        profiles: As for `recipes`.
    """
    found = dict(recipes(profiles))
    for name in dict.fromkeys(name for run, names in runs if run.hash not in found for name in names):
        about = pages[name]["metadata"]["gonlib"]
        given = about["values"] | (about["values"].get("overrides") or {})
        for experiment, those in EXPERIMENTS.items():
            changes = {key: value for key, value in given.items() if key in those.parameters and value is not None}
            try:
                found = dict(_grid(experiment, about["profile"], changes)) | found
            except UserError:  # a page's parameter of this name is not the experiment's
                continue
    return found


def from_configuration(run: Run) -> str:
    """The command that makes a run that no experiment asks for: from its configuration, as far as it has been trained."""
    code = ("from pathlib import Path; from gonlib.runs.store import Store; from gonlib.training.config import Config; "
            f"Store(Path({AGAIN!r})).run(Config.from_dict({run.config.to_dict()!r}))")
    return f"{PYTHON} -c {shlex.quote(code)}"


def card(run: Run, recipe: Recipe | None) -> dict:
    """What the card of a number shows of one of its runs."""
    fields = dataclasses.asdict(run.trajectory)
    config = {name: value for name, value in fields.items() if name not in ASKED | run.trajectory.irrelevant()}
    history = run.history.drop(columns=[name for name in run.history if run.history[name].isna().all()])
    rows = [[float(f"{value:.6g}") if value == value else None for value in row] for row in history.itertuples(index=False)]
    asked = recipe.asked if recipe else {"epochs": run.reached.epochs, "steps": 0}
    known = {"title": facts(run.config.dataset).title, "images": run.end["images"], "size": run.config.size}
    return {"hash": run.hash, "title": recipe.title if recipe else "", "row": recipe.row if recipe else "",
            "column": recipe.column if recipe else facts(run.config.dataset).title, "seed": run.config.seed,
            "command": f"{recipe.command} --store {AGAIN} --only" if recipe else from_configuration(run),
            "asked": asked, "free": recipe.free if recipe else (), "ends": ends(run, recipe),
            "whole": whole(run, recipe),
            "reached": run.reached.epochs, "steps": run.reached.steps, "partial": run.config.steps, "metrics": run.end,
            "config": config, "changed": [name for name, value in config.items() if value != DEFAULTS[name]],
            "made": [{name: stretch.get(name) for name in MADE} for stretch in run.stretches],
            "source": _source(run), "data": known | run.data, "columns": list(history), "history": rows}


def ends(run: Run, recipe: Recipe | None) -> int:
    """How many epochs a run's experiment trains it for."""
    asked = run.config.replace(epochs=recipe.asked["epochs"], steps=recipe.asked["steps"]) if recipe else run.config
    return asked.end(run.end["images"])[0]


def whole(run: Run, recipe: Recipe | None) -> int:
    """How many epochs a run is to have in the end: those that its experiment asks for, if it has not more already."""
    return max(ends(run, recipe), run.reached.epochs)


def _source(run: Run) -> str:
    """What the card says of the source that made a run, if it is not today's."""
    if not run.same_numbers:
        return f"{run.hash[:8]}: {OTHER_NUMBERS}."
    if all(stretch["source"] == source_hash() for stretch in run.stretches):
        return ""
    return f"{run.hash[:8]}: made by an earlier source; tests hold that today's gives the same numbers."


def write(folder: Path, runs: Sequence[Run], found: Mapping[str, Recipe]) -> None:
    """Write the cards of runs, and the pictures kept with them, into a new folder."""
    folder.mkdir()
    for run in runs:
        about = card(run, found.get(run.hash))
        recorded = run.folder.parent == recorded_store().root  # the pictures of others are in the reader's own store
        strips = kept.strips(run) if recorded else {}
        about["pictures"] = {name: f"{run.hash}-{file.name}" for name, file in strips.items()}
        for name, file in strips.items():
            shutil.copy(file, folder / about["pictures"][name])
        text = json.dumps(about, separators=(",", ":"))
        (folder / f"{run.hash}.js").write_text(f"gonlibRun({text})\n", encoding="utf-8")
