"""What a stranger's store or a folder's name says is shown as text: it is no markup, and runs nothing."""

import json

import pandas as pd
import pytest
from PIL import Image

from gonlib.book import live, page, pages, runlist
from gonlib.runs import kept
from gonlib.runs.store import Store
from gonlib.study import numbers, pictures, tables
from gonlib.study.experiment import Experiment, collect

MARKUP = "<img src=x onerror=alert(1)>"
HOSTILE = f"{MARKUP}\n\n```{{raw}} html\n{MARKUP}\n```\n\n</script>{MARKUP} `a` $\\frac$ {{{{b}}}}"


def planted(value):
    """A value of JSON with a hostile text in place of each of its texts."""
    if isinstance(value, dict):
        return {key: planted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [planted(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on a folder with a hostile name, in a store whose every free text is hostile."""
    root = tmp_path_factory.mktemp("hostile")
    folder = root / HOSTILE.replace("/", "|")[:200]
    folder.mkdir()
    for number in range(12):
        Image.new("L", (8, 8), 20 * number).save(folder / f"{number}.png")
    changes = {"size": 8, "filters": 2, "latents": 2, "steps": 2, "batch_size": 1}
    rows = [({"name": f"{HOSTILE} {k}"}, changes | {"latents": k}) for k in (2, 3)]
    grid = Experiment("grid", HOSTILE, lambda dataset: rows, rows=("name",))
    cells, store = grid.cells(dataset=f"folder:{folder}"), Store(root / "store")
    for cell in cells:
        run = store.run(cell.configs[0], progress=lambda *_: None)
        kept.keep(run, lambda *_: {"scores": pd.DataFrame({"method": [HOSTILE], "psnr": [1.0], "size": [8], "images": [2]})})
        made = json.loads((run.folder / "provenance.json").read_text())
        made["stretches"] = planted(made["stretches"])
        (run.folder / "provenance.json").write_text(json.dumps(made))
    return collect(cells, [store]), store


def shown(runs, store):
    """Everything that pages show of runs, by what shows it."""
    number = numbers.number(runs, "test_error")
    made = {"cells": [{"outputs": [{"data": {"text/html": [str(number)]}}]}]}
    yield "number", number
    yield "linked", numbers.linked(HOSTILE, runs, HOSTILE)
    yield "box", numbers.box(HOSTILE, HOSTILE, numbers.say("{}", HOSTILE))
    yield "table", tables.table(runs)
    yield "recorded", tables.table(runs, {"test_error": HOSTILE}, recorded=runs, transpose=True)
    yield "shaded", tables.shaded(runs.pivot(index="row", columns="column", values="test_error")).to_html()
    yield "kept", kept.collected(runs, "scores")[["method", "psnr"]]._repr_html_()
    yield "pictures", numbers.prose(pictures.sentences(runs))
    yield "not recorded", pictures.not_recorded(runs.assign(state="not run", steps=0))
    yield "race", live.race({HOSTILE: runs})
    yield "runs", runlist.section({"page": made}, [store], {})


@pytest.mark.slow
def test_nothing_is_markup_that_a_store_or_a_folder_says(runs):
    page.begin()  # as every page does
    frame, store = runs
    assert set(frame.state) == {"done"}
    found = {name: str(text) for name, text in shown(frame, store)}
    for name, text in found.items():
        assert "onerror" in text or name == "number", name  # else nothing was planted there
        assert MARKUP not in text, name
    assert "\n\n" not in found["runs"].partition("<div")[2]  # behind an empty line it would be Markdown
    about = {"fault": None, "profile": HOSTILE, "values": {"dataset": HOSTILE}}
    lines = [line for line in pages._made_with(about).splitlines() if "onerror" in line]
    assert lines and all(line.count("````") >= 2 for line in lines)  # a code span; see test_surroundings.py
