"""The cards of numbers: for each run that a page links to, one file with all that is known of it and how to make it again.

Each file is a script that calls `gonlibRun` (book/_static/cards.js): a page opened from disk may load scripts, but fetch
nothing.
"""

import dataclasses
import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..runs.run import Run
from ..study.registry import EXPERIMENTS
from ..training.config import ASKED, Config

PYTHON = ".venv/bin/python -m gonlib"
MADE = ("device", "started", "to", "wall_seconds", "precision", "versions", "source", "commit")  # of each stretch
DEFAULTS = {f.name: f.default for f in dataclasses.fields(Config)}


class Recipe(NamedTuple):
    """Where a run stands in the experiments: the experiment and profile that make it, and its row and column there."""

    experiment: str
    profile: str
    row: str
    column: str
    epochs: int  # that the profile asks for
    any_epochs: bool  # whether others may be asked for

    @property
    def title(self) -> str:
        """The experiment in words."""
        return EXPERIMENTS[self.experiment].title

    @property
    def of_paper(self) -> bool:
        """Whether the experiment is a table or figure of the paper."""
        return self.title.startswith(("Table ", "Figure"))

    @property
    def command(self) -> str:
        """The command that trains this run and others of its experiment."""
        return f"{PYTHON} run {self.experiment} --profile {self.profile}"


@functools.cache
def recipes(profiles: tuple[str, ...]) -> dict[str, Recipe]:
    """Run hash -> recipe, for each run of each experiment: of the first of the profiles that makes a run, and there rather
    of a table or figure of the paper than of another experiment."""
    found: dict[str, Recipe] = {}
    for profile in profiles:
        here: dict[str, Recipe] = {}
        for name, experiment in EXPERIMENTS.items():
            for cell, asked in zip(experiment.cells(profile), experiment.expand(profile, epochs=1)[0], strict=True):
                for config, other in zip(cell.configs, asked.configs, strict=True):
                    recipe = Recipe(name, profile, cell.row, cell.column, config.epochs, other.epochs == 1)
                    if config.hash not in here or recipe.of_paper > here[config.hash].of_paper:
                        here[config.hash] = recipe
        found = here | found
    return found


def page_command(page: str, about: Mapping) -> str:
    """The command that executes a page as it was executed, which makes its runs."""
    values = [f"-p {name} {shlex.quote(value if isinstance(value, str) else json.dumps(value))}"
              for name, value in about["values"].items() if value is not None and name not in ("profile", "device")]
    return " ".join([f"{PYTHON} book --profile {about['profile']} --notebooks {page}", *values])


def card(run: Run, recipe: Recipe | None, instead: str) -> dict:
    """What the card of a number shows of one of its runs; `instead` is the command for a run without a recipe."""
    fields = dataclasses.asdict(run.trajectory)
    config = {name: value for name, value in fields.items() if name not in ASKED | run.trajectory.irrelevant()}
    history = run.history.drop(columns=[name for name in run.history if run.history[name].isna().all()])
    rows = [[float(f"{value:.6g}") if value == value else None for value in row] for row in history.itertuples(index=False)]
    return {"hash": run.hash, "title": recipe.title if recipe else "", "row": recipe.row if recipe else "",
            "column": recipe.column if recipe else run.config.dataset, "seed": run.config.seed,
            "command": recipe.command if recipe else instead, "only": recipe is not None,
            "epochs": recipe.epochs if recipe else run.reached.epochs, "anyEpochs": bool(recipe and recipe.any_epochs),
            "reached": run.reached.epochs, "steps": run.reached.steps, "metrics": run.end, "config": config,
            "changed": [name for name, value in config.items() if value != DEFAULTS[name]],
            "made": [{name: stretch.get(name) for name in MADE} for stretch in run.stretches],
            "data": run.data, "columns": list(history), "history": rows}


def write(folder: Path, runs: Sequence[tuple[Run, str]], found: Mapping[str, Recipe]) -> None:
    """Write the cards of runs, each with the command that makes it if it has no recipe, into a new folder."""
    folder.mkdir()
    for run, instead in runs:
        text = json.dumps(card(run, found.get(run.hash), instead), separators=(",", ":"))
        (folder / f"{run.hash}.js").write_text(f"gonlibRun({text})\n", encoding="utf-8")
