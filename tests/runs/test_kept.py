"""Tables and pictures kept with a run."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from gonlib.runs import kept


def never():
    raise AssertionError("computed twice")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 5])
def test_pictures_come_back_as_they_were(tmp_path, channels, count):
    run = SimpleNamespace(folder=tmp_path)
    images = torch.randint(0, 256, (count, channels, 6, 6), dtype=torch.uint8)
    assert kept.pictures(run, "some") is None
    assert torch.equal(kept.pictures(run, "some", lambda: images), images)
    assert torch.equal(kept.pictures(run, "some", never), images)
    assert torch.equal(kept.pictures(run, "floats", lambda: images / 255), images)
    assert kept.pictures(run, "clipped", lambda: images / 255 + 2).min() == 255


def test_tables_come_back_as_they_were(tmp_path):
    run = SimpleNamespace(folder=tmp_path)
    frame = pd.DataFrame({"a": [1.5, 2.0], "b": ["x", "y"]}, index=pd.Index(["slerp", "lerp"], name="path"))
    assert kept.table(run, "some") is None
    pd.testing.assert_frame_equal(kept.table(run, "some", lambda: frame), frame)
    pd.testing.assert_frame_equal(kept.table(run, "some", never), frame)


def test_collected_tables_say_whose_they_are(tmp_path):
    runs = []
    for hash, state in (("a", "done"), ("b", "done"), ("c", "not run")):
        (tmp_path / hash).mkdir()
        run = SimpleNamespace(folder=tmp_path / hash) if state == "done" else None
        runs.append({"row": f"row {hash}", "column": "digits", "hash": hash, "state": state, "run": run})
    assert kept.collected(pd.DataFrame(runs), "some").empty
    kept.table(runs[1]["run"], "some", lambda: pd.DataFrame({"x": [1, 2]}))
    found = kept.collected(pd.DataFrame(runs), "some")
    assert found.drop(columns="run").to_dict("list") == {
        "x": [1, 2], "row": ["row b"] * 2, "column": ["digits"] * 2, "hash": ["b"] * 2, "state": ["done"] * 2}
    assert found.run.tolist() == [runs[1]["run"]] * 2
