"""Migration: stores of the layout before runs grew become today's, and no number is lost."""

import hashlib
import json

import pandas as pd
import pytest
from safetensors.torch import save_file

from gonlib import cli
from gonlib.errors import UserError
from gonlib.runs import migration
from gonlib.runs.merging import merge_run
from gonlib.runs.migration import migrate
from gonlib.runs.store import Store
from gonlib.training import checkpoint
from gonlib.training.config import Config

TINY = Config(size=8, filters=2, latents=4, train_images=96, test_images=40, batch_size=16, learning_rate=1e-2, epochs=2)
GLO = TINY.replace(inference="free")


def as_of_old(run, root, stretch="", **changes):
    """A finished run as it was stored before: its name from all fields, a row of history per epoch."""
    fields = {k: v for k, v in (run.config.to_dict() | changes).items() if v != getattr(Config(), k)}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    folder = root / (hashlib.sha256(text.encode()).hexdigest()[:16] + stretch)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(text + "\n")
    history = run.history.copy()
    if run.config.look != Config().look:  # each row was measured so; here only the last one was
        errors = [name for name in history if name.startswith(("train_e", "test_"))]
        history[errors] = float("nan")
        history.loc[history.index[-1], errors] = [run.metrics[name] for name in errors]
    history.to_csv(folder / "history.csv", index=False, float_format="%.7g")
    made = {k: v for k, v in run.provenance.items() if k not in ("from", "to", "numerics")}
    (folder / "provenance.json").write_text(json.dumps(made | {"earlier": []}))
    (folder / "metrics.json").write_text(json.dumps(run.metrics))
    return folder


def unfinished(run, root):
    """A run that was stopped, as it was then: a checkpoint without a digest in a folder `.partial`."""
    folder = as_of_old(run, root, ".partial", epochs=run.config.epochs + 5)
    tensors, meta = checkpoint.read(run.folder / "checkpoint.safetensors")
    history = run.history.to_dict("records")
    old = {"done": meta["done"], "seconds": meta["seconds"], "history": history, "snaps": []}
    save_file(tensors, folder / "checkpoint.safetensors", {"state": json.dumps(old)})
    for name in ("metrics.json", "history.csv"):
        (folder / name).unlink()
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Today's runs, to be dressed up as old ones."""
    store = Store(tmp_path_factory.mktemp("made"))
    for config in (TINY, TINY.replace(epochs=4), TINY.replace(evaluation="population"), GLO, GLO.replace(free_steps=5)):
        store.run(config)
    return store


def test_runs_of_one_trajectory_become_one_and_every_number_stays(made, tmp_path):
    wanted = [TINY, TINY.replace(epochs=4), TINY.replace(evaluation="population"), GLO, GLO.replace(free_steps=5)]
    for config in wanted:
        folder = as_of_old(made.find(config), tmp_path)
    (folder / "samples.png").write_bytes(b"pictures")
    found = migrate(tmp_path)
    assert found[0] == "5 runs became 2; every number was compared." and len(found) == 4
    assert {path.name for path in tmp_path.iterdir()} == {TINY.hash, GLO.hash}
    for config in wanted:
        run, expected = Store(tmp_path).find(config), made.find(config)
        assert run.status == "done" and run.same_numbers
        for key in ("train_loss", "train_error", "test_error"):
            assert run.metrics[key] == pytest.approx(expected.metrics[key], rel=2e-6)
        pd.testing.assert_frame_equal(run.history.filter(regex="_"), expected.history.filter(regex="_"), rtol=2e-6)
    assert (tmp_path / GLO.hash / "samples-12.png").read_bytes() == b"pictures"
    assert migrate(tmp_path) == [f"{tmp_path} holds no run of the old layout."]


def test_an_unfinished_run_goes_on_to_the_same_result(made, tmp_path):
    unfinished(made.find(TINY.replace(epochs=4)), tmp_path / "old")
    migrate(tmp_path / "old")
    store = Store(tmp_path / "old")
    assert store.find(TINY.replace(epochs=4)).metrics["epochs"] == 4
    grown, once = store.run(TINY.replace(epochs=6)), Store(tmp_path / "once").run(TINY.replace(epochs=6))
    pd.testing.assert_frame_equal(grown.history.filter(regex="_"), once.history.filter(regex="_"), rtol=2e-6)
    assert all(a.equal(b) for a, b in zip(*(r.load_model().state_dict().values() for r in (grown, once)), strict=True))


def test_a_run_that_failed_stays_failed(tmp_path):
    bad = TINY.replace(variational=True, likelihood="bernoulli", learning_rate=100.0)
    run = Store(tmp_path / "new").run(bad)
    folder = as_of_old(run, tmp_path / "old")
    (folder / "metrics.json").write_text(json.dumps(run.metrics | {"message": run.message, "steps": 6}))
    migrate(tmp_path / "old")
    found = Store(tmp_path / "old").find(bad)
    assert (found.status, found.message, found.metrics["epochs"]) == ("failed", run.message, 0)


def test_where_two_lengths_do_not_agree_nothing_is_touched(made, tmp_path):
    as_of_old(made.find(TINY.replace(epochs=4)), tmp_path)
    folder = as_of_old(made.find(TINY), tmp_path)
    history = pd.read_csv(folder / "history.csv")
    history.assign(test_error=history.test_error * 1.2).to_csv(folder / "history.csv", index=False)
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*")}
    with pytest.raises(UserError, match="nothing was migrated: .* differ .*test_error at step 6.* move one of them away"):
        migrate(tmp_path)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_small_differences_of_rounding_are_said_and_both_numbers_kept(made, tmp_path):
    as_of_old(made.find(TINY.replace(epochs=4)), tmp_path)
    folder = as_of_old(made.find(TINY), tmp_path)
    metrics, history = json.loads((folder / "metrics.json").read_text()), pd.read_csv(folder / "history.csv")
    history.assign(test_error=history.test_error * 1.0002).to_csv(folder / "history.csv", index=False)
    (folder / "metrics.json").write_text(json.dumps(metrics | {"test_error": metrics["test_error"] * 1.0002}))
    found = migrate(tmp_path)
    assert "test_error at step 12 is" in found[1] and "both are kept" in found[1]
    run = Store(tmp_path).find(TINY)
    assert run.metrics["test_error"] == pytest.approx(metrics["test_error"] * 1.0002, rel=1e-6)


def test_stopped_after_everything_was_compared_it_goes_on(made, tmp_path, monkeypatch):
    for config in (TINY, GLO):
        as_of_old(made.find(config), tmp_path)

    def interrupted(new, here, report):
        if here.parent == tmp_path:
            raise KeyboardInterrupt
        merge_run(new, here, report)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(migration, "merge_run", interrupted)
        migrate(tmp_path)
    migrate(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {TINY.hash, GLO.hash}


def test_from_the_command_line(made, tmp_path, capsys):
    as_of_old(made.find(TINY), tmp_path)
    assert cli.main(["migrate", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 runs became 1; every number was compared.\n"
    assert cli.main(["migrate", str(tmp_path / "nowhere")]) == 2


def test_old_stores_and_packs_can_be_merged(made, tmp_path):
    unfinished(made.find(TINY.replace(epochs=4)), tmp_path / "old")
    as_of_old(made.find(GLO), tmp_path / "old")
    store = Store(tmp_path / "new")
    report = store.merge(tmp_path / "old")
    assert report.clean and sorted(report.copied) == sorted([TINY.hash, GLO.hash])
    assert "2 runs became 2; every number was compared." in str(report)
    assert store.run(TINY.replace(epochs=5)).stretches[0]["from"] == 0 and store.find(GLO).complete


def test_a_run_of_the_old_layout_is_not_called_damaged(made, tmp_path):
    as_of_old(made.find(TINY), tmp_path)
    with pytest.raises(UserError, match="is of an older version of gonlib: python -m gonlib migrate"):
        Store(tmp_path).runs()


def test_what_drew_other_random_numbers_at_evaluation_is_marked(tmp_path):
    config = TINY.replace(variational=True, likelihood="bernoulli")
    as_of_old(Store(tmp_path / "new").run(config), tmp_path / "old")
    migrate(tmp_path / "old")
    assert not Store(tmp_path / "old").find(config).same_numbers


@pytest.mark.parametrize("name, text", [("provenance.json", "{"), ("metrics.json", "[]"), ("history.csv", "a,b\n1\n"),
                                        ("config.json", '{"latents": "many"}')])
@pytest.mark.unchecked
def test_a_damaged_run_of_the_old_layout_does_not_stop_the_others(made, tmp_path, name, text):
    good, bad = as_of_old(made.find(TINY), tmp_path / "old"), as_of_old(made.find(GLO), tmp_path / "old")
    (bad / name).write_text(text)
    report = Store(tmp_path / "store").merge(tmp_path / "old")
    assert (report.copied, report.damaged) == ([TINY.hash], [bad.name]) and good.is_dir()
