"""The inverse problem of chapter 12: residuals, ratios, crossings."""

from types import SimpleNamespace

import pandas as pd
import pytest

from gonlib.study.chapters.settings import crossing, crossings, latent_yardstick, ratios, residuals, unexplained

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


def test_what_a_setting_leaves_unexplained():
    table = residuals(runs(("GON", "mnist", "a", 0.41), ("AE", "mnist", "a", 2.4)), paper=PAPER)
    assert unexplained(table, "a") == ["MNIST: AE"] and not unexplained(table, "a", factor=3)


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


@pytest.mark.parametrize(("gon", "ae", "epoch"), [([3, 2, 1.5], [4, 3, 1], 3), ([3, 2, 1], [4, 3, 2], None),
                                                  ([3, 2, 1], [2, 1, 0.5], 1), ([3, 2, 1.5, 1.2], [2, 3, 1, 1], 3)])
def test_crossing_is_where_the_second_stays_below(gon, ae, epoch):
    curves = pd.DataFrame([{"epoch": i + 1, "model": model, "test_error": v} for model, values in (("GON", gon), ("AE", ae))
                           for i, v in enumerate(values)])
    assert crossing(curves) == epoch


def test_crossings_of_each_column_that_has_both_models():
    def stored(row, column, errors, seed=0):
        history = pd.DataFrame({"epoch": range(1, 1 + len(errors)), "test_error": errors})
        return {"row": row, "model": row, "column": column, "seed": seed, "hash": row, "state": "done", "epochs": len(errors),
                "factors": ("model",), "run": SimpleNamespace(history=history)}

    frame = pd.DataFrame([stored("GON", "a", [3, 2]), stored("AE", "a", [4, 1]), stored("GON", "b", [1, 1]),
                          stored("AE", "b", [2, 2]), stored("GON", "c", [1, 1])])
    found = crossings(frame)
    assert found["AE ahead from epoch"].to_dict() == {"a": "2", "b": "never"} and set(found.epochs) == {2}
    assert crossings(frame[:0]).empty
