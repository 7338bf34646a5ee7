"""The command `run`: what is trained, what is kept, and what holds up only itself; and `merge`."""

import re
import sys

import pytest
import torch
from tiny_runs import same_result

from gonlib.data import prepared
from gonlib.errors import UserError
from gonlib.method.models import MODELS
from gonlib.runs.schedule import in_order
from gonlib.runs.store import Store
from gonlib.study import registry, status
from gonlib.study.experiment import Experiment
from gonlib.training import loop


def test_the_dearest_rows_wait_for_all_other_experiments():
    planned = [(registry.get(name), registry.get(name).cells("smoke")) for name in ("table1", "gon")]
    order = [one.name.split(" / ")[:2] for one in in_order(status.wanted(planned))]
    rows = list(dict.fromkeys(map(tuple, order)))
    assert rows == [("table1", "GON"), ("table1", "AE"), ("table1", "Tied AE"), ("table1", "1 step, detached"),
                    ("gon", "GON"), ("gon", "1 step, detached"),
                    ("table1", "10 steps, detached"), ("table1", "10 steps"), ("table1", "GLO")]


def test_run_trains_what_is_missing_and_says_so(here, call, states, monkeypatch):
    code, out, err = call("run", "small")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 5
    assert re.fullmatch(r"small / GON / digits, seed 0: done, test_error [\d.]+, [\d.]+ s, run [0-9a-f]{16}", lines[0])
    assert [line.split(":")[0] for line in lines[1:4]] == [
        "small / GON / digits, seed 1", "small / AE / digits, seed 0", "small / AE / digits, seed 1"]
    assert lines[4] == "4 runs trained, 0 were there already, 0 left."
    monkeypatch.setattr(loop, "train", None)
    assert call("run", "small") == (0, "0 runs trained, 4 were there already, 0 left.\n", "")
    # the other experiment shares a run with this one
    assert states("breaking") == {"breaking/NaN": "missing", "breaking/GON": "done"}
    assert states().keys() == {"small/GON", "small/AE", "breaking/NaN", "breaking/GON"}


def test_pictures_are_kept_of_a_run_that_another_experiment_trained(here, call, monkeypatch):
    def keep(model, data, config):
        return {"picture": data.test[:1]}

    pictures = Experiment("pictures", "Another one", lambda dataset: [{"model": "GON"}], keep=keep)
    monkeypatch.setitem(status.EXPERIMENTS, "pictures", pictures)
    assert call("run", "breaking", "-p", "rate", "1e-4")[0] == 0
    assert not list(here.rglob("picture-*.png"))
    assert call("run", "pictures") == (0, "0 runs trained, 1 were there already, 0 left.\n", "")
    assert len(list(here.rglob("picture-*.png"))) == 1


def test_a_failed_run_is_listed_and_the_others_go_on(here, call, states):
    code, out, err = call("run", "breaking")
    assert code == 1
    assert "breaking / NaN / digits, seed 0: failed, no numbers" in out
    assert "breaking / GON / digits, seed 0: done" in out
    assert re.fullmatch(r"failed: breaking / NaN / digits, seed 0, run [0-9a-f]{16}: the loss became NaN.*\n", err)
    assert call("run", "breaking")[0] == 1
    assert states("breaking") == {"breaking/NaN": "failed", "breaking/GON": "done"}
    assert "is failed (the loss became NaN" in call("why", "breaking/NaN")[1]


@pytest.mark.slow
def test_a_budget_stops_cleanly_and_the_next_call_gives_the_same(here, call):
    longer = ["-p", "epochs", "4", "-p", "batch_size", "16", "-p", "seeds", "1"]
    assert call("run", "small", *longer, "--store", here / "whole")[0] == 0
    code, out, err = call("run", "small", *longer, "--budget", "0.2s", "--pack", here / "part.tar")
    assert (code, err) == (0, "")
    assert "0 runs trained, 0 were there already, 2 left.\nThe time is used up; " in out
    Store(here / "store").merge(here / "part.tar")
    for _ in range(50):
        code, out, err = call("run", "small", *longer, "--budget", "0.2s")
        assert (code, err) == (0, "")
        if "0 left." in out:
            break
    whole, parts = Store(here / "whole").runs(), Store(here / "store").runs()
    assert len(whole) == 2
    assert all(same_result(a, b) for a, b in zip(whole, parts, strict=True))


def test_a_pack_made_elsewhere_is_merged(here, call, states, monkeypatch):
    pack = here / "results.tar"
    code, out, _ = call("run", "small", "-p", "seeds", "1", "--pack", pack, "--no-weights")
    assert (code, out.splitlines()[2]) == (0, f"packed into {pack}")
    monkeypatch.setenv("GONLIB_STORE", str(here / "other"))
    expected = f"{pack}: runs: 2 copied, 0 grown, 0 already here, 0 only begun, with their checkpoints.\n"
    assert call("merge", pack) == (0, expected, "")
    assert call("merge", pack, "--into", "recorded") == (0, expected, "")
    assert len(Store(here / "checkout" / "book" / "results").runs()) == 2
    monkeypatch.setenv("GONLIB_STORE", str(here / "third"))
    assert states("small", "-p", "seeds", "1") == {"small/GON": "recorded", "small/AE": "recorded"}
    path = next((here / "other").glob("*/metrics.json"))
    path.write_text(path.read_text().replace('"test_error": ', '"test_error": 1'))
    code, out, _ = call("merge", here / "other", pack)
    assert code == 1
    assert f"{path.parent.name}: a different result is here, kept." in out


def test_data_that_are_not_there_hold_up_only_their_own_runs(here, call, monkeypatch):

    monkeypatch.setattr(prepared, "prepare", lambda name, *rest: (_ for _ in ()).throw(UserError(f"{name} is not here.")))
    arguments = ["small", "-p", "dataset", "mnist,digits", "-p", "seeds", "1"]
    _, out, _ = call("status", *arguments)
    assert "  GON / MNIST   needs data (0 of 1)" in out
    code, out, err = call("run", *arguments)
    assert (code, err) == (2, "gonlib: mnist is not here.\n")
    assert "2 runs trained, 0 were there already, 2 left." in out


def test_an_impossible_configuration_holds_up_only_itself(here, call, states, monkeypatch):
    def grid(dataset):
        return [({"model": "AE"}, MODELS["AE"] | {"decoder": "siren"}), {"model": "GON"}]

    monkeypatch.setitem(status.EXPERIMENTS, "mixed", Experiment("mixed", "Two", grid))
    code, out, err = call("run", "mixed")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("gonlib: this configuration has no model: an encoder mirrors")
    assert "mixed / GON / digits, seed 0: done" in out and "1 runs trained, 0 were there already, 1 left.\n" in out
    assert states("mixed") == {"mixed/AE": "missing", "mixed/GON": "done"}


@pytest.mark.parametrize("fault", [MemoryError("Unable to allocate 9 TiB"), torch.OutOfMemoryError("CUDA out of memory."),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: 8796093022208 bytes")])
def test_a_run_too_large_for_the_memory_holds_up_only_itself(here, call, monkeypatch, fault):
    train = loop.train

    def without_room(config, *rest, **options):
        if config.inference == "encoder":
            raise fault
        return train(config, *rest, **options)

    monkeypatch.setattr(loop, "train", without_room)
    code, out, err = call("run", "small", "-p", "seeds", "1")
    assert (code, err.count("\n")) == (2, 1) and err.startswith("gonlib: the memory of cpu does not suffice for run ")
    assert "1 runs trained, 0 were there already, 1 left.\n" in out


def test_a_wrong_group_of_a_profile_holds_up_only_its_experiment(here, call):
    path = here / "checkout" / "book" / "profiles" / "quick.yml"
    path.write_text(path.read_text() + "breaking: {epochs: none}\n")
    for command in (["status"], ["why", "small/GON"]):
        code, out, err = call(*command)
        assert code == 0 and "GON" in out
        assert err.startswith("breaking is left out, for its group in profile quick is wrong: parameter epochs must be")
        assert err.count("\n") == 1
    assert call("status", "breaking")[0] == 2
    code, out, err = call("run", "small", "breaking")
    assert (code, out, err.count("\n")) == (2, "", 1) and not (here / "store").exists()


def test_a_bar_is_drawn_on_a_terminal_alone(here, call, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "\rdigits, seed 0 train_images=128" in call("run", "small", "-p", "models", "GON")[2]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert call("run", "small")[2] == ""
