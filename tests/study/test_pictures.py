"""What pages with pictures say of runs: how far they are, and whether they have learned their pictures."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from gonlib.runs.store import Store
from gonlib.study import measures, pictures
from gonlib.study.chapters import implicit
from gonlib.training.config import Config

NOT_RUN = {"column": "32 px", "state": "not run", "run": None, "hash": "b", "config": Config(dataset="mnist")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    config = Config(dataset="shapes", decoder="siren", size=8, hidden=8, layers=2, latents=4, train_images=64,
                    test_images=40, epochs=1)
    store = Store(tmp_path_factory.mktemp("store"))
    implicit.implicit.finish(store.run(config))
    run = store.find(config.replace(epochs=30))
    row = {"column": "shapes", "state": run.status, "run": run, "hash": run.hash, "config": run.config}
    return pd.DataFrame([row | run.metrics | {"state": "growing"}, NOT_RUN])


def test_a_growing_run_is_shown_as_far_as_it_is(runs):
    (run,) = pictures.begun(runs).itertuples()
    assert run.state == "done" and pictures.how_far(run) == "at epoch 1 of 30"
    assert pictures.begun(pd.DataFrame([NOT_RUN])).empty


def test_a_run_that_has_not_learned_is_said_not_to_have(runs, monkeypatch):
    assert pictures.learned(runs.run[0]) == (runs.test_error[0] < pictures.mean_image(runs.run[0]))
    for yard, titled, said in ((0.5, True, True), (1e6, False, False), (None, True, False)):
        monkeypatch.setattr(pictures, "mean_image", lambda run, yard=yard: yard)
        assert [("not learned" in title) for title, _ in pictures.gallery(runs, "images", "reconstructed")] == [titled] * 2
        assert len(pictures.only_learned(runs)) == (yard == 1e6)
        (line,) = pictures.sentences(runs)
        assert ("has not learned" in line) == said
        assert "8 × 8 pixels, SIREN of 2 × 8 units, rate 0.0001, at epoch 1 of 30" in line


def test_what_has_not_learned_is_left_out_beside_what_has(runs, monkeypatch):
    both = pd.concat([runs[:1], runs[:1].assign(column="other", run=SimpleNamespace(folder=runs.run[0].folder))])
    monkeypatch.setattr(pictures, "mean_image", lambda run: 1e6 if run is runs.run[0] else None)
    assert list(pictures.worth_showing(both).column) == ["shapes"]
    assert list(pictures.worth_showing(both[1:]).column) == ["other"]


def test_what_is_not_recorded_is_named_once(runs):
    (line,) = pictures.not_recorded(runs, runs)
    assert line.count("MNIST") == 1 and "shapes" not in line and not pictures.not_recorded(runs[:1])


def test_a_network_smaller_than_the_published_one_is_said_to_count_for_no_verdict(runs):
    (line,) = pictures.smaller(runs)
    assert "the recorded" in line and "SIREN of 2 × 8 units; published: 4 × 256" in line
    published = [config.replace(hidden=256) for config in runs.config]
    assert pictures.smaller(runs.assign(config=published)) == [] == pictures.smaller(runs[1:])


def test_pictures_from_all_over_a_set():
    images = torch.arange(100)
    assert measures.evenly(images, 3).tolist() == [0, 50, 99] and len(measures.evenly(images[:2], 5)) == 2
