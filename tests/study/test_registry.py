"""The registry: grids of valid configurations for every profile, training only what is missing, the paper's numbers."""

import dataclasses
import time

import pandas as pd
import pytest
import torch

from gonlib.errors import UserError
from gonlib.method.encoders import Encoder
from gonlib.method.model import Model
from gonlib.method.models import MODELS, build
from gonlib.runs import store
from gonlib.runs.store import Store
from gonlib.study import paper, registry
from gonlib.study.experiment import Cell, split_names
from gonlib.study.profiles import load_profile
from gonlib.study.registry import EXPERIMENTS
from gonlib.training import loop
from gonlib.training.config import Config

PROFILES = {name: load_profile(name) for name in ("smoke", "quick", "paper")}
every = pytest.mark.parametrize("name", EXPERIMENTS)
TINY = {"dataset": "digits", "size": 8, "filters": 2, "latents": 4, "train_images": 48, "test_images": 20, "batch_size": 16,
        "epochs": 1}


@pytest.fixture
def stores(tmp_path, monkeypatch):
    """A local store, which the environment names, and a recorded one, both empty."""
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path / "local"))
    monkeypatch.setattr(store, "recorded_store", lambda: Store(tmp_path / "recorded"))
    return Store(tmp_path / "local"), Store(tmp_path / "recorded")


@pytest.fixture
def trainings(monkeypatch):
    """The names of runs that are trained, in order."""
    seen, real = [], loop.train
    monkeypatch.setattr(loop, "train", lambda config, *a, **o: seen.append(config.hash) or real(config, *a, **o))
    return seen


# --- every experiment ------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_every_experiment_gives_valid_cells(name, profile):
    cells = registry.get(name).cells(PROFILES.get(profile))
    assert cells and all(isinstance(cell, Cell) for cell in cells)
    assert len({(cell.row, cell.column) for cell in cells}) == len(cells)
    for cell in cells:
        assert [config.seed for config in cell.configs] == list(range(len(cell.configs))) and cell.configs
        assert len({config.hash for config in cell.configs}) == len(cell.configs)
        assert cell.paper is None or len(cell.paper) == 2
        for config in cell.configs:
            assert Config.from_dict(config.to_dict()) == config


SCHEDULED = [(name, profile) for name in EXPERIMENTS for profile in PROFILES if name in PROFILES[profile]]


@pytest.mark.parametrize("name, profile", SCHEDULED)
def test_what_a_profile_asks_for_has_a_model(name, profile):
    """Built without memory, so that the paper's sizes cost nothing: a combination that does not exist is found here."""
    configs = {cell.configs[0] for cell in registry.get(name).cells(PROFILES[profile])}
    for config in configs:
        with torch.device("meta"):
            build(config, 1, classes=10)


@every
def test_every_experiment_can_be_described(name):
    experiment = registry.get(name)
    assert experiment.name == name and len(experiment.title) > 10
    known = experiment.parameters
    assert {"dataset", "seeds", "latents", "epochs"} <= known.keys() and "seed" not in known
    assert all(value is not None for value in known.values())  # each has a default, whose type is the type to give


# --- table 1 ---------------------------------------------------------------------------------------------------------


def test_table_1_is_seven_inference_rules():
    cells = registry.get("table1").cells(None, dataset="mnist", seeds=2)
    assert [cell.row for cell in cells] == list(paper.TABLE1)
    configs = {cell.row: cell.configs[0] for cell in cells}
    assert all(configs[row] == Config(dataset="mnist", **MODELS[row]) for row in configs)
    assert len({config.hash for cell in cells for config in cell.configs}) == 14
    assert {cell.row: cell.paper for cell in cells} == {row: paper.TABLE1[row]["mnist"] for row in configs}
    assert configs["10 steps"].inner_steps == 10 and configs["10 steps"].step_size == 0.1  # as the paper says


def test_only_a_data_set_of_the_paper_has_the_paper_s_number():
    cells = registry.get("table1").cells(None, datasets="digits cifar10")
    numbers = {(cell.factors["dataset"], cell.row): cell.paper for cell in cells}
    assert numbers["cifar10", "GON"] == (9.12, 0.03) and numbers["digits", "GON"] is None


SPOTS = [
    ("GON", "mnist", (0.41, 0.01)), ("GON", "cifar10", (9.12, 0.03)), ("AE", "coil20", (6.05, 0.11)),
    ("Tied AE", "cifar10", (14.12, 0.34)), ("1 step, detached", "small_norb", (1.84, 0.01)),
    ("10 steps, detached", "fashion_mnist", (7.22, 0.92)), ("10 steps", "coil20", (5.36, 0.01)),
    ("GLO", "coil20", (3.27, 0.02)),
]


@pytest.mark.parametrize("row, column, cell", SPOTS)
def test_table_1_of_the_paper(row, column, cell):
    assert paper.TABLE1[row][column] == cell


def test_the_claims_follow_from_the_paper_s_own_numbers():
    table = {row: {k: v[0] for k, v in cells.items()} for row, cells in paper.TABLE1.items()}
    singles = ("AE", "Tied AE", "1 step, detached")
    assert all(table["GON"][k] < table[row][k] for k in table["GON"] for row in singles)  # C1
    lowest = {k: min(cells[k] for cells in table.values()) for k in table["GON"]}
    assert [k for k in lowest if table["GON"][k] == lowest[k]] == ["mnist", "fashion_mnist", "small_norb", "cifar10"]
    assert table["GON"]["cifar10"] == table["GLO"]["cifar10"] and table["GLO"]["coil20"] < table["GON"]["coil20"]  # C2
    bits = {row: {k: v[0] for k, v in cells.items()} for row, cells in paper.TABLE2.items()}
    better = {k for k in bits["VGON"] if bits["VGON"][k] < bits["VAE"][k]}
    assert better == set(bits["VGON"]) - {"fashion_mnist"}  # C6
    assert bits["VGON"]["celeba"] == 5.41 and bits["VAE"]["mnist"] == 1.15
    assert list(paper.CLAIMS) == [f"C{i}" for i in range(1, 23)]


# --- parameters ------------------------------------------------------------------------------------------------------


def test_a_profile_then_what_is_asked_for():
    profile = {"common": {"latents": 7, "unused": 1}, "table1": {"epochs": 3, "dataset": "mnist"}}
    changed = registry.get("table1").cells(profile, epochs=4, learning_rate=None, dataset=None)[0].configs[0]
    assert (changed.latents, changed.epochs, changed.dataset) == (7, 4, "mnist")
    assert changed.learning_rate == Config().learning_rate  # None leaves it to the profile, and that to the default


def test_a_row_s_own_fields_win():
    cells = registry.get("table1").cells(None, inner_steps=5, detach=True)
    configs = {cell.row: cell.configs[0] for cell in cells}
    assert configs["10 steps"].inner_steps == 10 and configs["GON"].inner_steps == 5


def test_lists_of_names():
    assert split_names("mnist cifar10") == split_names("mnist, cifar10") == split_names(["mnist", "cifar10"])
    assert split_names(" mnist ") == ["mnist"]
    assert split_names("folder:/my pictures, all") == ["folder:/my pictures, all"]


@pytest.mark.parametrize("ask, told", [
    (lambda: registry.get("table"), "unknown experiment 'table'; did you mean .*table1"),
    (lambda: registry.run("tabel1"), "table1"),
    (lambda: registry.run("table1", "quik"), "unknown profile 'quik'; did you mean quick"),
    (lambda: registry.run("table1", latens=3), "unknown parameter of table1 'latens'; did you mean latents"),
    (lambda: registry.run("table1", dataset="mnits"), "unknown data set 'mnits'; did you mean mnist"),
    (lambda: registry.run("table1", epochs="many"), "parameter epochs must be a whole number from 1"),
    (lambda: registry.run("table1", latents=0), "latents must be a whole number from 1"),
    (lambda: registry.run("table1", seeds=0), "seeds"),
    (lambda: registry.run("table1", seeds=1.5), "seeds must be a whole number"),
    (lambda: registry.run("table1", models=["GON", "AEE"]), "unknown model 'AEE'; did you mean AE"),
    (lambda: registry.run("table1", activation="rellu"), "relu"),
])
def test_bad_names_and_values_are_said_before_anything_is_trained(ask, told, trainings, stores):
    with pytest.raises(UserError, match=told):
        ask()
    assert trainings == []


# --- running ---------------------------------------------------------------------------------------------------------


def test_only_what_is_missing_is_trained(stores, trainings):
    local, recorded = stores
    first = registry.run("table1", None, models=["GON"], **TINY)
    assert trainings == list(first.hash) and list(first.state) == ["done"]
    both = registry.run("table1", None, models=["GON", "AE"], seeds=2, **TINY)
    assert len(trainings) == len(set(trainings)) == 4 and set(trainings) == set(both.hash)
    again = registry.run("table1", None, models=["GON", "AE"], seeds=2, **TINY)
    assert len(trainings) == 4 and list(again.test_error) == list(both.test_error)
    # what is recorded counts as there
    recorded.merge(local.root)
    for path in sorted(local.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert list(registry.run("table1", None, models=["GON", "AE"], seeds=2, **TINY).test_error) == list(both.test_error)
    assert len(trainings) == 4


def test_collected_runs(stores):
    runs = registry.run("table1", None, models=["GON", "AE"], seeds=2, **TINY)
    assert list(zip(runs.row, runs.column, runs.seed, strict=True)) == [
        ("GON", "digits", 0), ("GON", "digits", 1), ("AE", "digits", 0), ("AE", "digits", 1)]
    metrics = {"test_error", "train_error", "parameters", "seconds", "steps"}
    columns = {"row", "column", "model", "dataset", "seed", "state", "hash", "run", "config", "paper"}
    assert columns | metrics <= set(runs.columns)
    for row in runs.itertuples():
        assert row.run.hash == row.hash == row.config.hash and row.test_error == row.run.metrics["test_error"]
    curves = registry.curves(runs)
    assert len(curves) == 4 and {"row", "column", "seed", "epoch", "test_error"} <= set(curves.columns)
    assert list(curves.test_error) == pytest.approx(list(runs.test_error), rel=1e-6)  # one epoch each, seven digits


def test_what_has_not_been_run_is_collected_as_such(stores):
    runs = registry.collect(registry.get("table1").cells(None, models=["GON", "AE"], **TINY))
    assert list(runs.state) == ["not run"] * 2 and list(runs.run) == [None] * 2
    assert registry.curves(runs).empty
    registry.run("table1", None, models=["AE"], **TINY)
    runs = registry.stored("table1", None, models=["GON", "AE"], **TINY)
    assert list(runs.state) == ["not run", "done"]
    assert pd.isna(runs.test_error[0]) and runs.test_error[1] > 0
    assert list(registry.curves(runs).row) == ["AE"]


def test_out_of_time_gives_what_there_is(stores, monkeypatch):
    late = registry.run("table1", None, deadline=time.monotonic() - 1, models=["GON", "AE"], **TINY | {"epochs": 50})
    assert late.epoch[0] < 50 and late.state[1] == "not run"  # the first may have begun


def test_a_failed_run_lets_the_others_go_on(stores, monkeypatch):
    real = Model.loss
    monkeypatch.setattr(Model, "loss", lambda self, x, index, *labels: real(self, x, index) * (
        float("nan") if isinstance(self.inference, Encoder) else 1.0))
    runs = registry.run("table1", None, models=["AE", "GON"], **TINY)
    assert list(runs.state) == ["failed", "done"]
    assert "learning_rate" in runs.run[0].message
    assert registry.curves(runs).row.tolist() == ["GON"]


def test_the_recorded_runs_are_those_of_the_paper_profile(stores):
    runs = registry.recorded("table1")
    assert set(runs.dataset) == {"mnist", "cifar10", "fashion_mnist", "coil20", "small_norb"} and set(runs.seed) == {0, 1, 2}
    assert set(runs.state) == {"not run"} and set(runs.row) == set(paper.TABLE1)


def test_every_field_of_a_configuration_can_be_set():
    for field in dataclasses.fields(Config):
        if field.name not in ("dataset", "seed"):
            assert registry.get("table1").parameters[field.name] == field.default


def test_stores_are_those_of_the_environment(stores, tmp_path):
    assert store.local_store().root == tmp_path / "local"
