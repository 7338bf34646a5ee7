"""The commands `status` and `why`: what is there, what the rest would take, and how runs differ."""

import json
import re

import pytest

from gonlib.runs import provenance
from gonlib.runs.store import Store
from gonlib.study import status


def test_status_json_has_its_schema(here, call):
    call("run", "small", "-p", "seeds", "1")
    code, out, _ = call("status", "small", "--json")
    found = json.loads(out)["experiments"]
    assert (code, len(found)) == (0, 1)
    assert set(found[0]) == {"name", "title", "counts", "cells", "left_s"}
    assert (found[0]["name"], found[0]["title"]) == ("small", "The small one")
    assert found[0]["counts"] == {"done": 2, "missing": 2}
    cell = found[0]["cells"][0]
    assert (cell["row"], cell["column"], cell["state"]) == ("GON", "digits", "growing")
    assert [run["state"] for run in cell["runs"]] == ["done", "missing"]
    assert set(cell["runs"][0]) == {"hash", "state", "seconds", "epochs", "asked"}
    assert cell["runs"][0]["seconds"] > 0
    assert cell["runs"][1]["seconds"] is None
    assert found[0]["left_s"] > 0
    # no VGON was timed here, so nothing is guessed
    assert json.loads(call("status", "breaking", "--json")[1])["experiments"][0]["left_s"] is None


def test_status_for_people(here, call):
    assert call("status", "small")[1] == (
        "small: 4 missing; time left unknown\n  GON / digits  missing (0 of 2)\n  AE / digits   missing (0 of 2)\n"
    )
    call("run", "small", "-p", "seeds", "1")
    lines = call("status", "small")[1].splitlines()
    assert re.fullmatch(r"small: 2 done, 2 missing; about [\d.]+ s left", lines[0])
    assert re.fullmatch(r"  GON / digits  growing \(1 of 2; at epoch 2 of 2; about [\d.]+ s left\)", lines[1])
    call("run", "small")
    assert call("status", "small")[1].startswith("small: 4 done\n")


def test_time_left_is_steps_times_the_time_of_a_step(here, call):
    call("run", "small")
    clock, config = status.Clock([Store(here / "store")]), Store(here / "store").runs()[0].config
    assert clock.seconds(config) == 0 and clock.seconds(config.replace(epochs=3)) > 0  # it is there, and can go on
    config = config.replace(seed=9)
    assert clock.seconds(config.replace(epochs=20)) == pytest.approx(10 * clock.seconds(config))
    assert clock.seconds(config.replace(steps=1)) == pytest.approx(clock.seconds(config) / 4)
    assert clock.seconds(config.replace(latents=5)) is None
    assert clock.seconds(config.replace(train_images=0)) is None


def test_why_names_what_differs(here, call, monkeypatch):
    assert call("why", "small/GON")[1].splitlines()[1].endswith("is not there; the stores hold no run.")
    call("run", "small", "-p", "seeds", "1")
    run = next(run for run in Store(here / "store").runs() if run.config.inference == "origin")
    _, out, _ = call("why", "small/GON/digits", "-p", "latents", "8", "-p", "seeds", "1")
    assert out.endswith(f"is not there; the nearest, {run.hash}, has latents 4 there, 8 wanted.\n")
    assert "made by this source" in call("why", run.hash[:8])[1]
    changed = run.provenance["source_files"] | {"method/origin.py": "0", "method/new.py": "1"}
    monkeypatch.setattr(provenance, "source_files", lambda: changed)
    monkeypatch.setattr(provenance, "versions", lambda: run.provenance["versions"] | {"torch": "9.9"})
    _, out, _ = call("why", run.hash)
    then = run.provenance["versions"]["torch"]
    assert f"since then method/new.py has changed; method/origin.py has changed; torch was {then}, is 9.9." in out
