"""What single chapters draw."""

from collections import namedtuple

import pandas as pd
import torch
from bs4 import BeautifulSoup
from matplotlib import pyplot as plt

from gonlib.book import drawings, grids, svg
from gonlib.runs import kept

Named = namedtuple("Named", "hash")


def test_activations_are_drawn_with_their_second_derivatives():
    fig = drawings.plot_activations(["relu", "elu"])
    relu, elu = ([line.get_ydata() for line in axis.lines] for axis in fig.axes[:2])
    assert abs(relu[2]).max() == 0
    assert elu[2].max() > 0.9
    plt.close(fig)


def test_further_steps_are_drawn_over_steps_not_epochs():
    steps = [1, 2, 5, 50]
    table = pd.DataFrame({"row": "GON", "seed": 0, "hash": "a", "steps": steps, "relative": [1, 0.9, 0.8, 0.7],
                          "moved": [1, 1e-3, 1e-2, 0.1]})
    fig = drawings.plot_further(table)
    assert [axis.get_xlabel() for axis in fig.axes] == ["steps at evaluation"] * 2
    assert list(fig.axes[0].lines[0].get_xdata()) == steps[1:]
    plt.close(fig)


def test_a_figure_of_runs_links_to_their_card():
    """Those that there are; given by name, in a frame, or with the pictures that they kept."""
    frame = pd.DataFrame({"hash": ["a", "b", "a"], "run": ["there", None, "there"]})
    rows, image = kept.Rows([("row", torch.zeros(2, 1, 4, 4))], ["c"]), torch.zeros(1, 1, 4, 4)
    drawn = plt.figure()
    svg.remember(drawn, frame)
    svg.remember(drawn, ["e"])
    made = [(svg.as_html(drawn), "a e"), (svg.as_html(plt.figure()), None)]
    made += [(grids.arrange(images, runs=runs)._repr_html_(), names) for images, runs, names in (
        (image, frame, "a"), (image, ["d", "e"], "d e"), (rows, (), "c"), (image, (), None))]
    for html, names in made:
        link = BeautifulSoup(html, "html.parser").select_one(".drawn > .data a")
        assert (link and link["data-runs"]) == names
    plt.close("all")


def test_rows_of_pictures_know_the_runs_that_kept_them():
    rows, one, other = kept.Rows(), Named("a"), Named("b")
    rows.put("images", torch.zeros(2, 1, 4, 4), one)
    rows.put("images", torch.ones(2, 1, 4, 4), other)  # there already
    rows.put("nothing", None, other)
    assert [title for title, _ in rows] == ["images"] and list(rows.runs) == ["a"]
    rows.put("images", torch.ones(2, 3, 8, 8), other, once=False)
    rows = kept.alike(rows)
    assert [strip.shape for _, strip in rows] == [(2, 3, 8, 8)] * 2 and list(rows.runs) == ["a", "b"]
