"""Merging: the longer history takes the shorter one's place, what differs is reported, and the order does not matter."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gonlib import files
from gonlib.runs.store import Store
from gonlib.training.config import Config

TINY = Config(size=8, filters=2, latents=4, train_images=96, test_images=40, batch_size=16, learning_rate=1e-2, epochs=2)
ASKED = {
    "a short one": TINY.replace(epochs=1), "a longer one": TINY.replace(epochs=3), "the longest": TINY.replace(epochs=4),
    "in mid-epoch": TINY.replace(epochs=9, steps=9), "another look": TINY.replace(epochs=3, evaluation="population"),
    "with pictures": TINY.replace(snapshots=True), "another seed": TINY.replace(seed=1),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store for each of ASKED."""
    root = tmp_path_factory.mktemp("stores")
    made = {name: Store(root / name) for name in ASKED}
    for name, store in made.items():
        store.run(ASKED[name])
    return made


def copied(store, folder):
    shutil.copytree(store.root, folder)
    return Store(folder)


def tree(store):
    """What a store knows: every file but times and the provenance of equal runs."""
    found = {}
    for path in sorted(store.root.rglob("*")):
        if path.is_file() and path.name != "provenance.json":
            name, content = str(path.relative_to(store.root)), path.read_bytes()
            if path.suffix == ".csv":
                content = pd.read_csv(path).drop(columns=["seconds"], errors="ignore").to_dict("list").__repr__()
            elif path.name == "metrics.json":
                content = {k: v for k, v in json.loads(content).items() if "seconds" not in k}
            found[name] = len(content) if path.name == "checkpoint.safetensors" else content
    return found


def test_snapshots_have_the_times_of_the_history_that_stays(stores, tmp_path):
    further = Store(tmp_path / "further")
    run = further.run(TINY.replace(snapshots=True, epochs=9, steps=15))  # with as many snapshots
    here = copied(stores["with pictures"], tmp_path / "here")
    assert (run.folder / "snapshots.csv").read_text() != (here.root / TINY.hash / "snapshots.csv").read_text()
    times = (run.folder / "snapshots.csv").read_text()
    assert here.merge(further.root).grown == [TINY.hash]
    assert (here.root / TINY.hash / "snapshots.csv").read_text() == times


def test_the_longer_history_takes_the_shorter_one_s_place(stores, tmp_path):
    here = copied(stores["a short one"], tmp_path / "here")
    report = here.merge(stores["the longest"].root)
    assert (report.grown, report.copied, report.clean) == ([TINY.hash], [], True)
    run = here.find(ASKED["the longest"])
    assert run.complete and run.has_weights and here.find(ASKED["a short one"]).has_weights
    assert here.run(TINY.replace(epochs=5)).metrics["epochs"] == 5  # its checkpoint came too
    back = copied(stores["the longest"], tmp_path / "back")
    report = back.merge(stores["a short one"].root)
    assert (report.identical, report.grown) == ([TINY.hash], [])
    assert back.find(ASKED["the longest"]).complete


def test_into_the_book_go_numbers_and_no_checkpoints(stores, tmp_path):
    here = Store(tmp_path)
    here.merge(stores["the longest"].root, weights=False, checkpoints=False)
    assert {path.name for path in here.folder(TINY).iterdir()} == {
        "config.json", "history.csv", "metrics.json", "provenance.json"}
    assert here.find(ASKED["a longer one"]).complete


def test_a_run_that_is_not_what_the_other_began_with_is_a_conflict(stores, tmp_path):
    here, other = copied(stores["a short one"], tmp_path / "here"), copied(stores["the longest"], tmp_path / "other")
    history = other.folder(TINY) / "history.csv"
    pd.read_csv(history).assign(test_error=lambda table: table.test_error * 1.01).to_csv(history, index=False)
    before = tree(here)
    report = here.merge(other.root)
    assert (report.conflicts, report.clean) == ([TINY.hash], False) and tree(here) == before
    assert "a different result is here, kept" in str(report)


def test_other_machines_may_round_otherwise(stores, tmp_path):
    here, other = copied(stores["a short one"], tmp_path / "here"), copied(stores["the longest"], tmp_path / "other")
    history = other.folder(TINY) / "history.csv"
    pd.read_csv(history).assign(test_error=lambda table: table.test_error * 1.0001).to_csv(history, index=False)
    assert here.merge(other.root).grown == [TINY.hash]


def test_runs_on_other_data_are_a_conflict(stores, tmp_path):
    here, other = copied(stores["a short one"], tmp_path / "here"), copied(stores["the longest"], tmp_path / "other")
    path = other.folder(TINY) / "provenance.json"
    path.write_text(path.read_text().replace('"checksum": "', '"checksum": "0'))
    assert here.merge(other.root).conflicts == [TINY.hash]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(sorted(ASKED)), min_size=1, max_size=4), data=st.data())
def test_merging_is_idempotent_and_its_order_does_not_matter(stores, tmp_path_factory, names, data):
    order = data.draw(st.permutations(names))
    one, other = (Store(tmp_path_factory.mktemp("merged") / "store") for _ in range(2))
    for store, sequence in ((one, names), (other, order)):
        for name in sequence:
            assert store.merge(stores[name].root).clean
    assert tree(one) == tree(other)
    before = tree(one)
    for name in names:
        assert one.merge(stores[name].root).clean
    assert one.merge(Path(other.root)).clean and tree(one) == before
    assert all(one.find(ASKED[name]).complete for name in names)


def test_a_run_that_is_being_trained_here_is_left_alone(stores, tmp_path):
    here = copied(stores["a short one"], tmp_path / "here")
    before = tree(here)
    with files.locked(here.folder(TINY), files.busy):
        report = here.merge(stores["the longest"].root)
    assert (report.busy, report.grown, report.clean) == ([TINY.hash], [], False) and tree(here) == before
    assert "another process is just training it here, left out: merge again" in str(report)
    assert here.merge(stores["the longest"].root).grown == [TINY.hash]
    assert not (here.folder(TINY) / "lock").exists()


def test_a_damaged_run_here_is_named_and_the_others_are_taken(stores, tmp_path):
    here = copied(stores["a short one"], tmp_path / "here")
    (here.folder(TINY) / "metrics.json").write_text("{")
    here_too = copied(stores["another seed"], tmp_path / "other")
    here_too.merge(stores["the longest"].root)
    report = here.merge(here_too.root)
    assert (report.damaged, report.copied) == ([TINY.hash], [TINY.replace(seed=1).hash])
    assert f"the run in {here.folder(TINY)} is damaged" in str(report)
