"""Drawing, one style for the whole book: pictures in rows, curves, and metrics against what was varied."""

import base64
import io
import math

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from matplotlib.ticker import MaxNLocator

from ..study.numbers import Html
from . import page

# One colour per kind of model through the whole book (Okabe-Ito, readable for colour-blind eyes).
COLOURS = {
    "GON": "#0072B2", "AE": "#D55E00", "Tied AE": "#E69F00", "1 step, detached": "#56B4E9", "10 steps": "#009E73",
    "10 steps, detached": "#8FD3B6", "GLO": "#CC79A7", "VGON": "#0072B2", "VAE": "#D55E00", "implicit GON": "#009E73",
}


def style():
    """Set the book's style, see also `page.begin`; every notebook calls it once."""
    page.begin()
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.9, rc={
        "figure.dpi": 144, "figure.figsize": (6.4, 3.6), "figure.constrained_layout.use": True, "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False, "image.cmap": "gray"})


def show_images(images, titles=None, per_row=None, size=0.9, labels=None):
    """Draw images (N, C, H, W), floats in [0, 1] or uint8, in rows; or {row title: images}, or pairs of these; the figure,
    or None if there is nothing to show.

    `titles` stand above the images of the first row, `labels` (for a single tensor) left of the rows.
    """
    if not isinstance(images, torch.Tensor):
        pairs = list(images.items() if isinstance(images, dict) else images)
        if not pairs:
            return None
        labels, per_row = [label for label, _ in pairs], max(len(strip) for _, strip in pairs)
        images = torch.cat([as_cpu(strip) for _, strip in pairs])
    images = as_cpu(images)
    per_row = per_row or min(len(images), 12)
    rows = math.ceil(len(images) / per_row)
    ratio = images.shape[-2] / images.shape[-1]
    left = 1.3 if labels else 0.0
    fig, axes = plt.subplots(rows, per_row, figsize=(left + size * per_row, size * ratio * rows + (0.3 if titles else 0)),
                             squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02}, layout="constrained")
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0.01)
    for i, axis in enumerate(axes.flat):
        axis.set(xticks=[], yticks=[])
        axis.set_frame_on(False)
        if i < len(images):
            picture = images[i].permute(1, 2, 0).numpy()
            axis.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap="gray", vmin=0, vmax=1,
                        interpolation="nearest")
        if titles is not None and i < min(per_row, len(titles)):
            axis.set_title(titles[i], fontsize=8)
        if labels and i % per_row == 0:
            axis.set_ylabel(labels[i // per_row], rotation=0, ha="right", va="center", fontsize=9)
    return fig


def signed(images):
    """Signed pictures (N, C, H, W) as colours (N, 3, H, W) for `show_images`: red above zero, white at it, blue below.

    Channels are averaged; each picture is scaled by its own largest magnitude.
    """
    values = images.detach().cpu().float().mean(1)
    values = values / values.abs().amax((1, 2), keepdim=True).clamp(min=1e-30)
    colours = plt.get_cmap("RdBu_r")((values.numpy() + 1) / 2)[..., :3]
    return torch.from_numpy(colours).permute(0, 3, 1, 2).float()


def as_cpu(images):
    """Images as floats in [0, 1] on the CPU."""
    images = images.detach().cpu()
    return (images.float() / 255 if images.dtype == torch.uint8 else images.float()).clamp(0, 1)


def plot_curves(curves, y="test_error", x="epoch", hue="row", label="summed squared error per image", log=True, ax=None):
    """Curves with a band of one sd over seeds, from `experiment.curves`; returns the axes."""
    data = curves.dropna(subset=[y])
    ax = ax or plt.figure().add_subplot()
    names = list(dict.fromkeys(data[hue]))
    palette = {n: COLOURS.get(n, sns.color_palette("colorblind")[i % 10]) for i, n in enumerate(names)}
    sns.lineplot(data, x=x, y=y, hue=hue, errorbar="sd", palette=palette, ax=ax, lw=1.6)
    for name in names:  # where it ends: runs grow, and not all are equally far
        part = data[data[hue] == name]
        last = part[part[x] == part[x].max()]
        ax.scatter(last[x].iloc[0], last[y].mean(), s=14, color=[palette[name]], zorder=3)
    ax.set(xlabel={"seconds": "seconds of training"}.get(x, x), ylabel=label, yscale="log" if log else "linear")
    if x == "epoch":
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if len(names) > 4:  # above the curves, where it hides none
        sns.move_legend(ax, "lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    ax.get_legend().set_title("")
    return ax


def plot_panels(curves, panel="column", per_row=None, share=True, **options):
    """`plot_curves` for each value of the column `panel`, by default on one scale, one legend; returns the figure."""
    names = list(dict.fromkeys(curves[panel]))
    per_row = per_row or (2 if len(names) in (2, 4) else min(3, len(names)))
    rows = math.ceil(len(names) / per_row)
    size = (max(2.5 * per_row, 4.8), 2.6 * rows) if len(names) > 1 else None  # None: as a figure of one panel
    fig, axes = plt.subplots(rows, per_row, figsize=size, sharex=True, sharey=share, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        plot_curves(curves[curves[panel] == name], ax=axis, **options)
        axis.set_title(name)
        if share:
            axis.label_outer()
        elif axis not in axes[:, 0]:
            axis.set_ylabel("")
    lines = {label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis in axes.flat[: len(names)]:
        axis.get_legend().remove()
    fig.legend(lines.values(), lines, loc="outside upper center", ncols=min(len(lines), max(3, per_row + 1)))
    return fig


def plot_gap(curves, panel="column"):
    """Test (solid) and training error (dashed), and below it the gap between them, a panel per data set; the figure."""
    names = list(dict.fromkeys(curves[panel]))
    curves = curves.assign(gap=curves.test_error - curves.train_error)
    fig, axes = plt.subplots(2, len(names), figsize=(max(2.5 * len(names), 4.8), 4.4), sharex="col", squeeze=False)
    for (top, bottom), name in zip(axes.T, names, strict=True):
        part = curves[curves[panel] == name]
        plot_curves(part, ax=top)
        solid = len(top.lines)
        plot_curves(part, y="train_error", ax=top, label="error")
        for line in top.lines[solid:]:
            line.set_linestyle("--")
        plot_curves(part, y="gap", ax=bottom, label="gap", log=False)
        top.set_title(name)
    models = axes[0, 0].get_legend_handles_labels()
    for axis in axes.flat:
        axis.get_legend().remove()
        if axis not in axes[:, 0]:
            axis.set_ylabel("")
    count = len(set(models[1]))
    styles = [plt.Line2D([], [], color="0.3", ls=ls, label=label) for ls, label in (("-", "test"), ("--", "training"))]
    fig.legend(handles=[*models[0][:count], *styles], loc="outside upper center", ncols=4)
    return fig


def plot_against(runs, field, y="test_error", log_x=True, **options):
    """A metric of finished runs against one of their factors, a curve per row; returns the axes."""
    done = runs[runs.state == "done"]
    ax = plot_curves(done, y=y, x=field, **options)
    for line in ax.lines:
        line.set(marker="o", markersize=4)
    values = sorted(set(done[field]))
    if log_x:
        ax.set_xscale("log")
    ax.set_xticks(values, [f"{v:g}" for v in values], minor=False)
    ax.minorticks_off()
    return ax


def plot_points(frame, x, y="test_error", labels=None, label="summed squared error per image"):
    """Points on logarithmic axes, each with its text of `labels` beside it; rows without a number are left out."""
    ax = plt.figure().add_subplot()
    known = frame[frame[x].notna() & frame[y].notna()] if {x, y} <= set(frame) else frame[:0]
    ax.plot(known[x], known[y], "o", color=COLOURS["implicit GON"])
    for number, (i, row) in enumerate(known.iterrows()):  # above and below in turn, so that neighbours do not collide
        place = {"xytext": (4, 5), "va": "bottom"} if number % 2 else {"xytext": (4, -5), "va": "top"}
        ax.annotate("" if labels is None else labels[i], (row[x], row[y]), textcoords="offset points", fontsize=8, **place)
    ax.set(xlabel=x, ylabel=label, xscale="log", yscale="log")
    return ax


def captioned(fig, caption: str, alt: str) -> Html:
    """A figure as HTML with its caption, for another page to show (`myst_nb.glue`); `alt` says what it shows."""
    file = io.BytesIO()
    fig.savefig(file, format="png", bbox_inches="tight")
    source = base64.b64encode(file.getvalue()).decode()
    return Html('<figure class="captioned"><img alt="{}" src="data:image/png;base64,{}"><figcaption>{}</figcaption>'
                "</figure>").format(alt, source, caption)
