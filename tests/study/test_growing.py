"""Runs that are still growing: read as far as they are, compared at the epoch that all have, never a verdict proper."""

import re
import shutil

import pytest
from bs4 import BeautifulSoup

from gonlib.data import datasets
from gonlib.runs import store
from gonlib.runs.store import Store
from gonlib.study import ledger, registry, tables
from gonlib.study.experiment import Experiment, as_far, so_far

TINY = {"dataset": "coil20", "size": 8, "filters": 2, "latents": 4, "train_images": 48, "test_images": 20, "batch_size": 16,
        "seeds": 1, "models": ["GON", "AE", "1 step, detached", "Tied AE"]}


def digits(config, device="cpu"):
    """Digits for whatever data set is asked for."""
    return datasets.load("digits", config.size, config.train_images, config.test_images)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of runs of Table 1: of one row three epochs, of one two, of one four; on data called COIL-20."""
    root = tmp_path_factory.mktemp("grown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "load_data", digits)
        patch.setenv("GONLIB_STORE", str(root))
        patch.setattr(store, "recorded_store", lambda: Store(root / "recorded"))
        for model, epochs in (("GON", 3), ("AE", 2), ("1 step, detached", 4)):
            registry.run("table1", None, **TINY | {"models": [model], "epochs": epochs})
    return root


@pytest.fixture
def grown(trained, tmp_path, monkeypatch):
    """Table 1 asked for four epochs, in a copy of those runs: only one row has all, and one none."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(store, "load_data", digits)
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path))
    monkeypatch.setattr(store, "recorded_store", lambda: Store(tmp_path / "recorded"))
    return registry.get("table1").cells({"table1": TINY | {"epochs": 4}})


def test_each_cell_is_read_at_the_furthest_epoch_and_says_so(grown):
    runs = registry.collect(grown).set_index("model")
    assert runs.state.to_dict() == {"GON": "growing", "AE": "growing", "1 step, detached": "done", "Tied AE": "not run"}
    assert runs.epoch.to_dict() == {"GON": 3, "AE": 2, "1 step, detached": 4, "Tied AE": 0}
    assert set(runs.asked.dropna()) == {4}
    assert runs.test_error["GON"] == runs.run["GON"].at(3).metrics["test_error"]
    curves = registry.curves(registry.collect(grown))
    assert curves.groupby("model").epoch.max().to_dict() == {"GON": 3, "AE": 2, "1 step, detached": 4}


def test_rows_are_compared_at_the_epoch_that_all_have(grown):
    runs = registry.collect(grown)
    together = so_far(runs).set_index("model")
    assert set(together.epoch) == {2} and set(together.index) == {"GON", "AE", "1 step, detached"}
    for model, run in runs.set_index("model").run.dropna().items():
        assert together.test_error[model] == run.at(2).metrics["test_error"]
        assert together.run[model].metrics["test_error"] == together.test_error[model]
    assert so_far(runs[runs.state == "done"]).empty
    everything = as_far(runs).set_index("model")
    assert everything.state.to_dict() == dict.fromkeys(together.index, "done") | {"Tied AE": "not run"}


def test_a_row_that_is_far_behind_does_not_hold_the_others_back(grown):
    runs = registry.collect(grown)
    runs = runs[runs.model != "Tied AE"]
    runs.loc[runs.model == "AE", "epoch"] = 1  # as its store would say
    together = so_far(runs).set_index("model")
    assert together.epoch[["GON", "1 step, detached"]].to_list() == [3, 3] and "AE" in together.index


def test_the_variant_of_a_data_set_stands_in_for_it(grown, monkeypatch, tmp_path):
    """Only where the data set itself has no run; with the paper's numbers, and growing runs as far as they are."""
    profile = {"table1": TINY | {"epochs": 4, "dataset": "small_norb coil20"}}
    monkeypatch.setattr(store, "recorded_store", lambda: Store(tmp_path))
    monkeypatch.setattr(Experiment, "cells", lambda self, _, cells=Experiment.cells, **given: cells(self, profile, **given))
    assert registry.recorded("table1").column.unique().tolist() == ["Small NORB", "COIL-20"]
    registry.run("table1", dataset="small_norb@jpeg", models=["GON"], epochs=1)
    found = registry.recorded("table1")
    assert found.column.unique().tolist() == ["Small NORB (from JPEG copies)", "COIL-20"]
    gon = found[(found.model == "GON") & (found.dataset == "small_norb@jpeg")].iloc[0]
    assert (gon.state, gon.epoch, gon.asked) == ("done", 1, 4) and gon.paper == (0.17, 0.01)
    registry.run("table1", dataset="small_norb", models=["GON"], epochs=1)
    assert registry.recorded("table1").column.unique().tolist() == ["Small NORB", "COIL-20"]


def test_a_smaller_network_stands_in_where_the_published_one_has_no_run(grown, monkeypatch, tmp_path):
    profile = {"table1": TINY | {"epochs": 1, "dataset": "digits patches"}}
    monkeypatch.setattr(store, "recorded_store", lambda: Store(tmp_path))
    monkeypatch.setattr(Experiment, "cells", lambda self, _, cells=Experiment.cells, **given: cells(self, profile, **given))
    monkeypatch.setitem(registry.SMALLER, "table1", {"filters": 1})

    def filters():
        return {dataset: part.config.iloc[0].filters for dataset, part in registry.recorded("table1").groupby("dataset")}

    assert filters() == {"digits": TINY["filters"], "patches": TINY["filters"]}
    registry.run("table1", dataset="digits", models=["AE"], filters=1)
    assert filters() == {"digits": 1, "patches": TINY["filters"]}
    registry.run("table1", dataset="digits", models=["AE"])
    assert filters()["digits"] == TINY["filters"]


def test_a_table_says_how_far_a_column_is(grown):
    page = BeautifulSoup(tables.table(registry.collect(grown)), "html.parser")
    assert [th.text for th in page.thead("tr")[1]("th")[1:]] == ["paper", "this build"]
    assert page.find(class_="table-note").text.startswith("1 seed, at epoch 2 of 4.")
    rows = {tr.th.text: [td.text for td in tr("td")] for tr in page.tbody("tr")}
    assert all(re.fullmatch(r"\d+\.\d\d", rows[row][1]) for row in ("GON", "AE", "1 step, detached"))
    assert rows["Tied AE"][1] == "needs data"


def test_a_verdict_from_them_is_called_what_it_is(grown, monkeypatch):
    monkeypatch.setattr(ledger, "full_schedule", lambda name: grown if name == "table1" else [])
    full, part, small = ledger.judge_all(["C3"], {})[0]
    assert full.verdict == small.verdict == "not yet run"
    assert part.label.endswith(" so far on COIL-20 (epoch 2 of 4)") and part.scope == "part"
    chapter = BeautifulSoup(ledger.verdicts(["C3"], {"table1": registry.collect(grown)}), "html.parser")
    page = BeautifulSoup(ledger.ledger("smoke"), "html.parser").find(id="claim-C3")
    for found in (chapter.find(id="claim-C3"), page):  # the chapter and the ledger say the same words
        assert found.find(class_="verdict").text[2:] == part.label
    assert chapter.find(id="claim-C3").find(class_="told").text == page.find(class_="told").text
    monkeypatch.setattr(ledger, "EARLY", 0.6)
    early = ledger.judge_all(["C3"], {})[0].part
    assert early.label == "too early to judge on COIL-20 (epoch 2 of 4)" and early.hashes and not early.findings
