"""The cards of numbers: what they say of a run, and that their commands make it."""

import json
import shutil

import pytest
from conftest import ROOT

from gonlib.book import cards, runlist
from gonlib.errors import UserError
from gonlib.runs.run import Run
from gonlib.runs.store import Store, recorded_store
from gonlib.study import status

RUNS = {name: Run(ROOT / "book" / "results" / name) for name in ("014b8b73b8d0fd15", "0530365576133274")}


def made_by(command, epochs=None):
    """The runs that a card's command trains: hash -> configuration."""
    words = command.split()
    assert words[:4] == [".venv/bin/python", "-m", "gonlib", "run"] and words[5] == "--profile"
    texts = [("epochs", str(epochs))] if epochs else []
    return {run.config.hash: run.config for run in status.wanted(status.plan([words[4]], words[6], texts))}


@pytest.mark.slow
def test_the_command_of_a_run_makes_that_run():
    found = cards.recipes(("paper", "smoke"))
    sample = {recipe.command: (name, recipe) for name, recipe in found.items()}
    assert len(sample) > 40
    for command, (name, recipe) in sample.items():
        assert made_by(command)[name].epochs == recipe.epochs
        if recipe.any_epochs:
            assert made_by(command, epochs=3)[name].epochs == 3


def test_a_table_of_the_paper_comes_before_other_experiments_with_the_same_runs():
    assert cards.recipes(("paper",))["b9d058e6d22d8a99"].experiment == "table1"


@pytest.mark.parametrize("name", RUNS)
def test_a_card_says_all_of_a_run(name, tmp_path):
    run = RUNS[name]
    cards.write(tmp_path / "cards", [(run, "a command")], cards.recipes(("paper",)))
    text = (tmp_path / "cards" / f"{name}.js").read_text()
    card = json.loads(text.removeprefix("gonlibRun(").removesuffix(")\n"))
    assert card["config"]["batch_size"] == 64 and "batch_size" not in card["changed"]  # a default is there all the same
    assert {name: card["config"][name] for name in card["changed"]} == {
        name: value for name, value in run.trajectory.to_dict().items() if name != "epochs"}
    assert card["reached"] == run.reached.epochs and len(card["history"]) == len(run.history)
    last = dict(zip(card["columns"], card["history"][-1], strict=True))
    assert last["test_error"] == pytest.approx(run.metrics["test_error"], rel=1e-4)


def test_a_run_in_no_experiment_has_the_command_of_its_page():
    about = {"profile": "quick", "values": {"profile": "quick", "dataset": "folder:a b", "sizes": [8, 16], "latents": None}}
    command = cards.page_command("04-table1", about)
    assert command == (".venv/bin/python -m gonlib book --profile quick --notebooks 04-table1 -p dataset 'folder:a b' "
                       "-p sizes '[8, 16]'")
    assert cards.card(RUNS["014b8b73b8d0fd15"], None, command)["command"] == command


def test_runs_are_chosen_by_their_names():
    runs = status.wanted(status.plan(["table1"], "smoke"))
    chosen = status.only(runs, [runs[0].config.hash[:8], runs[-1].config.hash])
    assert [run.config for run in chosen] == [runs[0].config, runs[-1].config]
    with pytest.raises(UserError, match="none of the .* runs asked for has a name that begins with 'xyz'"):
        status.only(runs, ["xyz"])


def test_a_run_that_cannot_be_read_in_one_store_is_shown_from_another(tmp_path):
    """One that has only begun here, one whose history is damaged here; one that is nowhere is left out."""
    begun, damaged = RUNS
    for name in RUNS:
        shutil.copytree(RUNS[name].folder, tmp_path / name)
    (tmp_path / begun / "metrics.json").unlink()
    (tmp_path / damaged / "history.csv").write_text("epoch\n1\n")
    link = f'<a class="number" data-runs="{begun} {damaged} 0123456789abcdef">1</a>'
    page = {"cells": [{"outputs": [{"data": {"text/html": [link]}}]}]}
    found = runlist.runs({"page": page}, [Store(tmp_path), recorded_store()])
    assert {run.folder for run, _ in found} == {run.folder for run in RUNS.values()}
    assert runlist.runs({"page": page}, [Store(tmp_path)]) == []
