"""The rules that judge claims: a verdict follows the numbers, and flips when they do."""

import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from study.fake_runs import FakeRun, table

from gonlib.errors import UserError
from gonlib.method.likelihoods import LIKELIHOODS
from gonlib.runs.store import Store
from gonlib.study import ledger, registry
from gonlib.study.experiment import Experiment
from gonlib.study.judging import NO_RUNS, compare
from gonlib.study.ledger import RULES, judge
from gonlib.study.paper import CLAIMS, TABLE1

# --- when a difference counts ---


def test_a_difference_counts_beyond_two_standard_errors():
    low, high = [1.0, 1.1, 0.9], [1.4, 1.5, 1.3]
    assert compare(low, high).verdict == "holds"
    assert compare(high, low).verdict == "fails"
    assert compare(low, [1.05, 1.2, 0.9]).verdict == "undecided"
    assert compare(low, high).difference == pytest.approx(0.4)
    assert compare(low, high).standard_error == pytest.approx((0.01 / 3 * 2) ** 0.5)
    assert "2 standard errors are 0.16" in compare(low, high).text


def test_more_sigmas_ask_for_more():
    low, high = [1.0, 1.1, 0.9], [1.2, 1.3, 1.1]
    assert compare(low, high).verdict == "holds" and compare(low, high, sigmas=3).verdict == "undecided"


def test_one_seed_asks_for_five_percent():
    assert compare([1.0], [1.06]).verdict == "holds" and compare([1.06], [1.0, 1.0]).verdict == "fails"
    assert compare([1.0], [1.04, 1.04]).verdict == "undecided"
    assert "one seed" in compare([1.0], [2.0]).text and compare([1.0], [2.0]).standard_error is None


def test_runs_with_the_same_seeds_are_compared_pair_by_pair():
    """What a seed does to both runs is no difference between them."""
    seeds = pd.Index([0, 1, 2], name="seed")
    low, high = pd.Series([3.6, 2.3, 3.1], seeds), pd.Series([3.8, 2.4, 3.3], seeds)
    found = compare(low, high[[2, 0, 1]])
    assert found.paired and found.verdict == "holds" and "seed by seed" in found.text
    assert found.standard_error == pytest.approx(np.std([0.2, 0.1, 0.2], ddof=1) / 3**0.5) and 0 < found.p < 0.1
    other = compare(low, high.rename(index={2: 3}))
    assert not other.paired and other.verdict == "undecided" and other.p > 0.5
    assert compare(low, low + 1e-12).verdict == "undecided" and compare(low, low + 0.1).p is None


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_missing_values_are_not_compared(values):
    with pytest.raises(ValueError, match="finite values"):
        compare(values, [1.0])


def as_published(**changes):
    """Table 1 as the paper has it, with some cells replaced: row__column=value."""
    values = {(row, column): mean for row, cells in TABLE1.items() for column, (mean, _) in cells.items()}
    for name, value in changes.items():
        row, column = name.split("__")
        values[row.replace("_", " "), column] = value
    return {"table1": table(values, spread=0.001)}


@pytest.mark.parametrize("claim", ["C1", "C2", "C3", "C4", "C5"])
def test_the_papers_own_table_bears_out_its_claims(claim):
    verdict = judge(claim, as_published())
    assert verdict.verdict == "holds", verdict.sentence
    assert verdict.hashes and "MNIST, Fashion-MNIST, Small NORB, COIL-20, CIFAR-10; 500 epochs" in verdict.basis
    assert "; 3 seeds; " in verdict.basis


def test_a_verdict_says_where_rows_have_fewer_seeds():
    runs = as_published()["table1"]
    verdict = judge("C3", {"table1": runs[(runs.model != "GON") | (runs.seed == 0)]})
    assert "; 1 to 3 seeds; " in verdict.basis


@pytest.mark.parametrize("claim, changes, expected", [
    ("C1", {"AE__mnist": 0.3}, "mixed"),
    ("C1", {f"AE__{d}": 0.1 for d in TABLE1["GON"]}, "mixed"),
    ("C1", {f"GON__{d}": 99.0 for d in TABLE1["GON"]}, "fails"),
    ("C2", {"GLO__mnist": 0.3}, "mixed"),
    ("C2", {"GLO__cifar10": 8.0}, "mixed"),
    ("C2", {"GLO__coil20": 6.0}, "mixed"),
    ("C4", {"10 steps__mnist": 0.2}, "mixed"),
    ("C4", {f"10 steps__{d}": 0.1 for d in TABLE1["GON"]}, "fails"),
    ("C5", {"10 steps, detached__mnist": 1.0}, "mixed"),
    ("C5", {f"10 steps, detached__{d}": TABLE1["GON"][d][0] for d in TABLE1["GON"]}, "fails"),
    ("C3", {f"1 step, detached__{d}": 1.2 * TABLE1["GON"][d][0] for d in TABLE1["GON"]}, "undecided"),
    ("C3", {f"1 step, detached__{d}": 0.1 for d in TABLE1["GON"]}, "fails"),
])
def test_verdicts_on_table_1_flip_when_the_data_do(claim, changes, expected):
    verdict = judge(claim, as_published(**changes))
    assert verdict.verdict == expected, verdict.sentence


def test_full_length_runs_at_other_settings_can_refute_but_not_confirm():
    """What other settings of the decoder show at full length counts as well (chapter 12)."""
    names = ("model", "dataset", "change")
    against = table({("GON", "coil20", "64 latents"): 2.2, ("AE", "coil20", "64 latents"): 2.0}, names=names, seeds=1)
    against["hash"] = "f" + against.hash.str[1:]
    for claim in ("C1", "C7"):
        assert judge(claim, as_published() | {"settings-length": against}).verdict in ("mixed", "fails")
        assert "64 latents" in judge(claim, {"settings-length": against}).sentence
    same = as_published()["table1"].assign(change="as assumed")
    assert judge("C1", as_published() | {"settings-length": same}).verdict == "holds"


def test_glo_may_win_on_coil20_if_it_is_fitted_longer():
    fits = table({(500, "coil20"): 6.0, (2000, "coil20"): 1.0}, names=("free_steps", "dataset"))
    runs = as_published(GLO__coil20=6.0)
    verdict = judge("C2", runs | {"glo-steps": fits})
    assert verdict.verdict == "mixed" and "fitted in 2,000 steps GLO has" in verdict.sentence
    assert "fitted in" not in judge("C2", runs | {"glo-steps": fits[fits.free_steps == 500]}).sentence


@pytest.mark.parametrize("seconds, expected", [(300, "holds"), (5, "fails"), (30, "undecided")])
def test_glo_takes_orders_of_magnitude_longer_or_not(seconds, expected):
    runs = table({("GON", "mnist"): 1.0, ("GLO", "mnist"): seconds}, "reconstruct_seconds")
    assert judge("C21", {"table1": runs}).verdict == expected


@pytest.mark.parametrize("error, expected", [(40, "holds"), (60, "undecided"), (90, "fails")])
def test_the_signal_after_three_seconds(error, expected):
    shots = pd.DataFrame({"seconds": [0, 2.5, 9], "step": [0, 10, 40], "test_error": [100, error, 1],
                          "mean_image_error": 100.0})
    verdict = judge("C14", {"first-minute": table({("GON", "mnist"): 1.0}, shots=shots, seeds=1)})
    assert verdict.verdict == expected and "(step 10)" in verdict.sentence


def judged(claim, monkeypatch, experiment, values, name, names=("model", "dataset")):
    """The verdict from synthetic runs that keep a table: {values of the factors `names`: the table's rows}."""
    runs = table(dict.fromkeys(values, 1.0), names=names, seeds=1)
    tables = {run.hash: pd.DataFrame(values[tuple(run[list(names)])]) for _, run in runs.iterrows()}

    def collected(part, asked):
        parts = [tables[r.hash].assign(hash=r.hash, row=r.row, column=r.column) for r in part.itertuples()]
        return pd.concat(parts, ignore_index=True) if parts and asked == name else pd.DataFrame()

    monkeypatch.setattr("gonlib.study.judging.collected", collected)
    return judge(claim, {experiment: runs})


@pytest.mark.parametrize("spread, novelty, expected", [(0.9, 1.2, "holds"), (0.9, 0.4, "undecided"), (0.9, 0.1, "fails"),
                                                       (0.9, 1.9, "undecided"), (0.9, 2.7, "fails"),
                                                       (0.4, 1.0, "fails"), (0.7, 1.0, "undecided")])
def test_samples_are_diverse_and_no_copies_or_not(monkeypatch, spread, novelty, expected):
    values = {("VGON", "mnist"): [{"spread": spread, "novelty": novelty}], ("VAE", "mnist"): [{"spread": 0, "novelty": 0}]}
    verdict = judged("C13", monkeypatch, "samples", values, "diversity")
    assert verdict.verdict == expected and f"spread {spread:.2f}" in verdict.sentence and len(verdict.hashes) == 1


@pytest.mark.parametrize("gon, vae, expected", [((0.1, 0.2, 0.01), 0.1, "holds"), ((0.1, 0.2, 0.09), 0.1, "undecided"),
                                                ((0.6, 0.2, 0.01), 0.1, "undecided"), ((0.1, 0.2, 0.2), 0.1, "fails")])
def test_latents_are_near_normal_or_not(monkeypatch, gon, vae, expected):
    def rows(skewness, excess, departure):
        return [{"kind": "latents", "skewness": s * skewness, "excess": excess, "departure": departure} for s in (1, -1)]

    values = {("implicit GON", "mnist"): rows(*gon), ("VAE", "mnist"): rows(1, 1, vae)}
    assert judged("C19", monkeypatch, "latents", values, "normality").verdict == expected
    del values["VAE", "mnist"]
    assert judged("C19", monkeypatch, "latents", values, "normality").verdict == "not yet run"


@pytest.mark.parametrize("share, expected", [(0.8, "holds"), (0.55, "undecided"), (0.4, "fails")])
def test_early_stopped_samples_keep_shapes_or_not(monkeypatch, share, expected):
    later = {"samples": 1.0, "normal pixels": 0.4, "test images": 1.0}
    values = {(800, "mnist"): [later | {"samples": share}], (8000, "mnist"): [later]}
    verdict = judged("C20", monkeypatch, "latents-early", values, "shapes", ("stop", "dataset"))
    assert verdict.verdict == expected and "8,000" not in verdict.sentence


@pytest.mark.parametrize("accuracy, expected", [(0.95, "holds"), (0.7, "undecided"), (0.4, "fails")])
def test_two_latents_separate_the_classes_or_not(monkeypatch, accuracy, expected):
    runs = table({("implicit GON", 2): accuracy, ("implicit GON", 10): 1.0}, "test_accuracy", ("model", "latents"))
    monkeypatch.setattr("gonlib.study.chapters.tasks.collected", lambda *_: pd.DataFrame())
    assert judge("C18", {"classifier": runs}).verdict == expected


@pytest.mark.parametrize("wild, expected", [(0, "holds"), (1, "undecided"), (3, "fails")])
def test_training_that_diverges(wild, expected):
    """Of eight settings some fail, or climb back; a claim on stability is told of failed runs too."""
    runs = table({("GON", i): 1.0 for i in range(8)}, names=("model", "learning_rate"), seeds=1)
    runs["run"] = [FakeRun(history=pd.DataFrame({"test_error": [9.0, 1.0, 3.0 if i < wild - 1 else 1.2]})) for i in range(8)]
    runs.loc[runs.index[7], "state"] = "failed" if wild else "done"
    verdict = judge("C15", {"settings-stability": runs})
    assert verdict.verdict == expected, verdict.sentence
    assert f"{wild} of 8" in verdict.sentence


def test_linearity_is_checked_without_runs():
    verdict = judge("C22", {}, "full")
    assert verdict.scope == "exact" and verdict.verdict == "mixed"
    for name in ("Squared error", "Bernoulli"):  # the rounding differs between processors
        assert re.search(name + r", z off a linear function by (0e\+00|\de-1[5-9]) ✓", verdict.sentence)
    assert len(verdict.findings) == len(LIKELIHOODS) and "Categorical, z off a linear function" in verdict.sentence
    assert judge("C22", {}).verdict == "not yet run"


# --- what counts ---


def test_no_runs_no_verdict():
    assert all(judge(claim, {}).verdict == "not yet run" for claim in CLAIMS)
    assert judge("C1", {"table1": table({("GON", "mnist"): 1.0})}).verdict == "not yet run"


def test_failed_runs_are_not_counted():
    good = table({("GON", "mnist"): 0.4, ("1 step, detached", "mnist"): 1.3})
    bad = table({("1 step, detached", "mnist"): 0.1}, state="failed")
    assert judge("C3", {"table1": pd.concat([good, bad])}).verdict == "holds"
    assert judge("C3", {"table1": pd.concat([rows_of(good, "GON"), bad])}).verdict == "not yet run"


def test_lowest_of_all_asks_for_all_methods():
    runs = as_published()["table1"]
    assert judge("C2", {"table1": runs[runs.model != "GLO"]}).verdict == "not yet run"
    assert judge("C2", {"table1": runs[runs.model != "10 steps"]}).verdict == "not yet run"


def test_below_all_others_is_confirmed_only_by_all_of_them():
    runs = as_published()["table1"]
    assert judge("C1", {"table1": runs[runs.model != "Tied AE"]}).verdict == "not yet run"
    lower = as_published(**{f"AE__{column}": 0.01 for column in TABLE1["AE"]})["table1"]
    assert judge("C1", {"table1": lower[lower.model.isin(["GON", "AE"])]}).verdict == "fails"


def test_the_same_runs_in_two_experiments_are_one_piece_of_evidence():
    sizes = table({("GON", 256): 1.0, ("AE", 256): 3.0}, names=("model", "latents"))
    sizes = sizes.assign(train_error=0.5, config=[config.replace(dataset="cifar10") for config in sizes.config])
    sets = sizes.assign(column="CIFAR-10")
    verdict = judge("C8", {"steps-and-gap-latents": sizes, "generalisation": sets})
    assert len(verdict.findings) == 1 and verdict.findings[0].startswith("CIFAR-10: GON")
    (alone,) = judge("C8", {"steps-and-gap-latents": sizes}).findings
    assert alone.startswith("CIFAR-10, 256 latents: GON")  # a title says on which data


def rows_of(runs, row):
    return runs[runs.model == row]


def test_every_claim_has_a_rule_in_words():
    assert set(CLAIMS) == set(RULES)
    for rule in RULES.values():
        assert rule.says and all(name in registry.EXPERIMENTS for name in rule.experiments), rule.claim


def test_a_small_run_is_never_a_verdict_on_the_paper(monkeypatch, tmp_path):
    """Even on a data set of the paper: only the schedule of profile `paper` counts."""
    monkeypatch.setattr("gonlib.runs.store.recorded_store", lambda: Store(tmp_path))
    monkeypatch.setattr("gonlib.runs.store.local_store", lambda: Store(tmp_path))
    runs = as_published()
    full, part, small = ledger.judge_all(["C1"], runs)[0]
    assert full.verdict == part.verdict == "not yet run"
    assert small.verdict == "holds" and small.label == "holds in small runs"
    text = BeautifulSoup(ledger.verdicts(["C1"], runs | {"settings-length": NO_RUNS}), "html.parser")
    assert [tag.text for tag in text.select(".verdict")] == ["– not judged yet", *["✓ holds in small runs"] * 2]
    text = BeautifulSoup(ledger.verdicts(["C1"], runs), "html.parser")  # the ledger has more to judge it by
    assert [tag.text for tag in text.select(".verdict")] == ["– not judged yet"] and "GON 0.41" in text.details.text
    assert text.details.find("a", href="22-ledger.html#c1")

    def all_full(name, runs=None):
        return NO_RUNS if runs is None else runs, NO_RUNS, NO_RUNS

    monkeypatch.setattr(ledger, "divide", all_full)
    full, part, small = ledger.judge_all(["C1"], runs)[0]
    assert (full.label, part.label, small.label) == ("holds", "not judged yet", "not judged yet")
    states = ["done" if name == "mnist" else "not run" for name in runs["table1"].dataset]
    part = {"table1": runs["table1"].assign(state=states)}
    assert ledger.judge_all(["C1"], part)[0].full.label == "holds on MNIST (1 of 5 data sets)"
    sizes = table({(row, k): error for k in (32, 64) for row, error in (("GON", 1.0), ("AE", 2.0))},
                  names=("model", "latents"))
    sizes = sizes.assign(parameters=[1000 if row == "GON" else 2000 for row in sizes.model],
                         state=["done" if column == "64 latents" else "not run" for column in sizes.column])
    assert ledger.judge_all(["C7"], {"steps-and-gap-latents": sizes})[0].full.label == "holds on 1 of 2 settings"


def test_a_data_set_that_is_not_the_papers_is_never_full_schedule(monkeypatch):
    cells = registry.get("table1").cells("smoke")
    monkeypatch.setattr(Experiment, "cells", lambda self, profile, **overrides: cells)
    assert ledger.full_schedule("table1") == []


def test_every_number_links_to_its_runs():
    verdict = judge("C1", as_published())
    links = BeautifulSoup(verdict.sentence, "html.parser").select("a.number")
    assert len(links) == 20 and all(set(a["data-runs"].split()) <= set(verdict.hashes) for a in links)


def test_a_page_says_in_short_what_the_verdicts_are(monkeypatch, tmp_path):
    monkeypatch.setattr("gonlib.runs.store.recorded_store", lambda: Store(tmp_path))
    monkeypatch.setattr("gonlib.runs.store.local_store", lambda: Store(tmp_path))
    runs = {"table1": table({("GON", "digits"): 1.0, ("1 step, detached", "digits"): 5.0})}
    text = BeautifulSoup(ledger.in_words(["C3", "C17"], runs), "html.parser")
    lines = [line.text for line in text("li")]
    assert lines == ["C3 (detaching hurts) holds in small runs", "C17 (the origin) not judged yet"]
    assert [link["href"] for link in text("a")] == ["22-ledger.html#c3", "22-ledger.html#c17"]
    alone = BeautifulSoup(ledger.in_words(["C17"], runs), "html.parser")
    assert alone.text == "Verdict: C17 (the origin) not judged yet." and not alone("li")


# --- the ledger ---


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_the_ledger_has_every_claim_and_trains_nothing(store):
    made = ledger.ledger("smoke")
    page = BeautifulSoup(made, "html.parser")
    assert [row["id"] for row in page.select(".claim")] == [f"claim-{name}" for name in CLAIMS]
    assert [one.small.verdict for one in made.judgements] == ["not yet run"] * len(CLAIMS)
    assert sum(one.full.scope == "exact" for one in made.judgements) == 1
    assert not list(store.iterdir())


@pytest.mark.slow
def test_the_ledger_takes_the_builds_parameters(store):
    ledger.ledger("smoke", dataset="patches", latents=None)
    with pytest.raises(UserError):
        ledger.ledger("smoke", dataset="nonsense")
