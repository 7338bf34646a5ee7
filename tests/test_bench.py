"""Measuring: rows and columns, ratios, memory, goals; and what the page on speed makes of a recorded table."""

import json

import matplotlib
import pandas as pd
import pytest
import torch

from gonlib import cli
from gonlib.bench import encoding, goals, measure, steps, timing
from gonlib.bench import recorded as speed
from gonlib.data import as_float
from gonlib.method.models import build
from gonlib.runs import provenance
from gonlib.training.config import Config

matplotlib.use("agg")
ROW = dict.fromkeys(timing.COLUMNS, 1.0)


def rows(*found):
    """A table of (case, variant, batch, ms) as measured on the CPU."""
    fields = ("case", "variant", "batch", "ms")
    return pd.DataFrame([ROW | dict(zip(fields, row, strict=True)) | {"device": "cpu"} for row in found])[timing.COLUMNS]


def test_works_take_turns_and_their_medians_are_of_single_calls(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def work(name, seconds):
        def call():
            calls.append(name)
            clock[0] += seconds

        return call

    found = timing.interleaved({"slow": work("slow", 0.04), "fast": work("fast", 0.01)}, "cpu", seconds=0.3)
    assert found["slow"] == pytest.approx((40, 0))
    assert found["fast"] == pytest.approx((10, 0))
    assert "".join(name[0] for name in calls) == "ss" + "ff" + "sff" * 5  # warm-up, one timed call, then turns


def test_peak_memory_is_what_a_call_adds():
    kept = torch.ones(2**20)
    peak = timing.peak_mib(lambda: (kept + 1).mul(2).sum(), "cpu")
    assert 8 <= peak < 8.1


def test_a_step_is_measured_in_all_variants(monkeypatch):
    monkeypatch.setitem(steps.CASES, "tiny", (1, {"size": 8, "latents": 4, "filters": 2}))
    (found,) = steps.steps("cpu", ["tiny"], (4,), seconds=0.01)
    assert [row["variant"] for row in found] == ["reference", "exact", "decoder alone"]
    assert all(list(row) == timing.COLUMNS and row["ms"] > 0 and row["peak_mib"] > 0 for row in found)
    assert found[0]["times_faster_than_reference"] == 1
    step = steps.step_of("exact", "tiny", 4, "cpu")
    before = [p.clone() for p in step.run.model.parameters()]
    for _ in range(9):  # more than an epoch
        step()
    assert step.run.done == 9
    assert any(not torch.equal(a, b) for a, b in zip(before, step.run.model.parameters(), strict=True))


def test_the_matrix_encodes_like_the_model():
    model = build(Config(size=8, latents=4, filters=2), 1).eval()
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    with model.evaluating("population"):
        expected = model.encode(as_float(images))
    found = encoding._by_matrix(model)(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_several_at_once_are_for_a_gpu():
    assert list(steps.at_once("cpu")) == []


def test_goals_compare_the_fastest_form():
    case = "training step: conv 32/16"
    table = rows((case, "reference", 64, 30), (case, "exact", 64, 20), (case, "exact, compiled", 64, 10),
                 (case, "autoencoder, compiled", 64, 8))
    found = {words: (value, least) for words, value, least in goals.goals(table)}
    assert found == {"conv 32/16 step against the reference": (3.0, 2.0),
                     "conv 32/16 step against the autoencoder, both compiled": (0.8, 1 / 1.1)}


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A checkout in which `bench --record` was run with a table made by hand."""
    made = [("training step: conv 32/16", "reference", 64, 30.0), ("training step: conv 32/16", "exact", 64, 12.0)]
    made += [(f"{scale} {at}: conv 32/16", v, 64, ms * at) for scale in ("image size", "batch") for at in (32, 64)
             for v, ms in (("reference", 2.0), ("exact", 1.0))]
    monkeypatch.setattr(measure, "measure", lambda device: rows(*made))
    monkeypatch.setattr(provenance, "repository_root", lambda: tmp_path)
    return tmp_path


def test_the_command_writes_and_records(recorded, capsys):
    out = recorded / "out" / "bench.csv"
    assert cli.main(["bench", "--out", str(out), "--record"]) == 0
    printed = capsys.readouterr().out
    assert "met     conv 32/16 step against the reference: 2.50 times faster, wanted 2.00" in printed
    copy = recorded / "book" / "results" / "bench-cpu.csv"
    assert copy.read_text() == out.read_text()
    assert list(pd.read_csv(out).columns) == timing.COLUMNS
    facts = json.loads(copy.with_suffix(".json").read_text())
    assert {"device", "cores", "threads", "versions", "load", "seconds", "source", "started"} == set(facts)
    assert facts["versions"]["torch"] in speed.conditions("cpu")
    html = speed.table("cpu", "training step").to_html()
    assert "30.0 ± 1.0" in html and "fast form" in html
    assert speed.ratio("cpu", "training step: conv 32/16", 64, "reference", "exact") == "2.5"
    assert [ax.get_title() for ax in speed.plot_scaling("cpu").axes] == ["conv 32/16", "conv 32/16"]


def test_what_was_not_measured_says_so(recorded):
    assert speed.conditions("cuda") == "GPU: not measured yet."
    assert speed.table("cuda", "training step") is None and speed.in_short() == []
    assert speed.ratio("cuda", "training step: conv 32/16", 64, "reference", "exact") == "not measured yet"
    assert speed.plot_scaling("cuda") is None


def test_a_ratio_is_said_in_words():
    assert [speed._ratio(x) for x in (1.0, 2.5, 0.0069, 7700.4)] == ["", "2.5", "1/145", "7,700"]


def test_a_missing_gpu_is_told(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["bench", "--device", "cuda"]) == 2
    assert "no CUDA device is available" in capsys.readouterr().err


@pytest.mark.parametrize("out, said", [("", "an empty path was given"), ("a.json", "ends in .csv, not a.json"),
                                       ("folder.csv", "ends in .csv"), ("file/x.csv", "file is already there"),
                                       ("file/x/y.csv", "a file where a folder should be")])
def test_where_the_table_cannot_be_written_is_told_before_anything_is_measured(tmp_path, monkeypatch, capsys, out, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(measure, "measure", lambda device: pytest.fail("it measures"))
    assert cli.main(["bench", "--out", out]) == 2
    told = capsys.readouterr()
    assert told.out == "" and said in told.err and told.err.count("\n") == 1
