"""A run grows: in parts it is the run made at once, and it answers for every point that it has passed."""

import itertools
import math
import time

import numpy as np
import pandas as pd
import pytest
import torch
from datafiles import example, put
from PIL import Image
from safetensors.torch import load_file

from gonlib.data.datasets import load
from gonlib.errors import UserError
from gonlib.method.model import Model
from gonlib.method.models import MODELS
from gonlib.runs import store as stores
from gonlib.runs.run import Point
from gonlib.runs.store import Store, find_run
from gonlib.study import status
from gonlib.training import loop
from gonlib.training.config import Config
from gonlib.training.evaluation import evaluate

TINY = Config(size=8, filters=2, latents=4, hidden=8, layers=2, train_images=96, test_images=40, batch_size=16,
              learning_rate=1e-2, epochs=2)
GLO = TINY.replace(inference="free", free_steps=3)


def numbers(run):
    """What must not depend on how the run came about: history without times, weights, numbers."""
    history = run.history.drop(columns=["seconds"])
    return history, {k: v for k, v in run.metrics.items() if "seconds" not in k}, load_file(run.weights_file)


def assert_same(run, other):
    for mine, theirs in zip(numbers(run), numbers(other), strict=True):
        if isinstance(mine, pd.DataFrame):
            pd.testing.assert_frame_equal(mine, theirs, check_exact=True)
        elif all(isinstance(value, torch.Tensor) for value in mine.values()):
            assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
        else:
            assert mine == theirs


@pytest.fixture
def nothing_is_trained(monkeypatch):
    return lambda: monkeypatch.setattr(loop, "train", lambda *_, **__: pytest.fail("it is trained again"))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_grown_it_is_the_run_made_at_once(name, tmp_path):
    config = TINY.replace(**MODELS[name], **({"kl_anneal": 4} if "V" in name else {}))
    grown = Store(tmp_path / "grown")
    for epochs in (1, 2, 5):
        run = grown.run(config.replace(epochs=epochs))
        assert run.status == "done" and run.metrics["epochs"] == epochs and run.reached == run.asked
    assert_same(run, Store(tmp_path / "once").run(config.replace(epochs=5)))
    assert [(s["from"], s["to"]) for s in run.stretches] == [(0, 30)]
    assert len(list(tmp_path.glob("grown/*"))) == 1


def test_what_it_has_passed_is_answered_without_training(tmp_path, nothing_is_trained):
    made, first = Store(tmp_path), Store(tmp_path).run(TINY)
    made.run(TINY.replace(epochs=5))
    nothing_is_trained()
    again = made.run(TINY)
    assert (again.status, again.complete, again.reached, again.asked) == ("done", True, Point(5, 30), Point(2, 12))
    errors = ["train_loss", "train_error", "test_error"]
    assert [again.metrics[key] for key in errors] == pytest.approx([first.metrics[key] for key in errors], rel=1e-6)
    assert (again.metrics["epochs"], again.metrics["steps"]) == (2, 12)
    pd.testing.assert_frame_equal(again.history, first.history, rtol=1e-6)
    assert_same_model(again, first)
    assert again.at(4).metrics["epochs"] == 4 and again.at(40).metrics["epochs"] == 5


def assert_same_model(run, other):
    mine, theirs = run.load_model().state_dict(), other.load_model().state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_an_end_in_the_middle_of_an_epoch_is_kept_when_the_run_grows(tmp_path, nothing_is_trained):
    made, config = Store(tmp_path), TINY.replace(epochs=9, steps=9)
    first = made.run(config)
    assert first.metrics["steps"] == 9 and list(first.history.step) == [6, 9]
    later = made.run(TINY.replace(epochs=4))
    assert list(later.history.step) == [6, 12, 18, 24]
    assert_same(later, Store(tmp_path / "once").run(TINY.replace(epochs=4)))
    nothing_is_trained()
    again = made.run(config)
    assert list(again.history.step) == [6, 9]
    assert again.metrics["test_error"] == pytest.approx(first.metrics["test_error"], rel=1e-6)
    assert_same_model(again, first)


def test_an_end_that_it_has_passed_unseen_is_made_by_repeating(tmp_path):
    made, wanted = Store(tmp_path), TINY.replace(epochs=9, steps=9)
    long = made.run(TINY.replace(epochs=4))
    before = {path.name: path.read_bytes() for path in long.folder.iterdir()}
    run = made.run(wanted)
    assert run.metrics["steps"] == 9 and run.reached == Point(4, 24)
    assert_same_model(run, Store(tmp_path / "once").run(wanted))
    after = {path.name: path.read_bytes() for path in long.folder.iterdir()}
    assert all(after[name] == content for name, content in before.items())
    assert set(after) - set(before) == {"weights-9.safetensors", "measured.csv"}


def test_a_run_that_was_stopped_shows_how_far_it_is_and_goes_on(tmp_path):
    made, long = Store(tmp_path), TINY.replace(epochs=800)
    with pytest.raises(loop.OutOfTime):
        made.run(long, deadline=time.monotonic() + 0.7)
    run = made.find(long)
    assert (run.status, run.complete, made.state(long)) == ("growing", False, "growing")
    assert 0 < run.reached.epochs < 800 and run.metrics["epochs"] == run.history.epoch.iloc[-1] == run.reached.epochs
    assert run.load_model() is not None and find_run(long, [made]).reached == run.reached
    shorter = made.run(TINY.replace(epochs=1))
    assert shorter.complete and shorter.metrics["epochs"] == 1
    further = made.run(TINY.replace(epochs=run.reached.epochs + 2))
    assert_same(further, Store(tmp_path / "once").run(TINY.replace(epochs=run.reached.epochs + 2)))


# --- beside a run ----------------------------------------------------------------------------------------------------


def test_another_look_is_measured_beside_the_run_once(tmp_path, nothing_is_trained, monkeypatch):
    made = Store(tmp_path)
    usual = made.run(TINY)
    nothing_is_trained()
    run = made.run(TINY.replace(evaluation="population"))
    expected = evaluate(usual.load_model(), load("digits", 8, 96, 40).test, TINY.replace(evaluation="population"))
    assert run.metrics["test_error"] == pytest.approx(expected["error"], rel=1e-6)
    assert run.metrics["test_error"] != pytest.approx(usual.metrics["test_error"], rel=1e-3)
    assert run.metrics["train_loss"] == pytest.approx(usual.metrics["train_loss"], rel=1e-6)
    monkeypatch.setattr(stores.beside, "measure", lambda *_: pytest.fail("it is measured again"))
    assert made.run(TINY.replace(evaluation="population")).metrics == run.metrics
    assert made.run(TINY).metrics == usual.metrics
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_free_latents_are_fitted_for_longer_beside_the_run(tmp_path):
    made, found = Store(tmp_path), {}
    for steps in (3, 30, 100):
        run = made.run(GLO.replace(free_steps=steps))
        found[steps] = run.metrics["test_error"]
        assert run.metrics["train_error"] == pytest.approx(made.find(GLO.replace(free_steps=100)).metrics["train_error"])
    assert found[100] < found[3]
    assert made.find(GLO.replace(free_steps=100)).metrics["test_error"] == found[100]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("config", [GLO, TINY.replace(evaluation="population")], ids=["fits", "statistics"])
def test_another_look_is_measured_again_where_the_run_has_grown_to(config, tmp_path, nothing_is_trained):
    made = Store(tmp_path / "grown")
    made.run(config)
    run = made.run(config.replace(epochs=5))
    assert (run.status, run.metrics["epochs"]) == ("done", 5)
    assert_same(run, Store(tmp_path / "once").run(config.replace(epochs=5)))
    nothing_is_trained()
    assert made.run(config.replace(epochs=5)).complete


def test_a_look_at_a_point_that_it_has_passed(tmp_path):
    made, wanted = Store(tmp_path), TINY.replace(evaluation="population")
    made.run(TINY.replace(epochs=4))
    run = made.run(wanted)
    assert (run.metrics["epochs"], run.reached) == (2, Point(4, 24))
    once = Store(tmp_path / "once").run(wanted)
    assert run.metrics["test_error"] == pytest.approx(once.metrics["test_error"], rel=1e-6)


def test_a_look_that_is_not_defined_is_told_before_anything_is_trained(tmp_path, nothing_is_trained):
    nothing_is_trained()
    wrong = TINY.replace(variational=True, likelihood="bernoulli", evaluation="population")
    with pytest.raises(UserError, match="population statistics ask for one origin"):
        Store(tmp_path).run(wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_snapshots_are_made_by_repeating_where_they_were_not_asked_for(tmp_path):
    made, shown = Store(tmp_path), TINY.replace(snapshots=True)
    long = made.run(TINY.replace(epochs=4))
    run = made.run(shown)
    images, table = run.snapshots
    assert list(table.step) == [0, 1, 2, 3, 6, 10] and len(images) == 6 and run.reached == long.reached
    longer = made.run(shown.replace(epochs=6))
    assert list(longer.snapshots[1].step) == [0, 1, 2, 3, 6, 10, 18, 32]
    assert_same(longer, Store(tmp_path / "once").run(TINY.replace(epochs=6)))
    assert list(made.run(shown).snapshots[1].step) == [0, 1, 2, 3, 6, 10]
    grown = made.run(shown.replace(epochs=10))  # its checkpoint has them now
    assert list(grown.snapshots[1].step)[-1] == 56 and len(grown.stretches) == 1


def test_only_numbers_are_kept_where_weights_are_not_wanted(tmp_path):
    run = Store(tmp_path).run(TINY.replace(evaluation="population"), keep_weights=False)
    assert run.complete and not run.has_weights and not list(run.folder.glob("weights*"))


# --- what ends a run, and what it refuses ----------------------------------------------------------------------------


def test_a_run_that_failed_answers_for_what_was_good(tmp_path, monkeypatch):
    made, calls, real = Store(tmp_path), itertools.count(1), Model.loss
    good = Store(tmp_path / "good").run(TINY)
    monkeypatch.setattr(Model, "loss", lambda self, *given: real(self, *given) * (math.nan if next(calls) > 15 else 1))
    failed = made.run(TINY.replace(epochs=9))
    assert (failed.status, failed.complete, failed.metrics["epochs"]) == ("failed", True, 2)
    assert "epoch 3 (step 18)" in failed.message and not (failed.folder / "checkpoint.safetensors").exists()
    assert (made.run(TINY).status, made.run(TINY).message) == ("done", "")
    assert made.run(TINY).metrics["test_error"] == good.metrics["test_error"]
    assert made.run(TINY.replace(epochs=50)).status == "failed"


def test_a_run_without_its_checkpoint_is_trained_again_and_says_so(tmp_path, capsys):
    made = Store(tmp_path)
    run = made.run(TINY)
    (run.folder / "checkpoint.safetensors").unlink()
    longer = made.run(TINY.replace(epochs=4))
    assert f"run {run.hash} has no checkpoint here: it is trained again" in capsys.readouterr().err
    assert_same(longer, Store(tmp_path / "once").run(TINY.replace(epochs=4)))
    made.run(TINY.replace(epochs=5))
    assert "trained again" not in capsys.readouterr().err


def test_a_run_trained_again_to_other_numbers_is_refused(tmp_path):
    made = Store(tmp_path)
    run = made.run(TINY)
    (run.folder / "checkpoint.safetensors").unlink()
    history = pd.read_csv(run.folder / "history.csv").assign(test_error=lambda table: table.test_error * 1.1)
    history.to_csv(run.folder / "history.csv", index=False)
    before = (run.folder / "metrics.json").read_bytes()
    with pytest.raises(UserError, match="differs from the stored one .*test_error at step 6.*the stored one is kept"):
        made.run(TINY.replace(epochs=4))
    assert (run.folder / "metrics.json").read_bytes() == before and made.find(TINY).metrics["epochs"] == 2


def test_a_folder_whose_pictures_changed_is_never_an_old_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures, made = tmp_path / "mine", Store(tmp_path / "store")
    pictures.mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number:02}.png")
    config = TINY.replace(dataset="folder:mine", train_images=0, test_images=0)
    made.run(config)
    assert made.run(config).complete and find_run(config, [made]).complete
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(pictures / "03.png")
    for ask in (lambda: made.run(config), lambda: find_run(config, [made]), lambda: made.run(config.replace(epochs=3))):
        with pytest.raises(UserError, match="data set folder:mine has changed since the run in .* began"):
            ask()


def test_a_prepared_file_that_was_altered_is_never_an_old_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GONLIB_DATA", str(tmp_path))
    made, recorded, name = Store(tmp_path / "store"), Store(tmp_path / "recorded"), "cifar10@mine"
    arrays = example(name) | {"complete": np.bool_(False)}
    put(tmp_path, name, arrays)
    config = TINY.replace(dataset=name, train_images=0, test_images=0, epochs=1)
    made.run(config)
    recorded.merge(made.root)
    put(tmp_path, name, arrays | {"train_images": 255 - arrays["train_images"]})
    for ask in (lambda: made.run(config), lambda: find_run(config, [made])):
        with pytest.raises(UserError, match="data set cifar10@mine has changed since the run in .* began"):
            ask()
    assert status.state(config, [made]) == ("unreadable", None)
    assert "cifar10@mine has changed since" in capsys.readouterr().err
    monkeypatch.setattr(stores, "recorded_store", lambda: recorded)
    assert find_run(config, [recorded]).complete  # it says what it was trained on
    (tmp_path / "prepared" / f"{name}.npz").unlink()
    assert find_run(config, [made]).complete  # without its data a result is still a result


def test_a_run_keeps_its_form(tmp_path, monkeypatch):
    made = Store(tmp_path)
    made.run(TINY)
    monkeypatch.setattr(stores.loop, "train", lambda config, data, device, form, **_: forms.append(form))
    forms = []
    monkeypatch.setattr("gonlib.training.forms.LONG", 0)
    made.run(TINY.replace(epochs=3))
    assert forms == ["eager"]


def test_other_source_marks_the_numbers(tmp_path, monkeypatch):
    made = Store(tmp_path)
    assert made.run(TINY).same_numbers
    monkeypatch.setattr(loop, "NUMERICS", loop.NUMERICS + 1)
    assert not made.find(TINY).same_numbers


def test_the_further_of_two_stores_wins(tmp_path):
    local, recorded = Store(tmp_path / "local"), Store(tmp_path / "recorded")
    local.run(TINY.replace(epochs=1))
    recorded.run(TINY.replace(epochs=3))
    chain = [local, recorded]
    assert find_run(TINY.replace(epochs=1), chain).folder.parent == local.root
    assert find_run(TINY, chain).folder.parent == recorded.root
    assert find_run(TINY.replace(epochs=9), chain).reached == Point(3, 18)
