"""Claims hang on the factors of cells, never on the titles that readers see."""

import functools
import re

import pandas as pd
import pytest
from study.fake_runs import FakeRun

from gonlib.errors import UserError
from gonlib.runs.contents import KEPT_NEEDED
from gonlib.study import judging, ledger, pictures, registry
from gonlib.study.ledger import RULES, judge
from gonlib.study.profiles import load_profile
from gonlib.study.registry import CHAPTERS, EXPERIMENTS

TABLES = {  # as much of the kept tables as rules read: of any numbers
    "yardsticks": [{"pca_error": 1.0}],
    "scores": [{"method": name, "size": 28, "psnr": 20.0} for name in ("GON", "bicubic of the GON", "bicubic")],
    "smoothness": [{"path": "slerp", "change": "rotation", "monotone": 1.0, "pairs": 32}],
    "diversity": [{"spread": 1.0, "novelty": 1.0}],
    "ceiling": [{"ceiling": 0.9}],
    "normality": [{"kind": "latents", "skewness": 0.1, "excess": 0.1, "departure": 0.1}],
    "shapes": [{"samples": 1.0, "normal pixels": 0.5, "test images": 1.0}],
}
SHOTS = pd.DataFrame({"seconds": [1, 9], "step": [1, 9], "test_error": [2.0, 1.0], "mean_image_error": 4.0})


@functools.cache
def planned(name):
    """The runs of an experiment's cells in profile `paper`, none of them trained."""
    return registry.collect(registry.get(name).cells("paper"), stores=[Nothing()])


def finished(name, rename=False):
    """Those runs, all done, with made-up numbers for every metric."""
    runs = planned(name)
    order = pd.Series(range(len(runs)))
    metrics = {key: 1.0 + order % 7 + order % 3 for key in ("test_error", "train_error", "test_bits", "test_accuracy",
                                                            "parameters", "reconstruct_seconds", "steps")}
    history = pd.DataFrame({"test_error": [3.0, 2.0]})
    runs = runs.assign(state="done", run=[FakeRun(shots=SHOTS, history=history) for _ in order], **metrics)
    return runs.assign(row=[f"row {i}" for i in runs.row.astype("category").cat.codes],
                       column=[f"column {i}" for i in runs.column.astype("category").cat.codes]) if rename else runs


class Nothing:
    """A store without runs."""

    def find(self, config):
        return None


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """Every run has learned its pictures and keeps every table."""
    monkeypatch.setattr(pictures, "learned", lambda run: True)

    def collected(runs, name):
        assert set(TABLES[name][0]) <= set(KEPT_NEEDED[name])  # which every kept table is known to have
        parts = [pd.DataFrame(TABLES[name]).assign(**{key: run[key] for key in ("hash", "row", "column")})
                 for _, run in runs.iterrows()]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    for module in (judging, *CHAPTERS):
        if hasattr(module, "collected"):
            monkeypatch.setattr(module, "collected", collected)


@pytest.mark.parametrize("claim", [name for name, rule in RULES.items() if not rule.exact])
def test_every_rule_finds_its_rows_in_the_registry(claim, monkeypatch):
    """All that a rule asks for, it finds in one of its experiments; and each of these gives it something to say."""
    asked = {}

    def where(runs, **factors):
        found = judging_where(runs, **factors)
        for name, value in factors.items():
            for one in value if isinstance(value, tuple) else (value,):
                here = judging_where(runs, **{name: one})
                asked[name, one] = max(asked.get((name, one), 0), len(here))
        return found

    judging_where = judging.where
    for module in (judging, *CHAPTERS):
        if hasattr(module, "where"):
            monkeypatch.setattr(module, "where", where)
    rule = RULES[claim]
    for name in set(rule.experiments) - {"glo-steps" if claim == "C2" else ""}:  # which is an aside to Table 1
        verdict = judge(claim, {name: finished(name)}, "full")
        assert verdict.verdict != "not yet run", f"{name} gives nothing to say"
    judge(claim, {name: finished(name) for name in rule.experiments}, "full")
    assert not [factor for factor, count in asked.items() if not count]


@pytest.mark.parametrize("claim", [name for name, rule in RULES.items() if not rule.exact])
def test_a_renamed_title_changes_no_verdict(claim):
    names = RULES[claim].experiments
    verdict, renamed = (judge(claim, {name: finished(name, change) for name in names}) for change in (False, True))
    assert renamed.verdict == verdict.verdict and renamed.hashes == verdict.hashes


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_titles_are_made_of_factors(name):
    """No two cells share a title, whatever is asked for; and what titles name are factors of every cell."""
    experiment = registry.get(name)
    for cell in experiment.cells(None, dataset="digits patches"):
        assert set(experiment.rows + experiment.columns) <= set(cell.factors)
    cells = experiment.cells(None, dataset="digits patches")
    assert len({(cell.row, cell.column) for cell in cells}) == len(cells)


@pytest.mark.parametrize("name, override", [
    ("steps-and-gap-latents", {"latents": 7}), ("activations", {"activation": "elu"}), ("monte-carlo", {"size": 32}),
    ("batch-normalisation", {"evaluation": "batch"}), ("super-resolution", {"size": 32}), ("latents-early", {"steps": 10}),
])
def test_an_override_that_no_cell_can_use_is_refused(name, override):
    with pytest.raises(UserError, match=re.escape(f"parameter {next(iter(override))} can change nothing in {name}")):
        registry.get(name).cells(None, **override)


def test_the_profiles_ask_for_nothing_in_vain():
    for profile in ("smoke", "quick", "paper"):
        for name, values in load_profile(profile).items():
            if name in EXPERIMENTS:
                assert not registry.get(name).expand(None, **values)[1], f"{profile}: {name}"


def test_the_ledger_knows_every_chapter_s_rules():
    assert {rule for chapter in CHAPTERS for rule in vars(chapter).values() if isinstance(rule, judging.Rule)} == set(
        ledger.RULES.values())
