"""Numbers that link to their runs, and tables of them."""

import base64
import io
import math
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from gonlib.study import numbers, tables
from gonlib.training.config import Config


def stored(row="GON", column="MNIST", seed=0, state="done", paper=None, **metrics):
    """A row of `collect`, with a run that says where it comes from."""
    run = SimpleNamespace(folder=Path("not-there"), metrics=metrics, config=Config(), data={},
                          summary=lambda: "mnist, 18 steps in 3 s on <cpu>")
    return {"row": row, "column": column, "seed": seed, "state": state, "hash": f"{row}{column}{seed}".lower(),
            "run": run if state != "not run" else None, "paper": paper} | metrics


def three(values=(1.0, 2.0, 3.0), **fields):
    return pd.DataFrame([stored(seed=i, test_error=v, **fields) for i, v in enumerate(values)])


def test_where_the_images_of_a_variant_come_from_is_said_once():
    runs = three()
    assert numbers.variants(runs) == []
    for run in runs.run:
        run.data = {"title": "CelebA (part: 4,560 images)", "source": "Liu 2015; a part"}
    assert numbers.variants(runs) == ["CelebA (part: 4,560 images): Liu 2015; a part."]
    assert "Liu 2015; a part" in tables.table(runs) and "Liu 2015; a part" in tables.published(runs)


def test_mean_and_deviation():
    assert numbers.mean_sd([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert numbers.mean_sd([4.0]) == (4.0, None)
    assert numbers.mean_sd([1.0, None, math.nan, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
    assert numbers.mean_sd([]) is None
    assert numbers.written(0.414, 0.006) == "0.41 ± 0.01" and numbers.written(5.4, None, digits=1) == "5.4"


def test_a_number_links_to_its_runs():
    link = BeautifulSoup(numbers.number(three(), "test_error"), "html.parser").a
    assert link.text == "2.00 ± 1.00"
    assert link["href"] == "runs.html#run-gonmnist0" and link["data-runs"].split() == [f"gonmnist{i}" for i in range(3)]
    assert link["data-metric"] == "test_error" and link["data-digits"] == "2"
    assert link["title"] == "3 seeds: mnist, 18 steps in 3 s on <cpu>"
    assert numbers.number(three([0.5]), "test_error", digits=3).endswith(">0.500</a>")
    assert numbers.number(three(), "test_error")._repr_html_().startswith("<a")


def test_how_runs_were_made_in_a_few_words():
    runs = three(images=1400, steps=132).assign(epoch=6, asked=6, config=Config())
    assert numbers.conditions(runs) == "digits (1,400 images of 32 × 32 pixels), 132 steps, 3 seeds"
    runs.asked = 500
    assert "pixels), at epoch 6 of 500, 3 seeds" in numbers.conditions(runs)


@pytest.mark.parametrize("state, told", [("not run", "not run yet"), ("failed", "failed")])
def test_what_is_not_there_is_said(state, told):
    runs = pd.DataFrame([stored(seed=i, state=state) for i in range(2)])
    made = BeautifulSoup(numbers.number(runs, "test_error"), "html.parser")
    assert made.find("span", class_="state").text == told and made.a is None


def test_a_number_that_runs_do_not_have_is_a_dash():
    """A classifier alone has no error: it is not waiting to be run."""
    assert BeautifulSoup(numbers.number(three(), "test_accuracy"), "html.parser").text == "–"


def test_a_failed_seed_is_not_hidden_behind_the_others():
    runs = pd.concat([three(), pd.DataFrame([stored(seed=3, state="failed", test_error=50.0)])])
    made = BeautifulSoup(numbers.number(runs, "test_error"), "html.parser")
    assert made.a.text == "2.00 ± 1.00" and "gonmnist3" not in made.a["data-runs"]
    assert made.find("span", class_="state").text == "1 of 4 failed"


def read(made):
    """A table's cells by (row, column, heading without its note), and the notes: (column, heading) -> note."""
    soup = BeautifulSoup(made, "html.parser")
    assert soup.find("div", class_="table-scroll") and soup.find("table", class_="results")
    for small in soup.thead("small"):
        small.decompose()
    upper, lower = ([(th.text, int(th.get("colspan", 1))) for th in tr("th")[1:]] for tr in soup.thead("tr"))
    columns = list(zip([text for text, width in upper for _ in range(width)], [text for text, _ in lower], strict=True))
    return {(tr.th.text, *column): td.text for tr in soup.tbody("tr")
            for column, td in zip(columns, tr("td"), strict=True)}


def test_the_paper_s_numbers_stand_beside_ours():
    recorded = three([0.4, 0.5, 0.6], paper=(0.41, 0.01))
    recorded["hash"] = "full" + recorded.hash
    runs = pd.concat([three(paper=(0.41, 0.01)), three([7.0], row="AE"), three([8.0], column="digits")])
    made = tables.table(runs, recorded=recorded)
    cells = read(made)
    assert cells["GON", "MNIST", "paper"] == "0.41 ± 0.01"
    assert cells["GON", "MNIST", "recorded"] == "0.50 ± 0.10"
    assert cells["GON", "MNIST", "this build"] == "2.00 ± 1.00"
    assert cells["AE", "MNIST", "this build"] == "7.00 1 seed" and cells["AE", "MNIST", "paper"] == ""
    assert cells["GON", "digits", "this build"] == "8.00" and ("GON", "digits", "paper") not in cells
    assert [small.text for small in BeautifulSoup(made, "html.parser").thead("small")] == ["3 seeds", "3 seeds", "1 seed"]
    assert list(dict.fromkeys(row for row, *_ in cells)) == ["GON", "AE"]
    assert ">paper<" not in tables.table(runs, paper=False)


def test_a_column_for_each_metric():
    runs = pd.DataFrame([stored(row, test_error=error, seconds=12.0) for row, error in (("GON", 1.0), ("AE", 2.0))])
    metrics = {"test_error": "error", "seconds": "seconds"}
    cells = read(tables.table(runs, metrics))
    assert cells["AE", "MNIST", "error"] == "2.00" and cells["GON", "MNIST", "seconds"] == "12.00"
    recorded = runs.assign(test_error=0.1, hash="full" + runs.hash)
    cells = read(tables.table(runs, metrics, recorded=recorded))  # neither hides the other
    assert cells["AE", "MNIST", "error, recorded"] == "0.10" and cells["AE", "MNIST", "error, this build"] == "2.00"


def test_a_table_of_what_was_never_run():
    runs = pd.DataFrame([stored(row, state="not run", paper=(1.0, 0.1)) for row in ("GON", "AE")])
    cells = read(tables.table(runs))
    assert cells["AE", "MNIST", "this build"] == "not run yet" and cells["AE", "MNIST", "paper"] == "1.00 ± 0.10"


def recorded_runs():
    """Recorded runs of two rows on three data sets: one complete, one growing, one not begun."""
    rows = [stored(row, column, seed, "not run" if column == "Small NORB" else "done", (1.0, 0.1),
                   test_error=error + seed / 10, epoch=500 if column == "COIL-20" else 50, asked=500)
            for row, error in (("GON", 0.644), ("AE", 0.9)) for column in ("MNIST", "Small NORB", "COIL-20")
            for seed in range(3 if column == "COIL-20" else 1)]
    return pd.DataFrame(rows).assign(config=Config(dataset="small_norb"))


def test_what_has_no_results_is_named_below_and_a_row_can_be_added():
    row = {("COIL-20", "recorded"): 0.644, ("Small NORB", "recorded"): None}
    made = tables.table(three(column="digits"), recorded=recorded_runs(), below={"PCA": row})
    cells = read(made)
    assert list(dict.fromkeys(top for _, top, _ in cells)) == ["digits", "MNIST", "COIL-20"]
    assert cells["PCA", "COIL-20", "recorded"] == "0.64" and cells["PCA", "MNIST", "recorded"] == ""
    note = BeautifulSoup(made, "html.parser").find(class_="table-note")
    assert note.text.startswith("Not recorded yet: Small NORB; see") and note.a["href"] == "status.html"


def test_the_paper_s_layout():
    row = {("COIL-20", "recorded"): 0.5}
    page = BeautifulSoup(tables.published(recorded_runs(), below={"PCA": row}, name="table1"), "html.parser")
    assert [th.text.removesuffix("paperrecorded") for th in page.thead("th")] == ["MNIST1 seed, at epoch 50 of 500",
                                                                                  "COIL-203 seeds"]
    rows = {tr.th.text: tr("td") for tr in page.tbody("tr")}
    assert [td.text.split() for td in rows["GON"]] == ["1.00 ± 0.10 0.64".split(), "1.00 ± 0.10 0.74 ± 0.10".split()]
    assert all(td.find(class_="ours").b for td in rows["GON"]) and not any(td.find(class_="ours").b for td in rows["AE"])
    assert [td.text for td in rows["PCA"]] == ["", "0.50"] and rows["AE"][0]["data-row"] == "AE"
    assert "Not recorded yet: Small NORB" in page.text


def test_a_table_comes_as_csv():
    link = BeautifulSoup(tables.published(recorded_runs(), name="table1"), "html.parser").find("a", class_="download")
    assert link["download"] == "table1.csv"
    frame = pd.read_csv(io.BytesIO(base64.b64decode(link["href"].partition("base64,")[2])))
    assert len(frame) == 8 and set(frame.column) == {"MNIST", "COIL-20"} and set(frame.paper) == {1.0}
    assert {"row", "seed", "epoch", "test_error", "run"} <= set(frame)


def test_a_deviation_that_would_look_like_none_has_more_digits():
    assert numbers.written(0.5512, 0.0031) == "0.551 ± 0.003" and numbers.written(4.0, 0.00001) == "4.0000 ± 0.0000"
    assert numbers.written(0.4, 0.0) == "0.40 ± 0.00"


def test_a_shaded_table():
    made = tables.shaded(pd.DataFrame({"a": [1.0, None]}), cmap="Blues", vmin=0, vmax=2).to_html()
    assert "1.00" in made and "nan" not in made and 'class="dataframe results shaded"' in made


def test_a_shaded_table_links_to_its_runs():
    frame = pd.DataFrame({("a", "GON"): [1.0, 2.0], ("<b>", "AE"): [None, 3.0]}, index=["x", "y"])
    runs = pd.DataFrame({"of": ["x a", "y <b>", "y <b>"], "hash": ["1", "2", "3"], "state": ["done", "done", "failed"]})
    made = tables.shaded(frame, of=lambda row, column: runs[runs.of == f"{row} {column[0]}"], cmap="Blues").to_html()
    page = BeautifulSoup(made, "html.parser")
    assert {a.text: a["data-runs"] for a in page.select("td a.number")} == {"1.00": "1", "3.00": "2"}
    assert [td.text for td in page.select("td")] == ["1.00", "", "2.00", "3.00"] and "&lt;b&gt;" in made


def test_the_best_of_one_is_not_bold():
    runs = recorded_runs()
    page = BeautifulSoup(tables.published(runs[runs.row == "GON"]), "html.parser")
    assert page.select(".ours a.number") and not page.select("b")


def test_a_table_of_nothing_says_so():
    assert "not run yet" in tables.table(three()[:0])
    assert tables.shaded(pd.DataFrame(), cmap="Blues").to_html()
