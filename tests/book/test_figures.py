"""What the book draws."""

import math
import re

import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from matplotlib import pyplot as plt

from gonlib.book import figures, svg


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
    used = set(re.findall(r"#([\w-]+)", str(made.svg)))
    assert {tag["id"] for tag in made.select("[id]")} <= used


@pytest.mark.parametrize(("low", "high", "ticks"), [
    (3, 30, ["5", "10", "20"]), (1, 1e4, ["1", "10", "100", "1,000", "10,000"])])
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(low, high, ticks):
    ax = plt.figure().add_subplot(yscale="log", ylim=(low, high))
    svg.plain_ticks(ax.yaxis)
    places = [value for value in ax.yaxis.get_majorticklocs() if low <= value <= high]
    assert [ax.yaxis.get_major_formatter()(value) for value in places] == ticks
    plt.close(ax.figure)
    assert svg.plain(0) == "0" and svg.plain(1e-6) == "$10^{-6}$"
