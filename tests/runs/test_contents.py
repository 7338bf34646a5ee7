"""What a run's folder holds is checked before it is believed, and one that cannot be read costs only itself."""

import json
import os
import shutil

import pandas as pd
import pytest
from harm import FEW, MANY, harmed, replaced
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from gonlib import files
from gonlib.book import cards
from gonlib.errors import UserError
from gonlib.method import tensors
from gonlib.runs import contents, journal, kept
from gonlib.runs.contents import Unreadable
from gonlib.runs.store import Store, find_readable, find_run
from gonlib.study import status
from gonlib.study.experiment import Cell, collect
from gonlib.training.config import Config

TINY = Config(size=8, filters=2, latents=4, train_images=32, test_images=16, batch_size=16, epochs=3, snapshots=True)
OTHER = TINY.replace(seed=1)


def beside(model, data, config):
    return {"a": pd.DataFrame({"x": [1, 2]}), "b": data.test[:2]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store of two runs, each with everything that a folder can hold."""
    store = Store(tmp_path_factory.mktemp("store"))
    for config in (TINY, OTHER):
        kept.keep(store.run(config), beside)
        store.run(config.replace(evaluation="population"))
    return store


@pytest.fixture
def store(trained, tmp_path):
    shutil.copytree(trained.root, tmp_path / "store")
    return Store(tmp_path / "store")


def use(store, config=TINY):
    """Everything that a page may ask of a run."""
    run = journal.find(store.folder(config), config)
    seen = run.status, run.metrics, run.history, run.numbers, run.snapshots, run.summary(), run.same_numbers, repr(run)
    return seen, run.load_model(), kept.table(run, "a"), kept.pictures(run, "b")


def change(folder, name, **fields):
    """Change a JSON file; a field of None is left out."""
    values = json.loads((folder / name).read_text()) | fields
    (folder / name).write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def stretch(folder, **fields):
    made = json.loads((folder / "provenance.json").read_text())
    change(folder, "provenance.json", stretches=[made["stretches"][0] | fields])


DAMAGES = {
    "metrics: a number as text": lambda f: change(f, "metrics.json", steps="6"),
    "metrics: a flag as number": lambda f: change(f, "metrics.json", epochs=True),
    "metrics: a negative number": lambda f: change(f, "metrics.json", images=-1),
    "metrics: no images": lambda f: change(f, "metrics.json", images=0),
    "metrics: no channels": lambda f: change(f, "metrics.json", channels=None),
    "metrics: a list as error": lambda f: change(f, "metrics.json", test_error=[1]),
    "metrics: infinite": lambda f: change(f, "metrics.json", test_error=float("inf")),
    "metrics: beyond all numbers": lambda f: change(f, "metrics.json", steps=10**30),
    "metrics: another status": lambda f: change(f, "metrics.json", status="fine"),
    "metrics: a list as message": lambda f: change(f, "metrics.json", message=["<script>"]),
    "provenance: a list as source": lambda f: stretch(f, source=["<script>"]),
    "provenance: a number as device": lambda f: stretch(f, device=3),
    "provenance: versions as text": lambda f: stretch(f, versions="2.11"),
    "provenance: no version of torch": lambda f: stretch(f, versions={}),
    "provenance: no time": lambda f: stretch(f, wall_seconds="long"),
    "provenance: nobody": lambda f: stretch(f, at_once=0),
    "provenance: no stretches": lambda f: change(f, "provenance.json", stretches=[]),
    "provenance: data as text": lambda f: change(f, "provenance.json", data="digits"),
    "provenance: a checksum of another kind": lambda f: change(f, "provenance.json", data={"name": "x", "checksum": 3}),
    "config: too large": lambda f: (f / "config.json").write_bytes(b" " * (contents.LARGEST + 1)),
    "history: emptied": lambda f: (f / "history.csv").write_bytes(b""),
    "history: no rows": lambda f: (f / "history.csv").write_text("\n"),
    "history: only a head": lambda f: (f / "history.csv").write_text("epoch,step,seconds,train_loss\n"),
    "history: rows lost": lambda f: (f / "history.csv").write_text(
        "".join((f / "history.csv").read_text().splitlines(True)[:-1])),
    "history: a text": lambda f: (f / "history.csv").write_text("epoch,step,seconds,train_loss\n1,2,3,much\n"),
    "history: infinite": lambda f: (f / "history.csv").write_text("epoch,step,seconds,train_loss\n1,2,3,inf\n"),
    "history: no steps": lambda f: (f / "history.csv").write_text("epoch,seconds\n1,2\n"),
    "history: backwards": lambda f: (f / "history.csv").write_text(
        "epoch,step,seconds,train_loss\n2,4,1,1\n1,2,1,1\n3,6,1,1\n"),
    "history: a folder": lambda f: ((f / "history.csv").unlink(), (f / "history.csv").mkdir()),
    "measured: another look": lambda f: (f / "measured.csv").write_text(
        "epoch,step,evaluation,free_steps\n1,2,<script>,100\n"),
    "measured: no step": lambda f: (f / "measured.csv").write_text("epoch,evaluation\n1,batch\n"),
    "snapshots: no step": lambda f: (f / "snapshots.csv").write_text("seconds\n1\n"),
    "snapshots: a pipe": lambda f: ((f / "snapshots.csv").unlink(), os.mkfifo(f / "snapshots.csv")),
    "pictures: too few": lambda f: tensors.write(f / "snapshots.safetensors", {
        "snapshots": load_file(f / "snapshots.safetensors")["snapshots"][:1]}),
    "pictures: others": lambda f: tensors.write(f / "snapshots.safetensors", {
        "snapshots": load_file(f / "snapshots.safetensors")["snapshots"].float()}),
    "kept table": lambda f: (f / "a-6.csv").write_bytes(b"\xff\xfe\0"),
    "kept pictures": lambda f: (f / "b-6.png").write_bytes(b"\x89PNG"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_one_sentence_and_costs_only_its_run(damage, store, capsys):
    DAMAGES[damage](store.folder(TINY))
    with pytest.raises(Unreadable, match=f"the run in .*{TINY.hash} is damaged: delete that folder") as told:
        use(store)
    assert "\n" not in str(told.value) and len(str(told.value)) < 600
    use(store, OTHER)
    found = collect([Cell({}, "row", "column", (TINY, OTHER))], [store])
    assert found.state.iloc[1] == "done"


def test_what_a_stranger_has_added_goes_no_further(store):
    """Neither into cards nor into tables: a text where numbers are counted on, or megabytes of them."""
    folder = store.folder(TINY)
    change(folder, "metrics.json", note="<script>")
    change(folder, "provenance.json", data=store.find(TINY).data | {"note": "<script>"})
    stretch(folder, note=["<script>"])
    for name in ("history.csv", "measured.csv", "snapshots.csv"):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join([f"{lines[0]},note", *(f"{line},=<script>" for line in lines[1:])]) + "\n")
    run = store.find(TINY)
    use(store)
    assert "script" not in str([run.end, run.data, run.stretches, run.history.to_csv(), run.numbers, run.snapshots])
    assert "script" not in json.dumps(cards.card(run, None))


def test_a_run_that_cannot_be_read_is_a_row_of_its_own(store, trained, capsys):
    change(store.folder(TINY), "metrics.json", steps="6")
    (row,) = status.status([(type("E", (), {"name": "e", "title": "t"}), [Cell({}, "r", "c", (TINY, OTHER))])],
                           [store])["experiments"][0]["cells"]
    assert [run["state"] for run in row["runs"]] == ["unreadable", "done"] and row["state"] == "unreadable"
    assert capsys.readouterr().err.count(f"{TINY.hash} is damaged") == 1
    assert [run.hash for run in store.runs()] == [OTHER.hash]
    assert find_readable(TINY, [store]) is None
    with pytest.raises(Unreadable):
        find_run(TINY, [store])
    assert find_run(TINY, [store, trained]).folder.parent == trained.root  # another store has it whole


@pytest.mark.parametrize("name", ["weights-6.safetensors", "snapshots.safetensors"])
def test_flipped_numbers_are_found(name, store):
    path = store.folder(TINY) / name
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(Unreadable, match=f"{name}: its SHA-256 is not that of what it holds"):
        use(store)


def test_weights_of_older_versions_have_no_hash_and_are_read(store):
    from safetensors.torch import save_file

    path = store.folder(TINY) / "weights-6.safetensors"
    save_file(load_file(path), path)
    use(store)


def test_what_was_kept_is_made_again_if_its_record_is_none(store):
    folder = store.folder(TINY)
    for text in ("[1]", "{", '{"a": 1}', '{"a": {"files": "x"}}', '{"a": {"files": ["../x"], "source": "", "data": ""}}'):
        (folder / "kept.json").write_text(text)
        assert contents.read_record(folder) == {}
    good = {"files": ["x.csv"], "source": "1", "data": "2"}
    (folder / "kept.json").write_text(json.dumps({"good": good, "bad": 3}))
    assert contents.read_record(folder) == {"good": good}


def test_a_run_that_another_process_is_just_finishing_is_not_called_damaged(store, monkeypatch):
    """Between two files that a reader opens, the writer may have replaced both."""
    folder, read = store.folder(TINY), contents.read_provenance
    calls = []

    def interrupted(place):
        if not calls:
            calls.append(1)
            files.write_json(folder / "metrics.json", json.loads((folder / "metrics.json").read_text()))
            raise contents.damaged(place)
        return read(place)

    monkeypatch.setattr("gonlib.runs.run.read_provenance", interrupted)
    assert journal.find(folder).status == "done"


def test_weights_that_a_training_replaces_while_they_are_read(store, monkeypatch):
    def gone(folder, name):
        (folder / name).unlink()
        raise contents.damaged(folder)

    run = store.find(TINY)
    assert run.status == "done"  # it has read its pictures
    monkeypatch.setattr("gonlib.runs.run.read_tensors", gone)
    with pytest.raises(Unreadable, match="another process is just training run .*: ask again") as told:
        run.load_model()
    assert "delete" not in str(told.value)


def check_harm(trained, folder, data):
    """Harm one file of a run: then it is a sentence, or what is read can be used like any other."""
    name = data.draw(st.sampled_from(sorted(path.name for path in trained.folder(TINY).iterdir())))
    shutil.copytree(trained.folder(TINY), folder / TINY.hash)
    path = folder / TINY.hash / name
    if path.suffix == ".json" and data.draw(st.booleans()):
        path.write_text(json.dumps(replaced(data, json.loads(path.read_text()))))
    else:
        path.write_bytes(data.draw(harmed(path.read_bytes())))
    try:
        use(Store(folder))
    except UserError as told:
        assert "\n" not in str(told) and TINY.hash in str(told)
    try:
        report = Store(folder / "into").merge(folder)
        assert (report.copied == [TINY.hash]) != bool(report.damaged or report.refused)
        str(report)
    except UserError as told:
        assert "\n" not in str(told)


@pytest.mark.unchecked
@settings(FEW, max_examples=25)
@given(data=st.data())
def test_harmed_runs(data, trained, tmp_path_factory):
    check_harm(trained, tmp_path_factory.mktemp("harmed"), data)


@pytest.mark.nightly
@pytest.mark.unchecked
@MANY
@given(data=st.data())
def test_thousands_of_harmed_runs(data, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("harmed")
    check_harm(trained, folder, data)
    shutil.rmtree(folder)
