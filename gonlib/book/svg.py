"""Figures as SVG inside the page: text that scales with it, and lines and letters in its own colours, light or dark."""

import io
import math
import re
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ..study.numbers import Html

INK = "#010203"  # drawn in the colour of the page's text
# The page may have other shades of these in the dark (book.css); the names are those of its variables.
THEMED = {"#0072b2": "blue", "#0173b2": "blue", "#d55e00": "red", "#009e73": "green", "#029e73": "green",
          "#6a51a3": "violet", "#4d4d4d": "grey"}
PIXELS_PER_POINT, ON_PHONES = 1.45, 0.77  # how large a figure stands on a wide page, and at least on a narrow one
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
    """A figure as an SVG to stand in a page; below it, if it was drawn from runs, a link to their card."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            plain_ticks(axis)
        for mark in axes.collections:
            if isinstance(mark, QuadMesh | PathCollection) and _marks(mark) > MANY:
                mark.set_rasterized(True)
        for image in axes.images:
            if max(image.get_array().shape[:2]) <= MANY:  # its pixels as they are, enlarged by the browser
                image.set_interpolation("none")
    file = io.StringIO()
    figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.04, metadata={"Date": None})
    return Html('<div class="drawn">{}{}</div>').format(Html(_inline(file.getvalue())), _data(figure))


def _marks(mark):
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
    if isinstance(runs, pd.DataFrame):
        there = runs[runs.run.notna()] if "run" in runs else runs
        runs = there.hash if "hash" in there else ()
    figure.runs = dict.fromkeys([*getattr(figure, "runs", {}), *runs])


def _data(figure):
    """The link below a figure to the runs that it shows."""
    runs = list(getattr(figure, "runs", {}))
    link = '<div class="data"><a class="number" href="runs.html#run-{}" data-runs="{}">data</a></div>'
    return Html(link).format(runs[0], " ".join(runs)) if runs else ""
