"""Drawing, one style for the whole book: pictures in rows, curves, and metrics against what was varied."""

import math
import textwrap

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from IPython.display import display
from matplotlib.ticker import MaxNLocator

from . import page, svg
from .grids import arrange

# One colour per kind of model through the whole book (Okabe-Ito, readable for colour-blind eyes).
COLOURS = {
    "GON": "#0072B2", "AE": "#D55E00", "Tied AE": "#E69F00", "1 step, detached": "#56B4E9", "10 steps": "#009E73",
    "10 steps, detached": "#6A51A3", "GLO": "#CC79A7", "VGON": "#0072B2", "VAE": "#D55E00", "implicit GON": "#009E73",
}
# Those of what is no kind of model: seaborn's, but for three that are too pale for a name in small letters.
FURTHER = [colour for i, colour in enumerate(sns.color_palette("colorblind")) if i not in (6, 8, 9)]
DASHES = {"AE": (5, 1.5), "VAE": (5, 1.5), "Tied AE": (1, 1), "1 step, detached": (3, 1, 1, 1), "10 steps": (6, 2, 2, 2),
          "10 steps, detached": (2, 2), "GLO": (8, 2)}  # of lines that may lie on each other
OTHERS = ("", (5, 1.5), (1, 1), (3, 1, 1, 1))  # the dashes of what is no kind of model, in turn


def style():
    """Set the book's style, see also `page.begin`; every notebook calls it once."""
    shell = page.begin()
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", rc=svg.SETTINGS)
    if shell:
        svg.show_as_html(shell)


def show_images(images, **options):
    """Show images in rows under the cell, as `grids.arrange` arranges them; nothing if there are none."""
    made = arrange(images, **options)
    if made is not None:
        display(made)


def signed(images):
    """Signed pictures (N, C, H, W) as colours (N, 3, H, W) for `show_images`: red above zero, white at it, blue below.

    Channels are averaged; each picture is scaled by its own largest magnitude.
    """
    values = images.detach().cpu().float().mean(1)
    values = values / values.abs().amax((1, 2), keepdim=True).clamp(min=1e-30)
    colours = plt.get_cmap("RdBu_r")((values.numpy() + 1) / 2)[..., :3]
    return torch.from_numpy(colours).permute(0, 3, 1, 2).float()


def plot_curves(curves, y="test_error", x="epoch", hue="row", label="summed squared error per image", log=True, ax=None):
    """Curves with a band of one sd over seeds, from `experiment.curves`, each with its name at its end; returns the axes."""
    data, alone = curves.dropna(subset=[y]), ax is None
    if alone:
        ax = plt.figure().add_subplot()
    else:
        label = textwrap.fill(label, 22)  # panels are low
    names = list(dict.fromkeys(data[hue]))
    palette = {n: COLOURS.get(n, FURTHER[i % len(FURTHER)]) for i, n in enumerate(names)}
    dashes = {n: DASHES.get(n, "") if n in COLOURS else OTHERS[i % 4] for i, n in enumerate(names)}
    sns.lineplot(data, x=x, y=y, hue=hue, style=hue, dashes=dashes, errorbar="sd", palette=palette, ax=ax, lw=1.6,
                 err_kws={"alpha": 0.13, "lw": 0})
    ends = {}
    for name in names:  # where it ends: runs grow, and not all are equally far
        part = data[data[hue] == name]
        last = part[part[x] == part[x].max()]
        ends[name] = last[x].iloc[0], last[y].mean()
        ax.scatter(*ends[name], s=14, color=[palette[name]], zorder=3)
    ax.set(xlabel={"seconds": "seconds of training"}.get(x, x), ylabel=label, yscale="log" if log else "linear")
    if x == "epoch":
        wide = ax.figure.get_figwidth() / ax.get_subplotspec().get_gridspec().ncols
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(round(2.4 * wide), 6)))
    ax.get_legend().set_title("")
    if alone and len(names) > 1:
        _name_ends(ax, ends, palette)
        ax.get_legend().remove()
    svg.remember(ax.figure, data)
    return ax


def _name_ends(ax, ends, palette):
    """Write the name of each curve at its end's height, right of all curves, names at least 12 points apart."""
    right = max((end[0] for end in ends.values()), default=0)
    heights = {name: ax.transData.transform(end)[1] * 72 / ax.figure.dpi for name, end in ends.items()}
    order = sorted(heights, key=heights.get)
    places, floor = dict(heights), ax.bbox.y0 * 72 / ax.figure.dpi + 6  # above what is written along the axis
    for _ in range(40):  # neighbours that are too close move away from each other
        for below, above in zip(order, order[1:], strict=False):
            push = max(12 - (places[above] - places[below]), 0) / 2
            places[below] -= push
            places[above] += push
        places[order[0]] = max(places[order[0]], floor)
    for name in order:
        shift = 7, places[name] - heights[name]
        ax.annotate(name, (right, ends[name][1]), xytext=shift, textcoords="offset points", va="center", fontsize=9,
                    color=palette[name], annotation_clip=False)


def plot_panels(curves, panel="column", per_row=None, share=True, **options):
    """`plot_curves` for each value of the column `panel`, by default on one scale, one legend; returns the figure.

    Epochs are on a logarithmic scale where one curve has ten times as many as another.
    """
    names = list(dict.fromkeys(curves[panel]))
    per_row = per_row or (2 if len(names) in (2, 4) else min(3, len(names)))
    rows = math.ceil(len(names) / per_row)
    size = (min(max(2.3 * per_row, 4.8), svg.WIDTH), 2.2 * rows + 0.4) if len(names) > 1 else None  # None: the usual
    fig, axes = plt.subplots(rows, per_row, figsize=size, sharex=True, sharey=share, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        plot_curves(curves[curves[panel] == name], ax=axis, **options)
        axis.set_title(textwrap.fill(str(name), 26))
        if share:
            axis.label_outer()
        elif axis not in axes[:, 0]:
            axis.set_ylabel("")
    ends = curves.groupby([panel, options.get("hue", "row")])[options.get("x", "epoch")].max()
    if options.get("x", "epoch") == "epoch" and ends.max() >= 10 * ends.min():  # runs grow: some have only begun
        for axis in axes.flat:
            axis.set_xscale("log")
            axis.set_xticks([10**i for i in range(4) if 10**i <= ends.max()])
            axis.xaxis.set_major_formatter("{x:,.0f}")
            axis.minorticks_off()
    lines = _legend(axes)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis in axes.flat[max(len(names) - per_row, 0) : len(names)]:  # the lowest that is shown, in each column
        axis.tick_params(labelbottom=True)
        axis.set_xlabel(axes[-1, 0].get_xlabel(), visible=True)
    for axis in axes.flat[: len(names)]:
        axis.get_legend().remove()
    rows = math.ceil(sum(0.6 + 0.075 * len(name) for name in lines) / fig.get_figwidth())
    fig.legend(lines.values(), lines, loc="outside upper center", ncols=math.ceil(len(lines) / rows))
    return fig


def plot_gap(curves):
    """Test (solid) and training error (dashed), and below it the gap between them, a panel per data set; the figure."""
    names = list(dict.fromkeys(curves.column))
    curves = curves.assign(gap=curves.test_error - curves.train_error)
    blocks, wide = math.ceil(len(names) / 3), min(len(names), 3)
    size = min(max(2.3 * wide, 4.8), svg.WIDTH), 4.0 * blocks + 0.2
    fig, axes = plt.subplots(2 * blocks, wide, figsize=size, squeeze=False)
    for i, name in enumerate(names):
        row, column = divmod(i, wide)
        _plot_gap(curves[curves.column == name], *axes[2 * row : 2 * row + 2, column])
        axes[2 * row, column].set_title(textwrap.fill(str(name), 26))
    lines = _legend(axes)
    for i, axis in enumerate(axes.flat):
        axis.set_visible(bool(axis.lines))
        if axis.lines:
            axis.get_legend().remove()
        if i % wide:
            axis.set_ylabel("")
    styles = [plt.Line2D([], [], color=svg.INK, ls=ls, label=label) for ls, label in (("-", "test"), ("--", "training"))]
    fig.legend(handles=[*lines.values(), *styles], loc="outside upper center", ncols=4)
    return fig


def _plot_gap(curves, top, bottom):
    """Both errors of one data set into the upper axes, the gap between them into the lower."""
    bottom.sharex(top)
    plot_curves(curves, ax=top)
    solid = len(top.lines)
    plot_curves(curves, y="train_error", ax=top, label="error")
    plot_curves(curves, y="gap", ax=bottom, label="gap", log=False)
    late = curves.gap[curves.epoch > curves.epoch.max() / 10]  # before, both errors are large, and so is what is between
    bottom.set_ylim(1.1 * min(late.min(), 0) - 0.05 * late.max(), 1.1 * late.max())
    for i, line in enumerate([*top.lines, *bottom.lines]):
        line.set_linestyle("--" if solid <= i < len(top.lines) else "-")
    top.tick_params(labelbottom=False)
    top.set_xlabel("")


def _legend(axes):
    """Name -> its line, of the legends of all axes."""
    legends = [axis.get_legend_handles_labels() for axis in axes.flat]
    return {label: handle for handles, labels in legends for handle, label in zip(handles, labels, strict=True)}


def plot_against(runs, field, **options):
    """The test error of finished runs against one of their factors, a curve per row; returns the axes."""
    done = runs[runs.state == "done"]
    ax = plot_curves(done, x=field, **options)
    for line in ax.lines:
        line.set(marker="o", markersize=4)
    values = sorted(set(done[field]))
    ax.set_xscale("log")
    ax.set_xticks(values, [f"{v:g}" for v in values], minor=False)
    ax.minorticks_off()
    return ax


def plot_points(frame, x, labels):
    """Points on logarithmic axes, each with its text of `labels` beside it; rows without a number are left out."""
    ax = plt.figure().add_subplot()
    known = frame.dropna(subset=[x, "test_error"])
    ax.plot(known[x], known.test_error, "o", color=COLOURS["implicit GON"])
    for number, (i, row) in enumerate(known.iterrows()):  # above and below in turn, so that neighbours do not collide
        place = {"xytext": (4, 5), "va": "bottom"} if number % 2 else {"xytext": (4, -5), "va": "top"}
        ax.annotate(labels[i], (row[x], row.test_error), textcoords="offset points", fontsize=8, **place)
    ax.set(xlabel=x, ylabel="summed squared error per image", xscale="log", yscale="log")
    svg.remember(ax.figure, known)
    return ax
