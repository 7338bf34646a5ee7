"""What the book draws."""

import base64
import io
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from matplotlib import pyplot as plt
from PIL import Image

from gonlib.book import figures, grids, svg


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


def test_epochs_are_logarithmic_where_a_curve_has_only_begun():
    curves = some_curves()
    longer = pd.concat([curves, curves[(curves.column == "a") & (curves.row == "GON")].assign(epoch=20)])
    for shown, scale in ((curves, "linear"), (longer, "log")):
        fig = figures.plot_panels(shown)
        assert {axis.get_xscale() for axis in fig.axes} == {scale}
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
    runs = pd.DataFrame([{"row": "GON", "state": state, "latents": k, "test_error": 1.0 / k}
                         for k, state in ((8, "done"), (32, "done"), (64, "failed"))])
    ax = figures.plot_against(runs, "latents")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["8", "32"]
    assert ax.get_xlabel() == "latents" and ax.get_xscale() == "log"
    plt.close(ax.figure)


# --- pictures and curves ---------------------------------------------------------------------------------------------


def opened(picture):
    """The pixels of an `img`: (height, width, red, green, blue and alpha), from 0 to 1."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["src"].split(",")[1]))).convert("RGBA")) / 255


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_in_rows(channels):
    images = torch.rand(7, channels, 32, 32)
    made = BeautifulSoup(grids.arrange(images, per_row=3, titles=["a", "b", "c"])._repr_html_(), "html.parser")
    assert [title.text for title in made.select(".titles span")] == ["a", "b", "c"] and not made.select(".label")
    rows = [opened(picture) for picture in made.select("img")]
    assert [row.shape for row in rows] == [(32, 98, 4)] * 3
    second = images[4].expand(3, -1, -1).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(rows[1][:, 33:65, :3], second, atol=1 / 255)
    assert rows[1][:, 32, 3].max() == 0 and rows[1][:, 33:65, 3].min() == 1  # a gap that one sees through
    assert rows[2][:, 33:, 3].max() == 0  # nothing where there is no image


def test_pictures_with_a_title_for_each_row():
    bytes_ = torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)
    pictures = grids.arrange({"original": bytes_, "GON <1>": torch.full((2, 1, 4, 4), 2.0)})
    made = BeautifulSoup(pictures._repr_html_(), "html.parser")
    assert [label.text for label in made.select(".label")] == ["original", "GON <1>"]
    assert [opened(picture)[..., :3].max() for picture in made.select("img")] == [1, 1]  # bytes and overshoot alike
    assert opened(made.img).shape == (32, 65, 4)  # small images are enlarged, so that gaps are narrow
    assert pictures.as_image().size == (10 * 65, 10 * 68)
    assert grids.arrange({}) is None


def test_curves_of_one_row_each_in_the_book_s_colours():
    curves = some_curves()
    curves.loc[0, "test_error"] = math.nan  # not evaluated in that epoch
    ax = figures.plot_curves(curves)
    assert [text.get_text() for text in ax.texts] == ["GON", "AE"]
    assert [line.get_color() for line in ax.lines[:2]] == [figures.COLOURS["GON"], figures.COLOURS["AE"]]
    assert ax.get_yscale() == "log" and ax.get_ylabel() == "summed squared error per image"
    plt.close(ax.figure)


def test_names_of_curves_that_end_together_do_not_lie_on_each_other():
    frame = pd.DataFrame([{"row": row, "epoch": epoch, "test_error": 1.0 + epoch + 1e-3 * i}
                          for i, row in enumerate("abcd") for epoch in (1, 2)])
    ax = figures.plot_curves(frame, log=False)
    heights = [ax.transData.transform(text.xy)[1] * 72 / ax.figure.dpi + text.xyann[1] for text in ax.texts]
    assert min(b - a for a, b in zip(sorted(heights), sorted(heights)[1:], strict=False)) > 9
    plt.close(ax.figure)


# --- as they stand in a page -----------------------------------------------------------------------------------------


def test_a_figure_in_a_page_takes_its_colours_and_links_to_its_runs():
    with plt.rc_context(svg.SETTINGS):
        ax = figures.plot_curves(some_curves().assign(hash=lambda curves: curves.row))
        ax.set_title("eps 0.0001")
        made = BeautifulSoup(svg.as_html(ax.figure), "html.parser")
        plt.close(ax.figure)
    assert svg.INK not in str(made) and "currentColor" in str(made) and "var(--drawn-blue, #0072b2)" in str(made)
    assert {"GON", "eps 0.0001"} <= {text.text for text in made.select("svg text")}
    assert made.select_one(".data a.number")["data-runs"] == "GON AE"
    used = set(re.findall(r"#([\w-]+)", str(made)))
    names = [tag["id"] for tag in made.select("[id]")]
    assert set(names) <= used and len(set(names)) == len(names)


@pytest.mark.parametrize(("columns", "beside"), [("abc", 2), ("ab", 1)])
def test_panels_stand_below_each_other_on_a_phone(columns, beside):
    curves = some_curves().query("column in @columns", local_dict={"columns": list(columns)})
    with plt.rc_context(svg.SETTINGS):
        fig = figures.plot_panels(curves)
        made = BeautifulSoup(svg.as_html(fig), "html.parser")
    wide, narrow = made.select_one(".wide svg"), made.select_one(".narrow svg")
    assert all(float(part["viewbox"].split()[2]) <= 72 * limit + 9
               for part, limit in ((wide, svg.WIDTH), (narrow, svg.PHONE)))
    shown = [axis for axis in fig.axes if axis.get_visible()]
    assert [axis.get_subplotspec().get_geometry()[1:3] for axis in shown] == [
        (beside, i) for i in range(len(columns))]
    assert {axis.get_xlabel() for axis in shown} == {"epoch"}
    assert [bool(axis.get_ylabel()) for axis in shown] == [i % beside == 0 for i in range(len(columns))]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["GON", "AE"]
    plt.close(fig)


def test_the_gap_of_a_data_set_stays_below_its_errors_on_a_phone():
    with plt.rc_context(svg.SETTINGS):
        fig = figures.plot_gap(some_curves().assign(train_error=lambda curves: curves.test_error - 0.25))
        assert svg.fit_phone(fig)
    order = sorted(fig.axes, key=lambda axis: axis.get_subplotspec().num1)
    assert [axis.get_title() for axis in order] == ["a", "", "b", "", "c", ""]
    plt.close(fig)


def test_long_names_and_titles_do_not_make_a_figure_wider_than_a_phone():
    with plt.rc_context(svg.SETTINGS):
        fig, ax = plt.subplots(figsize=(6, 3))
        for name in ("GON", "1 step, detached", "10 steps, detached", "implicit GON, patches", "GLO"):
            ax.plot([1, 2], label=name)
        fig.legend(loc="outside upper center", ncols=5)
        ax.set_title("MNIST (60,000 images of 28 x 28 pixels), SIREN of 4 x 64 units, at epoch 1 of 50")
        made = BeautifulSoup(svg.as_html(fig), "html.parser")
    assert float(made.select_one(".narrow svg")["viewbox"].split()[2]) <= 72 * svg.PHONE + 9
    plt.close(fig)


def test_many_marks_are_one_image():
    with plt.rc_context(svg.SETTINGS):
        fig, ax = plt.subplots(figsize=(3, 3))
        ax.plot(torch.rand(4000), torch.rand(4000), "o")
        made = svg.as_html(fig)
    assert "<image" in made and len(made) < 100_000
    plt.close(fig)


@pytest.mark.parametrize(("low", "high", "ticks"), [
    (3, 30, ["5", "10", "20"]), (1, 1e4, ["1", "10", "100", "1,000", "10,000"])])
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(low, high, ticks):
    ax = plt.figure().add_subplot(yscale="log", ylim=(low, high))
    svg.plain_ticks(ax.yaxis)
    places = [value for value in ax.yaxis.get_majorticklocs() if low <= value <= high]
    assert [ax.yaxis.get_major_formatter()(value) for value in places] == ticks
    plt.close(ax.figure)
    assert svg.plain(0) == "0" and svg.plain(1e-6) == "$10^{-6}$"
