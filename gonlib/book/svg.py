"""Figures as SVG inside the page: text that scales with it, and lines and letters in its own colours, light or dark."""

import io
import math
import re
import textwrap
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ..study.numbers import Html

INK = "#010203"  # drawn in the colour of the page's text
# The page may have other shades of these in the dark (book.css); the names are those of its variables.
THEMED = {"#0072b2": "blue", "#0173b2": "blue", "#d55e00": "red", "#009e73": "green", "#029e73": "green",
          "#6a51a3": "violet", "#4d4d4d": "grey"}
PIXELS_PER_POINT, ON_PHONES = 1.45, 0.77  # how large a figure stands on a wide page, and at least on a narrow one
WIDTH, PHONE = 6.4, 4.4  # inches of a wide page, and of one on which letters are still large enough on a phone
MANY = 300  # marks of one kind, from which on they are an image: the page stays small
SETTINGS = {
    "figure.figsize": (5.8, 3.4), "figure.constrained_layout.use": True, "figure.dpi": 160, "svg.fonttype": "none",
    "mathtext.fontset": "dejavusans",
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "xtick.major.width": 0.8,
    "ytick.major.width": 0.8, "xtick.major.size": 3.5, "ytick.major.size": 3.5, "axes.grid": True, "grid.color": INK,
    "grid.alpha": 0.12, "grid.linewidth": 0.7, "image.cmap": "gray", "font.size": 9.5, "axes.labelsize": 9.5,
    "axes.titlesize": 9.5, "figure.titlesize": 9.5, "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9,
    "legend.title_fontsize": 9}


def show_as_html(shell: Any) -> None:
    """Let an IPython shell show figures as `as_html` makes them, and in no other way."""
    formatters = shell.display_formatter.formatters
    for kind in ("image/png", "image/svg+xml"):
        formatters[kind].pop(plt.Figure, None)
    formatters["text/html"].for_type(plt.Figure, as_html)


def as_html(figure) -> Html:
    """A figure as an SVG to stand in a page, and if it is wide another for phones; then a link to the card of its runs.

    The figure itself is narrow afterwards.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            plain_ticks(axis)
        for mark in (*axes.collections, *axes.lines):
            if isinstance(mark, QuadMesh | PathCollection | Line2D) and _marks(mark) > MANY:
                mark.set_rasterized(True)
        for image in axes.images:
            if max(image.get_array().shape[:2]) <= MANY:  # its pixels as they are, enlarged by the browser
                image.set_interpolation("none")
    drawn = _drawing(figure)
    if fit_phone(figure):
        drawn = Html('<div class="wide">{}</div><div class="narrow">{}</div>').format(drawn, _drawing(figure))
    return Html('<div class="drawn">{}{}</div>').format(drawn, data_link(getattr(figure, "runs", ())))


def _drawing(figure):
    file = io.StringIO()
    figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.04, metadata={"Date": None})
    return Html(_inline(file.getvalue()))


def fit_phone(figure) -> bool:
    """Make a wide figure narrow, its panels below each other or two beside each other; whether it was wide."""
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_subplotspec()]
    wide, high = figure.get_size_inches()
    if not panels or wide <= PHONE or figure.get_layout_engine() is None:
        return False
    rows, columns = panels[0].get_subplotspec().get_gridspec().get_geometry()
    beside = max(int(PHONE * columns / wide), 1)
    if columns > 1:
        _stack(figure, panels, beside)
    below = math.ceil(len(panels) / beside) if columns > 1 else rows
    figure.set_size_inches(PHONE, below * high / rows * (min(PHONE / beside / wide * columns, 1) if columns > 1 else 1))
    for axes in panels:
        axes.title.set_text(textwrap.fill(axes.get_title(), int(PHONE / beside / 0.085)))
    for legend in list(figure.legends):
        handles, names = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
        legend.remove()
        figure.legend(handles, names, loc="outside upper center", ncols=_legend_columns(names))
    return True


def _legend_columns(names):
    """In how many columns names of curves fit a phone, each as wide as its longest name."""
    for count in range(len(names), 1, -1):
        columns = np.array_split([len(name) for name in names], count)
        if sum(0.6 + 0.085 * max(column) for column in columns) <= PHONE:
            return count
    return 1


def _stack(figure, panels, beside):
    """Put panels on a grid with `beside` columns, each with the labels that it shared with its neighbours."""
    places = {axes: axes.get_subplotspec() for axes in panels}
    first = {place.rowspan.start: axes.get_ylabel() for axes, place in reversed(places.items())}
    last = {place.colspan.start: axes.get_xlabel() for axes, place in places.items()}
    kinds = len(set(first.values()))  # if the rows show different things, so many below each other belong together
    panels = sorted(panels, key=lambda axes: (places[axes].rowspan.start // kinds, places[axes].colspan.start))
    grid = figure.add_gridspec(math.ceil(len(panels) / beside), beside)
    for i, axes in enumerate(panels):
        place = places[axes]
        axes.set(xlabel=axes.get_xlabel() or last[place.colspan.start],
                 ylabel=(axes.get_ylabel() or first[place.rowspan.start]) if i % beside == 0 or kinds > 1 else "")
        own = not axes.get_shared_y_axes().joined(axes, panels[0])  # a scale of its own
        axes.tick_params(labelbottom=True, labelleft=i % beside == 0 or own)
        axes.set_subplotspec(grid[i // beside, i % beside])


def _marks(mark):
    if isinstance(mark, Line2D):
        return 0 if mark.get_marker() in ("None", "") else len(mark.get_xdata())
    return len(mark.get_offsets()) if isinstance(mark, PathCollection) else mark.get_array().size


def plain_ticks(axis) -> None:
    """Ticks of a logarithmic axis as plain numbers (1, 2, 5, 10), unless the figure has set its own."""
    if axis.get_scale() != "log" or not axis.isDefault_majloc:
        return
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low) if low > 0 else 3
    steps = (1, 2, 5) if decades < 2.2 else (1,)
    axis.set_major_locator(MaxNLocator(4) if decades < 0.6 else LogLocator(subs=steps, numticks=7))
    axis.set_minor_locator(NullLocator() if decades < 2.2 else LogLocator(subs=(2, 5), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def plain(value: float) -> str:
    """A number at a tick: 0.5, 20, 10,000; beyond that as a power of ten."""
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"$10^{{{math.log10(value):.0f}}}$"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _inline(svg: str) -> str:
    """Matplotlib's file as an element of a page: without what a page does not need, in the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    # hundredths of a point are enough; what is between tags is text, and stays
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = svg.replace(INK, "currentColor")
    for colour, name in THEMED.items():
        svg = svg.replace(colour, f"var(--drawn-{name}, {colour})")
    width, height = (float(re.search(rf' {side}="([\d.]+)pt"', svg)[1]) for side in ("width", "height"))
    wide = f"width: {width * PIXELS_PER_POINT:.0f}px; --least: {width * ON_PHONES:.0f}px"
    head = (f'<svg role="img" class="drawn" style="{wide}" '
            f'viewBox="0 0 {width:g} {height:g}" xmlns:xlink="http://www.w3.org/1999/xlink">')
    return re.sub(r"<svg [^>]*>", head, svg, count=1).replace("\n", " ")


def remember(figure: plt.Figure, runs: pd.DataFrame | Iterable[str]) -> None:
    """Note that a figure shows some runs: given by name, or in a frame with their names in a column `hash`."""
    figure.runs = [*getattr(figure, "runs", []), *names_of(runs)]


def names_of(runs: pd.DataFrame | Iterable[str]) -> list[str]:
    """The names of runs that are given so, or in a frame, where those that are not there are left out."""
    if not isinstance(runs, pd.DataFrame):
        return list(runs)
    there = runs[runs.run.notna()] if "run" in runs else runs
    return list(there.hash) if "hash" in there else []


def data_link(runs: Iterable[str]) -> Html:
    """The link below a figure to the runs that it shows; nothing if it shows none."""
    names = list(dict.fromkeys(runs))
    link = '<div class="data"><a class="number" href="runs.html#run-{}" data-runs="{}">data</a></div>'
    return Html(link).format(names[0], " ".join(names)) if names else Html("")
