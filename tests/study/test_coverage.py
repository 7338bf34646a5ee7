"""The page of what is recorded: computed from the runs there are, with the command for the rest."""

from bs4 import BeautifulSoup

from gonlib.runs import store
from gonlib.runs.store import Store
from gonlib.study import coverage, registry
from gonlib.study.experiment import Experiment

TINY = {"dataset": "coil20 mnist", "size": 8, "filters": 2, "latents": 4, "train_images": 48, "test_images": 20,
        "batch_size": 16, "epochs": 3, "models": ["GON", "AE"]}


def test_what_is_there_to_which_epoch_and_what_is_missing(tmp_path, monkeypatch):
    load = store.load_data
    monkeypatch.setattr(store, "load_data", lambda config, device="cpu": load(config.replace(dataset="digits"), device))
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path))
    monkeypatch.setattr(store, "recorded_store", lambda: Store(tmp_path))
    monkeypatch.setattr(Experiment, "cells", lambda self, _, cells=Experiment.cells, **given: cells(
        self, {"table1": TINY}, **given))
    monkeypatch.setattr(coverage, "EXPERIMENTS", {"table1": registry.get("table1")})
    line, _ = coverage.coverage("table1")
    assert line.recorded == [] and line.missing == ["COIL-20", "MNIST"]
    registry.run("table1", dataset="coil20", models=["GON"], epochs=2)
    line, _ = coverage.coverage("table1")
    assert line.recorded == ["COIL-20: 1 of 2 runs, at epoch 2 of 3"] and line.missing == ["MNIST"]
    assert line.command.replace("\\\n", "").split()[1:] == "-m gonlib run table1 --profile paper".split()
    registry.run("table1")
    line, _ = coverage.coverage("table1")
    assert line.recorded == ["COIL-20: 2 runs", "MNIST: 2 runs"] and line.missing == [] and line.command == ""
    page = BeautifulSoup(coverage.page(), "html.parser")
    assert page.p.text.startswith("4 of 4 runs are complete, 0 are on their way") and page.find(id="table1")


def test_runs_of_a_smaller_network_are_said_to_be_some(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "recorded_store", lambda: Store(tmp_path))
    monkeypatch.setattr(coverage, "SMALLER", {"table1": {"filters": 1}})
    monkeypatch.setattr(coverage, "at_full_schedule", lambda name, stores, **smaller: registry.get(name).cells(
        {"table1": TINY | {"dataset": "digits", "models": ["GON"]}}, **smaller))
    Store(tmp_path).run(registry.get("table1").cells({"table1": TINY | {"dataset": "digits", "filters": 1}})[0].configs[0])
    line, _ = coverage.coverage("table1")
    assert line.recorded == ["digits, smaller: 1 run"] and line.missing == ["digits"]
