"""Who wins when: the epochs at which the leader changes, and at which each model has the paper's error."""

import re

import pandas as pd
import pytest

from gonlib.study import races

EPOCHS = range(1, 7)


class Run:
    """As much of a run as `curves` reads: test errors epoch by epoch."""

    def __init__(self, errors):
        self.history = pd.DataFrame({"epoch": EPOCHS[: len(errors)], "test_error": errors})


def runs_of(**errors):
    """Runs as `collect` gives them, asked for six epochs, from {model: a list of errors for each seed}."""
    rows = [{"row": model, "column": "MNIST", "model": model, "factors": ("model",), "seed": seed, "run": Run(curve),
             "hash": f"{model}{seed}".lower(), "state": "done", "epoch": 6, "asked": 6,
             "paper": (2.0, 0.1) if model == "GON" else None}
            for model, seeds in errors.items() for seed, curve in enumerate(seeds)]
    return pd.DataFrame(rows)


def test_the_leader_changes_and_the_paper_is_reached():
    runs = runs_of(GON=[[4, 3, 2.5, 2.4, 2.3, 1.9]], AE=[[5, 3.01, 2.6, 2.0, 1.8, 1.7]])
    race, = races.crossings(runs)
    assert race.leads == ((1, "GON"), (4, "AE"))  # 3 against 3.01 is no lead, and no change
    assert race.reached == {"GON": 6} and race.paper == {"GON": 2.0} and (race.epochs, race.asked) == (6, 6)
    text = re.sub("<[^>]*>", "", races.sentence(race))
    assert text == ("MNIST, one seed to epoch 6: GON leads from epoch 1, AE from 4; "
                    "the paper's 2.00 for GON is reached at epoch 6.")
    assert 'data-runs="gon0 ae0"' in races.sentence(race)
    assert races.table([race]).loc[0, ["to epoch", "GON has the paper's error"]].tolist() == [6, "6"]


def test_a_race_can_end_level():
    race, = races.crossings(runs_of(GON=[[4, 3, 2]], AE=[[5, 4, 2.01]]))
    assert race.level and "GON leads from epoch 1, level in the end" in races.sentence(race)
    assert "GON leads from epoch 1, level in the end" in races.table([race])["ahead"][0]


def test_both_are_followed_as_far_as_both_have_been_trained():
    runs = runs_of(GON=[[4, 3, 2.5], [4, 3, 2.5, 2.4]], AE=[[3, 3.5, 2.6, 2.0], [5, 4, 3, 2.9, 2.8]])
    race, = races.crossings(runs)
    assert (race.epochs, race.asked, race.seeds) == (4, 6, 1) and race.leads == ((1, "GON"),)
    assert "to epoch 4 of 6" in races.sentence(race) and "is not reached" in races.sentence(race)
    assert races.table([race])["GON has the paper's error"][0] == "not yet"


@pytest.mark.parametrize("runs", [runs_of(GON=[[1, 2]]), runs_of(AE=[[1, 2]]),
                                  runs_of(GON=[[1, 2]], AE=[[1, 2]]).assign(run=None)])
def test_without_two_there_is_no_race(runs):
    assert races.crossings(runs) == [] and races.sentences(runs) == []
