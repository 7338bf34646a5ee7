"""The rules of claims C10, C11 and C12: verdicts follow the tables kept with runs."""

from types import SimpleNamespace

import pandas as pd
import pytest

from gonlib.study.chapters.implicit import FIGURE_4
from gonlib.study.ledger import judge
from gonlib.training.config import Config


@pytest.fixture
def runs(tmp_path):
    def make(table, rows, network=None, **metrics):
        config = Config(dataset="mnist", decoder="siren")
        (tmp_path / config.hash).mkdir()
        run = SimpleNamespace(folder=tmp_path / config.hash, config=config, metrics=metrics | {"epochs": 1, "steps": 1},
                              provenance={"device": "a device"}, summary=lambda: "a run")
        pd.DataFrame(rows).to_csv(run.folder / f"{table}-1.csv")
        pd.DataFrame([{"error": 50.0}]).to_csv(run.folder / "mean-image-1.csv")
        return pd.DataFrame([{"row": "a row", "column": "MNIST", "network": network, "seed": 0, "state": "done",
                              "hash": config.hash, "steps": 1, **metrics, "run": run, "config": config}])

    return make


@pytest.mark.parametrize("error, verdict", [(7.0, "holds"), (8.0, "holds"), (10.0, "undecided"), (12.5, "fails")])
def test_c10_measures_against_pca(runs, error, verdict):
    found = runs("yardsticks", [{"pca_error": 8.0, "numbers": 784}], FIGURE_4, test_error=error, parameters=4385)
    judged = judge("C10", {"implicit-parameters": found})
    assert judged.verdict == verdict and "4,385 parameters" in judged.sentence and judged.hashes == tuple(found.hash)


def test_c10_is_about_the_network_of_figure_4_alone(runs):
    found = runs("yardsticks", [{"pca_error": 8.0, "numbers": 784}], "256 units", test_error=1.0, parameters=206593)
    assert judge("C10", {"implicit-parameters": found}).verdict == "not yet run"


@pytest.mark.parametrize("psnr, verdict", [(24.3, "holds"), (24.05, "fails"), (23.8, "fails")])
def test_c11_measures_against_the_same_information_interpolated(runs, psnr, verdict):
    scores = {"GON": psnr, "bicubic of the GON": 24.0, "bicubic": 30.0}
    rows = [{"method": name, "psnr": value, "size": 28, "images": 9} for name, value in scores.items()]
    found = runs("scores", rows, test_error=9.0)
    judged = judge("C11", {"super-resolution-half": found})
    assert judged.verdict == verdict and "MNIST at 28 px" in judged.sentence and "30.00" in judged.sentence


def test_c11_does_not_judge_what_has_not_learned(runs):
    rows = [{"method": name, "psnr": 9.0, "size": 28, "images": 9} for name in ("GON", "bicubic of the GON", "bicubic")]
    assert judge("C11", {"super-resolution-half": runs("scores", rows, test_error=60.0)}).verdict == "not yet run"


@pytest.mark.parametrize("share, verdict", [(1.0, "holds"), (0.9, "holds"), (0.7, "undecided"), (0.2, "fails")])
def test_c12_counts_pairs_without_a_step_back(runs, share, verdict):
    known = {"pairs": 32, "largest_jump": 0.2, "off_path": 1.0}
    rows = [{"path": path, "change": change, "monotone": value} | known for path, change, value in
            (("slerp", "rotation", share), ("slerp", "x", 0.0), ("pixels", "rotation", 0.5))]
    judged = judge("C12", {"interpolation": runs("smoothness", rows)})
    assert judged.verdict == verdict and "rotation" in judged.sentence and ", x" not in judged.sentence


def test_runs_without_kept_tables_say_nothing(runs):
    found = runs("other", [{"a": 1}], test_error=1.0)
    for claim, name in (("C10", "implicit-parameters"), ("C11", "super-resolution-half"), ("C12", "interpolation")):
        assert judge(claim, {name: found}).verdict == "not yet run"
