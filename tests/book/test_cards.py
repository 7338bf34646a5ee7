"""The cards of numbers: what they say of a run, and that their commands make it."""

import functools
import json
import re
import shlex
import shutil
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest
from browser import Browser, needs_chromium
from conftest import ROOT

from gonlib import cli
from gonlib.book import cards, runlist
from gonlib.errors import UserError
from gonlib.runs.run import Run
from gonlib.runs.store import Store, recorded_store
from gonlib.study import status

RUNS = {name: Run(ROOT / "book" / "results" / name) for name in ("014b8b73b8d0fd15", "0530365576133274")}
PROFILES = ("paper", "quick")


@functools.cache
def planned(command):
    """The runs that a command trains, as the command line reads it: hash -> configuration."""
    words = shlex.split(command)
    assert words[:3] == [".venv/bin/python", "-m", "gonlib"]
    args = cli.parser(words[3:]).parse_args(words[3:])
    runs = status.wanted(status.plan(args.experiments, args.profile, args.parameters))
    return {run.config.hash: run.config for run in runs}


@pytest.mark.slow
def test_the_command_on_the_card_of_each_recorded_run_makes_that_run():
    found, runs = cards.recipes(PROFILES), list(Store(ROOT / "book" / "results").runs())
    assert len(runs) > 100
    groups = defaultdict(list)
    for run in runs:
        about = cards.card(run, found.get(run.hash))
        assert about["command"].endswith(" --store build/again --only") and about["row"], run
        groups[about["command"].partition(" --store")[0]].append((run, about))
    for command, cards_ in groups.items():
        for run, about in cards_:
            config = planned(command)[run.hash]
            assert {name: about["asked"][name] for name in ("epochs", "steps", "evaluation")} == {
                "epochs": config.epochs, "steps": config.steps, "evaluation": config.evaluation}
            assert run.reached.epochs <= config.epochs, f"{run.hash} is longer than {command} asks"


def test_how_far_the_command_goes_can_be_set_where_the_card_says_so():
    found = cards.recipes(PROFILES)
    for name in ("10f6df6a3d11e201", "b6b5b3e1828cb62f", "e843cb283f4c5382"):  # a variant, steps, a live element
        recipe = found[name]
        assert recipe.free[:3] == ("epochs", "steps", "evaluation")
        assert planned(f"{recipe.command} -p epochs 3")[name].epochs == 3
        assert planned(f"{recipe.command} -p steps 3")[name].steps == 3
        assert planned(f"{recipe.command} -p evaluation running")[name].evaluation == "running"


def test_variants_smaller_networks_and_live_elements_have_the_commands_that_make_them():
    found = cards.recipes(PROFILES)
    start = ".venv/bin/python -m gonlib run"
    assert found["10f6df6a3d11e201"].command == f"{start} table1 --profile paper -p dataset small_norb@jpeg"
    assert found["e843cb283f4c5382"].command == f"{start} gon --profile quick -p dataset mnist -p epochs 10"
    assert found["337647b16e5b277b"].command == (
        f"{start} samples-9a --profile paper -p dataset lsun_bedroom@part -p train_images 0 -p test_images 0")
    assert (found["10f6df6a3d11e201"].row, found["10f6df6a3d11e201"].asked["epochs"]) == ("AE", 500)


def test_a_run_whose_length_is_counted_in_steps_is_to_have_the_epochs_of_these():
    run = Run(ROOT / "book" / "results" / "b6b5b3e1828cb62f")  # of 60,000 steps, 938 of which are an epoch
    assert cards.whole(run, cards.recipes(PROFILES)[run.hash]) == 65


def test_a_table_of_the_paper_comes_before_other_experiments_and_then_the_longest():
    found = cards.recipes(PROFILES)
    assert found["b9d058e6d22d8a99"].experiment == "table1"
    assert found["6af4f9da7ea76443"].experiment == "settings-length"  # settings asks for 30 of its 500 epochs


@pytest.mark.parametrize("name", RUNS)
def test_a_card_says_all_of_a_run(name, tmp_path):
    run = RUNS[name]
    cards.write(tmp_path / "cards", [run], cards.recipes(PROFILES))
    text = (tmp_path / "cards" / f"{name}.js").read_text()
    card = json.loads(text.removeprefix("gonlibRun(").removesuffix(")\n"))
    assert card["config"]["batch_size"] == 64 and "batch_size" not in card["changed"]  # a default is there all the same
    assert {name: card["config"][name] for name in card["changed"]} == {
        name: value for name, value in run.trajectory.to_dict().items() if name != "epochs"}
    assert card["reached"] == run.reached.epochs and len(card["history"]) == len(run.history)
    last = dict(zip(card["columns"], card["history"][-1], strict=True))
    assert last["test_error"] == pytest.approx(run.metrics["test_error"], rel=1e-4)
    assert card["data"]["title"] == "COIL-20" and card["data"]["images"] == 1160
    for file in card["pictures"].values():
        assert (tmp_path / "cards" / file).read_bytes().startswith(b"\x89PNG")
    assert set(card["pictures"]) == ({"samples", "nearest"} if name == "014b8b73b8d0fd15" else set())


def test_a_run_of_a_page_with_other_parameters_has_the_command_that_makes_it():
    values = {"profile": "smoke", "dataset": "patches", "seeds": None, "overrides": {"batch_size": 32}}
    pages = {"04-table1": {"metadata": {"gonlib": {"profile": "smoke", "values": values}}}}
    command = f"{cards.PYTHON} -m gonlib run table1 --profile smoke -p dataset patches -p batch_size 32"
    name = next(iter(planned(command)))

    class Made:
        hash = name

    assert name not in cards.recipes(PROFILES)
    assert cards.of_pages([(Made, ["04-table1"])], pages, PROFILES)[name].command == command


def test_a_run_that_nothing_asks_for_is_made_from_its_configuration(monkeypatch):
    made = []
    monkeypatch.setattr(Store, "run", lambda self, config: made.append((self.root, config)))
    for run in RUNS.values():
        about = cards.card(run, None)
        assert about["title"] == about["row"] == ""
        python, option, code = shlex.split(about["command"])
        exec(code, {})
        assert (python, option) == (".venv/bin/python", "-c") and made.pop() == (Path("build/again"), run.config)


def test_the_page_of_runs_says_how_far_the_experiment_asks_for():
    run = Run(ROOT / "book" / "results" / "10f6df6a3d11e201")
    link = f'<a class="number" href="runs.html#run-{run.hash}" data-runs="{run.hash}">data</a>'
    pages = {"04-table1": {"cells": [{"outputs": [{"data": {"text/html": [link]}}]}]}}
    shown = runlist.section(pages, [Store(ROOT / "book" / "results")], cards.recipes(PROFILES))
    assert f"<td>{run.reached.epochs} of 500</td>" in shown and "AE, Small NORB (from JPEG copies), seed 0" in shown


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


@needs_chromium
@pytest.mark.slow
def test_the_command_that_a_card_shows_ends_where_the_number_was_taken():
    """The script in the page shortens the command; read back, it asks for as many steps as the run has, or the number."""
    source = (ROOT / "book" / "_static" / "cards.js").read_text()
    function = re.search(r"function endingAt.*?\n  }\n", source, re.DOTALL)[0]
    found, shown = cards.recipes(PROFILES), []
    for run in Store(ROOT / "book" / "results").runs():
        if run.hash in found and run.status == "done":
            half = {"epochs": max(run.reached.epochs // 2, 1), "steps": 0}
            shown += [(run, cards.card(run, found[run.hash]), asked) for asked in ({}, half)]
    assert len(shown) > 100
    with closing(Browser()) as browser:
        browser.open("about:blank")
        pairs = json.dumps([(about, asked) for _, about, asked in shown])
        commands = browser.evaluate(f"(() => {{ {function}; return {pairs}.map((pair) => endingAt(...pair)) }})()")
    for (run, about, asked), command in zip(shown, commands, strict=True):
        config = planned(command.partition(" --store")[0])[run.hash]
        end = config.end(run.end["images"])[1]
        assert asked or end == run.reached.steps, f"{command} does not make {run} as far as it is"
        if asked and {"epochs", "steps"} <= set(about["free"]) and not about["partial"]:
            whole = config.replace(steps=0, epochs=asked["epochs"]).end(run.end["images"])[1]
            assert end == min(whole, run.reached.steps), f"{command} does not end at epoch {asked['epochs']} of {run}"
