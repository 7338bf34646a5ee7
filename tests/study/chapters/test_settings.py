"""The inverse problem of chapter 12: residuals, ratios, schedules."""

from types import SimpleNamespace

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from gonlib.study.chapters.settings import (
    latent_yardstick,
    of_ratio,
    of_residual,
    ratios,
    residuals,
    schedule_sentence,
    schedule_table,
    schedules,
)

PAPER = {"GON": {"mnist": (0.4, 0.01)}, "AE": {"mnist": (1.2, 0.02)}}


def runs(*rows):
    """Runs of the experiment `settings` from (model, data set, change, error)."""
    names = ("model", "dataset", "change", "test_error", "state")
    return pd.DataFrame([dict(zip(names, (*row, "done"), strict=True)) for row in rows])


def test_residuals_name_the_nearest_setting_and_ignore_other_data_sets():
    table = residuals(runs(("GON", "mnist", "a", 4.0), ("AE", "mnist", "a", 12.0), ("GON", "mnist", "b", 0.4),
                           ("AE", "mnist", "b", 1.2), ("GON", "digits", "b", 9.0)), paper=PAPER)
    assert list(table.index) == ["b", "a"]
    assert table.distance["a"] == pytest.approx(1.0) and table.distance["b"] == pytest.approx(0.0)


def test_up_to_scale_a_factor_common_to_a_data_set_is_forgiven_and_a_ratio_is_not():
    table = residuals(runs(("GON", "mnist", "a", 4.0), ("AE", "mnist", "a", 12.0), ("GON", "mnist", "b", 0.4),
                           ("AE", "mnist", "b", 12.0)), paper=PAPER)
    assert table["up to scale"].to_dict() == pytest.approx({"a": 0.0, "b": 0.5})
    assert table.distance["a"] == pytest.approx(1.0)


def test_pca_stands_beside_the_papers_errors():
    table = latent_yardstick(PAPER)
    assert list(table.index) == ["MNIST"] and table["the paper's AE"].item() == "1.20"
    assert table["components for AE's error"].item() < table["components for GON's error"].item()


def test_what_chapter_12_says_of_the_number_of_latents():
    needed = latent_yardstick()["components for GON's error"]
    assert sorted(needed[["MNIST", "Fashion-MNIST", "CIFAR-10"]]) == [229, 257, 271] and needed["COIL-20"] < 50


def test_residuals_without_a_data_set_of_the_paper_are_empty():
    assert residuals(runs(("GON", "digits", "a", 1.0)), paper=PAPER).empty


def test_ratios_stand_beside_the_papers():
    table = ratios(runs(("GON", "digits", "a", 2.0), ("AE", "digits", "a", 5.0)), paper=PAPER)
    assert table.AE["digits", "a"] == pytest.approx(2.5) and table.AE["MNIST", "the paper"] == pytest.approx(3.0)


def grown(model, errors, change="as assumed", dataset="mnist"):
    history = pd.DataFrame({"epoch": range(1, 1 + len(errors)), "test_error": errors})
    return {"row": model, "model": model, "change": change, "dataset": dataset, "column": dataset, "seed": 0,
            "state": "done", "hash": f"{model} {change}", "factors": ("model", "dataset", "change"),
            "run": SimpleNamespace(history=history)}


def test_a_column_of_the_paper_appears_if_all_rows_are_near_at_one_epoch():
    paper = PAPER | {"Tied AE": {"mnist": (2.0, 0.1)}}
    frame = pd.DataFrame([grown("GON", [0.8, 0.4, 0.2]), grown("AE", [2.0, 1.3, 0.9]), grown("Tied AE", [3.0, 2.0, 1.0]),
                          *(grown(name, [0.8, 0.4, 0.2], "fast") for name in paper)])
    found = schedules(frame, paper=paper)
    assert list(found.appears) == [True, False] and found.nearest.iloc[0] == 2
    assert found.ratios.iloc[0] == pytest.approx({"GON": 1.0, "AE": 1.3 / 1.2, "Tied AE": 1.0})
    assert schedules(frame[frame.model != "Tied AE"], paper=paper).empty  # two rows are no column
    told = BeautifulSoup(schedule_sentence(found), "html.parser").text
    assert "of 2 recorded settings only 1 has" in told and "epoch (MNIST, as assumed, epoch 2). In the others" in told
    assert "of 1 recorded settings none has" in BeautifulSoup(schedule_sentence(found[1:]), "html.parser").text
    cells = [[cell.text for cell in row("td")] for row in BeautifulSoup(schedule_table(found), "html.parser").tbody("tr")]
    assert [row[-1] for row in cells] == ["1.00", "0.40"]


def test_without_runs_no_schedule_is_judged():
    nothing = schedules(pd.DataFrame([grown("GON", [1.0])]), paper=PAPER)
    assert nothing.empty and "No recorded run" in schedule_sentence(nothing) and not schedule_table(nothing)


def test_the_runs_behind_a_field():
    frame = runs(("GON", "mnist", "a", 4.0), ("AE", "mnist", "a", 12.0), ("GON", "mnist", "b", 0.4))
    assert list(of_residual(frame, "a", ("MNIST", "AE")).model) == ["AE"]
    assert list(of_residual(frame, "a", ("distance", "")).model) == ["GON", "AE"]
    assert list(of_ratio(frame, ("MNIST", "a"), "AE").model) == ["GON", "AE"]
    nothing = of_ratio(frame, ("MNIST", "the paper"), "AE")
    assert nothing.empty and "state" in nothing
