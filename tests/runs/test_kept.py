"""Tables and pictures kept with a run."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from conftest import ROOT

from gonlib.errors import UserError
from gonlib.runs import beside, kept
from gonlib.runs.contents import read_kept
from gonlib.runs.store import Store, load_data
from gonlib.training.config import Config
from gonlib.training.evaluation import Evaluation


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = Config(size=8, filters=2, latents=4, train_images=32, test_images=16, epochs=1, batch_size=16)
    return Store(tmp_path_factory.mktemp("store")).run(config)


IMAGES = torch.randint(0, 256, (5, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
FRAME = pd.DataFrame({"a": [1.5, 2.0], "b": ["x", "y"]}, index=pd.Index(["slerp", "lerp"], name="path"))


def some(model, data, config):
    return {"grey": IMAGES[:1, :1], "coloured": IMAGES, "floats": IMAGES / 255, "clipped": IMAGES / 255 + 2, "table": FRAME}


def test_what_is_kept_comes_back_as_it_was(run):
    assert kept.pictures(run, "grey") is None and kept.table(run, "table") is None
    kept.keep(run, some)
    assert torch.equal(kept.pictures(run, "grey"), IMAGES[:1, :1])
    assert torch.equal(kept.pictures(run, "coloured"), IMAGES) and torch.equal(kept.pictures(run, "floats"), IMAGES)
    assert kept.pictures(run, "clipped").min() == 255
    pd.testing.assert_frame_equal(kept.table(run, "table"), FRAME)


def test_it_is_computed_once_and_again_only_if_a_file_is_missing(run):
    calls = []

    def counted(model, data, config):
        calls.append(config)
        return {"one": FRAME, "two": FRAME} if config.latents < 9 else {}

    kept.keep(run, counted)
    kept.keep(run, counted)
    assert len(calls) == 1
    (run.folder / "one-2.csv").unlink()  # whichever was written last
    kept.keep(run, counted)
    assert len(calls) == 2 and kept.table(run, "one") is not None


def test_what_made_it_is_recorded(run):
    kept.keep(run, some)
    record = json.loads((run.folder / "kept.json").read_text())["test_kept.some at step 2"]
    assert record["data"] == run.provenance["data"]["checksum"] and record["source"] == run.provenance["source"]
    assert "grey-2.png" in record["files"]


def test_of_a_run_that_grows_the_newest_up_to_its_point_is_shown(tmp_path):
    for step in (5, 50):
        pd.DataFrame({"step": [step]}).to_csv(tmp_path / f"some-{step}.csv")
    found = [kept.table(SimpleNamespace(folder=tmp_path, metrics={"steps": step}), "some") for step in (4, 5, 49, 70)]
    assert found[0] is None and [frame.step[0] for frame in found[1:]] == [5, 5, 50]


def test_a_damaged_record_is_made_again(run):
    (run.folder / "kept.json").write_text("[1")
    kept.keep(run, some)
    assert "test_kept.some at step 2" in json.loads((run.folder / "kept.json").read_text())


@pytest.mark.parametrize("text, why", [
    ("", "No columns"), (",error\n", "it has no rows"), (",eror\n0,1.5\n", "it has no column error"),
    (",error\n0,<script>\n", "its column error is not what it should be"), (",error\n0,True\n", "is not what it should be"),
])
def test_a_kept_table_that_is_none_is_told_and_costs_only_its_run(run, tmp_path, capsys, text, why):
    path = run.folder / f"mean-image-{run.metrics['steps']}.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=f"the run in .* is damaged.*{why}"):
        kept.table(run, "mean-image")
    runs = pd.DataFrame([{"run": run, "state": "done", "row": "a"}])
    assert kept.collected(runs, "mean-image").empty and "is damaged" in capsys.readouterr().err
    path.unlink()


def test_the_book_s_own_kept_tables_are_as_pages_need_them():
    found = list((ROOT / "book" / "results").glob("*/*-*.csv"))
    for path in found:
        read_kept(path, path.name.rpartition("-")[0])
    assert len(found) > 10


def test_collected_tables_say_whose_they_are(tmp_path):
    runs = []
    for hash, state in (("a", "done"), ("b", "done"), ("c", "not run")):
        (tmp_path / hash).mkdir()
        run = SimpleNamespace(folder=tmp_path / hash, metrics={"steps": 9}) if state == "done" else None
        runs.append({"row": f"row {hash}", "column": "digits", "hash": hash, "state": state, "run": run})
    assert kept.collected(pd.DataFrame(runs), "some").empty
    pd.DataFrame({"x": [1, 2]}).to_csv(runs[1]["run"].folder / "some-9.csv")
    found = kept.collected(pd.DataFrame(runs), "some")
    assert found.drop(columns="run").to_dict("list") == {
        "x": [1, 2], "row": ["row b"] * 2, "column": ["digits"] * 2, "hash": ["b"] * 2, "state": ["done"] * 2}
    assert found.run.tolist() == [runs[1]["run"]] * 2


def test_it_is_computed_in_the_arithmetic_of_training(run, monkeypatch):
    monkeypatch.setattr(Evaluation, "__call__", lambda self: {"error": float(torch.backends.cudnn.allow_tf32)})

    def precision(model, data, config):
        return {"precision": pd.DataFrame({"tf32": [torch.backends.cudnn.allow_tf32]})}

    kept.keep(run, precision)
    assert not kept.table(run, "precision").tf32[0]
    assert beside.measure(run, load_data(run.config, "cpu"), "cpu")["test_error"] == 0
    assert torch.backends.cudnn.allow_tf32
