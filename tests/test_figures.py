"""What the book draws."""

import base64
import io
import math
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from matplotlib import pyplot as plt
from PIL import Image

from gonlib.book import figures
from gonlib.runs.store import Store
from gonlib.study.paper import DATASETS
from gonlib.training.config import Config


def test_signed_pictures_are_white_at_zero_and_each_scaled_by_itself():
    small = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])[None, None]
    colours = figures.signed(torch.cat([small, 100 * small]))
    assert colours.shape == (2, 3, 2, 2)
    assert torch.equal(colours[0], colours[1])
    red, _, blue = colours[0, :, 1, 1]
    assert red > blue
    red, _, blue = colours[0, :, 0, 0]
    assert blue > red
    assert colours[0, :, 0, 1].min() > 0.95  # white
    assert figures.signed(torch.zeros(1, 3, 2, 2)).isfinite().all()


def test_a_captioned_figure_carries_its_picture_and_its_words():
    fig, _ = plt.subplots()
    made = figures.captioned(fig, "errors < 1", 'a "plot"')
    plt.close(fig)
    assert "<figcaption>errors &lt; 1</figcaption>" in made
    assert 'alt="a &quot;plot&quot;"' in made
    picture = made.split("base64,")[1].split('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).format == "PNG"


def some_curves():
    """Two rows in three columns, two seeds each."""
    return pd.DataFrame([{"row": row, "column": column, "seed": seed, "epoch": epoch, "test_error": 1.0 + epoch + seed}
                         for row in ("GON", "AE") for column in ("a", "b", "c") for seed in (0, 1)
                         for epoch in (1, 2)])


def test_panels_have_a_title_each_and_one_legend():
    fig = figures.plot_panels(some_curves(), per_row=2)
    shown = [axis for axis in fig.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == ["a", "b", "c"]
    assert [axis.get_legend() for axis in shown] == [None] * 3
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["GON", "AE"]
    plt.close(fig)


def test_the_gap_is_drawn_under_both_errors():
    fig = figures.plot_gap(some_curves().assign(train_error=lambda curves: curves.test_error - 0.25))
    assert [axis.get_title() for axis in fig.axes[:3]] == ["a", "b", "c"]
    drawn = [line.get_linestyle() for line in fig.axes[0].lines if len(line.get_xdata())]  # the others are the legend's
    assert drawn == ["-", "-", "--", "--"]
    assert set(fig.axes[3].lines[0].get_ydata()) == {0.25}
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["GON", "AE", "test", "training"]
    plt.close(fig)


def test_a_metric_against_a_field_leaves_out_what_failed():
    runs = pd.DataFrame([{"row": "GON", "state": state, "config": Config(latents=k), "test_error": 1.0 / k}
                         for k, state in ((8, "done"), (32, "done"), (64, "failed"))])
    ax = figures.plot_against(runs, "latents")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["8", "32"]
    assert ax.get_xlabel() == "latents" and ax.get_xscale() == "log"
    plt.close(ax.figure)


def test_activations_are_drawn_with_their_second_derivatives():
    fig = figures.plot_activations(["relu", "elu"])
    relu, elu = ([line.get_ydata() for line in axis.lines] for axis in fig.axes[:2])
    assert abs(relu[2]).max() == 0
    assert elu[2].max() > 0.9
    plt.close(fig)


# --- numbers and tables ----------------------------------------------------------------------------------------------


def stored(row="GON", column="mnist", seed=0, state="done", paper=None, **metrics):
    """A row of `experiments.collect`, with a run that says where it comes from."""
    run = SimpleNamespace(metrics=metrics, summary=lambda: "mnist, 18 steps in 3 s on <cpu>")
    return {"row": row, "column": column, "seed": seed, "state": state, "hash": f"{row}{column}{seed}".lower(),
            "run": run if state != "not run" else None, "paper": paper} | metrics


def three(values=(1.0, 2.0, 3.0), **fields):
    return pd.DataFrame([stored(seed=i, test_error=v, **fields) for i, v in enumerate(values)])


def test_mean_and_deviation():
    assert figures.mean_sd([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert figures.mean_sd([4.0]) == (4.0, None)
    assert figures.mean_sd([1.0, None, math.nan, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
    assert figures.mean_sd([]) is None
    assert figures.written(0.414, 0.006) == "0.41 ± 0.01" and figures.written(5.4, None, digits=1) == "5.4"


def test_a_number_links_to_its_runs():
    link = BeautifulSoup(figures.number(three(), "test_error"), "html.parser").a
    assert link.text == "2.00 ± 1.00"
    assert link["href"] == "runs.html#run-gonmnist0" and link["data-runs"].split() == [f"gonmnist{i}" for i in range(3)]
    assert link["data-metric"] == "test_error" and link["data-digits"] == "2"
    assert link["title"] == "3 seeds: mnist, 18 steps in 3 s on <cpu>"
    assert figures.number(three([0.5]), "test_error", digits=3).endswith(">0.500</a>")
    assert figures.number(three(), "test_error")._repr_html_().startswith("<a")


@pytest.mark.parametrize("state, told", [("not run", "not run yet"), ("failed", "failed")])
def test_what_is_not_there_is_said(state, told):
    runs = pd.DataFrame([stored(seed=i, state=state) for i in range(2)])
    made = BeautifulSoup(figures.number(runs, "test_error"), "html.parser")
    assert made.find("span", class_="state").text == told and made.a is None


def test_a_number_that_runs_do_not_have_is_a_dash():
    """A classifier alone has no error: it is not waiting to be run."""
    assert BeautifulSoup(figures.number(three(), "test_accuracy"), "html.parser").text == "–"


def test_a_failed_seed_is_not_hidden_behind_the_others():
    runs = pd.concat([three(), pd.DataFrame([stored(seed=3, state="failed", test_error=50.0)])])
    made = BeautifulSoup(figures.number(runs, "test_error"), "html.parser")
    assert made.a.text == "2.00 ± 1.00" and "gonmnist3" not in made.a["data-runs"]
    assert made.find("span", class_="state").text == "1 of 4 failed"


def read(made):
    """A table's cells by (row, column, heading)."""
    soup = BeautifulSoup(made, "html.parser")
    assert soup.find("div", class_="table-scroll") and soup.find("table", class_="results")
    upper, lower = ([(th.text, int(th.get("colspan", 1))) for th in tr("th")[1:]] for tr in soup.thead("tr"))
    columns = list(zip([text for text, width in upper for _ in range(width)], [text for text, _ in lower], strict=True))
    return {(tr.th.text, *column): td.text for tr in soup.tbody("tr")
            for column, td in zip(columns, tr("td"), strict=True)}


def test_the_paper_s_numbers_stand_beside_ours():
    recorded = three([0.4, 0.5, 0.6], paper=(0.41, 0.01))
    recorded["hash"] = "full" + recorded.hash
    runs = pd.concat([three(paper=(0.41, 0.01)), three([7.0], row="AE"), three([8.0], column="digits")])
    cells = read(figures.table(runs, recorded=recorded, names={"mnist": "MNIST"}))
    assert cells["GON", "MNIST", "paper"] == "0.41 ± 0.01"
    assert cells["GON", "MNIST", "recorded"] == "0.50 ± 0.10"
    assert cells["GON", "MNIST", "just run"] == "2.00 ± 1.00"
    assert cells["AE", "MNIST", "just run"] == "7.00" and cells["AE", "MNIST", "paper"] == ""
    assert cells["GON", "digits", "just run"] == "8.00" and ("GON", "digits", "paper") not in cells
    assert list(dict.fromkeys(row for row, *_ in cells)) == ["GON", "AE"]
    assert ("GON", "MNIST", "paper") not in read(figures.table(runs, paper=False, names={"mnist": "MNIST"}))


def test_a_column_for_each_metric():
    runs = pd.DataFrame([stored(row, test_error=error, seconds=12.0) for row, error in (("GON", 1.0), ("AE", 2.0))])
    metrics = {"test_error": "error", "seconds": "seconds"}
    cells = read(figures.table(runs, metrics))
    assert cells["AE", "mnist", "error"] == "2.00" and cells["GON", "mnist", "seconds"] == "12.00"
    recorded = runs.assign(test_error=0.1, hash="full" + runs.hash)
    cells = read(figures.table(runs, metrics, recorded=recorded))  # neither hides the other
    assert cells["AE", "mnist", "error, recorded"] == "0.10" and cells["AE", "mnist", "error, just run"] == "2.00"


def test_a_table_of_what_was_never_run():
    runs = pd.DataFrame([stored(row, state="not run", paper=(1.0, 0.1)) for row in ("GON", "AE")])
    cells = read(figures.table(runs))
    assert cells["AE", "mnist", "just run"] == "not run yet" and cells["AE", "mnist", "paper"] == "1.00 ± 0.10"


def test_data_sets_with_results_come_first_and_a_row_can_be_added():
    full = pd.DataFrame([stored(column=name, state=state, paper=(1.0, 0.1)) for name, state in (
        ("mnist", "not run"), ("small_norb", "not run"), ("coil20", "done"))])
    full = full.assign(config=[Config(dataset=column) for column in full.column])
    row = {("coil20", "recorded"): 0.644, ("small_norb", "recorded"): None}
    cells = read(figures.table(three(column="digits"), recorded=full, names=DATASETS, below={"PCA": row}))
    assert list(dict.fromkeys(top for _, top, _ in cells)) == ["digits", "COIL-20", "MNIST", "Small NORB"]
    assert cells["PCA", "COIL-20", "recorded"] == "0.64" and cells["PCA", "Small NORB", "recorded"] == ""
    assert cells["GON", "MNIST", "recorded"] == "not run yet" and cells["GON", "Small NORB", "recorded"] == "needs data"


def test_recorded_runs_or_how_to_make_them(monkeypatch, tmp_path):
    assert "<table" in figures.recorded("table1") and "paper" in figures.recorded("table1")
    monkeypatch.setattr("gonlib.study.registry.recorded_store", lambda: Store(tmp_path))
    line = figures.recorded("activations", transpose=True)
    assert "<table" not in line and BeautifulSoup(line, "html.parser").text.startswith("Not run yet: 144 runs on cifar10")
    assert "python -m gonlib run activations --profile paper" in line


def test_a_shaded_table():
    made = figures.shaded(pd.DataFrame({"a": [1.0, None]}), cmap="Blues", vmin=0, vmax=2).to_html()
    assert "1.00" in made and "nan" not in made and 'class="dataframe results"' in made


def test_a_table_of_nothing_says_so():
    assert "not run yet" in figures.table(three()[:0], names=DATASETS)
    assert figures.shaded(pd.DataFrame(), cmap="Blues").to_html()


# --- pictures and curves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_in_rows(channels):
    images = torch.rand(7, channels, 4, 4)
    fig = figures.show_images(images, per_row=3, titles=["a", "b", "c"])
    assert len(fig.axes) == 9 and sum(bool(axis.images) for axis in fig.axes) == 7
    assert [axis.get_title() for axis in fig.axes[:3]] == ["a", "b", "c"]
    shown = torch.as_tensor(fig.axes[4].images[0].get_array())
    assert torch.allclose(shown if channels == 1 else shown.permute(2, 0, 1), images[4].squeeze(0))
    plt.close(fig)


def test_pictures_with_a_title_for_each_row():
    bytes_ = torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)
    fig = figures.show_images({"original": bytes_, "GON": torch.full((2, 1, 4, 4), 2.0)})
    assert [axis.get_ylabel() for axis in fig.axes] == ["original", "", "GON", ""]
    assert {float(axis.images[0].get_array().max()) for axis in fig.axes} == {1.0}  # bytes and overshoot alike
    plt.close(fig)


def test_curves_of_one_row_each_in_the_book_s_colours():
    curves = some_curves()
    curves.loc[0, "test_error"] = math.nan  # not evaluated in that epoch
    ax = figures.plot_curves(curves)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["GON", "AE"]
    assert [line.get_color() for line in ax.lines[:2]] == [figures.COLOURS["GON"], figures.COLOURS["AE"]]
    assert ax.get_yscale() == "log" and ax.get_ylabel() == "summed squared error per image"
    plt.close(ax.figure)
