"""Drawings of single chapters: activation functions, snapshots, histograms, paths between images, and the like."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.colors import LogNorm

from ..method.decoders import ACTIVATIONS
from ..runs import kept
from ..study.chapters.interpolation import FRAMES
from ..study.chapters.super_resolution import largest
from ..study.experiment import title
from ..study.judging import where
from ..study.replication import over_the_gon
from .figures import COLOURS, plot_curves, plot_panels, show_images
from .svg import INK, remember


def plot_activations(names):
    """Each activation function with its first and second derivative, small panels; returns the figure (figure 3)."""
    x = torch.linspace(-4, 4, 801, requires_grad=True)
    fig, axes = plt.subplots(math.ceil(len(names) / 4), 4, figsize=(6.4, 1.7 * math.ceil(len(names) / 4)), sharex=True,
                             sharey=True, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        function, derivative = ACTIVATIONS[name]
        slope = derivative(x)
        second = torch.autograd.grad(slope.sum(), x)[0] if slope.requires_grad else torch.zeros_like(x)
        for values, style, label in ((function(x), "-", "f"), (slope, "--", "f′"), (second, "-", "f″")):
            colour = COLOURS["AE"] if label == "f″" else INK
            axis.plot(x.detach(), values.detach(), style, color=colour, label=label, lw=1.4)
        axis.set(title=title({"activation": name}, ["activation"]), ylim=(-1.3, 2.2))
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    fig.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig


def plot_classes(points):
    """Latents `z1`, `z2` coloured by `label`; those that a classifier `named` otherwise are crosses; returns the axes.

    `points` are the tables "points" of `kept.collected`.
    """
    ax = plt.figure(figsize=(5.2, 4.2)).add_subplot()
    colours = sns.color_palette("tab20" if points.label.max() > 9 else "tab10")
    for label, part in points.groupby("label"):
        right, wrong = part[part.named == part.label], part[part.named != part.label]
        ax.scatter(right.z1, right.z2, s=9, color=colours[label % len(colours)], label=str(label), lw=0)
        ax.scatter(wrong.z1, wrong.z2, s=12, color=colours[label % len(colours)], marker="x", lw=0.8)
    ax.set(xlabel="first latent", ylabel="second latent")
    ax.legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.6)
    remember(ax.figure, points)
    return ax


def show_snapshots(run):
    """Twelve reconstructions of a run with snapshots at eight moments, below the originals (figure 8)."""
    shots, when = run.snapshots
    originals = kept.pictures(run, "originals", 12)
    keep = np.unique(np.linspace(0, len(shots) - 1, min(8, len(shots))).round().astype(int))
    label = {int(i): f"{_seconds(when.seconds[i])} s, step {when.step[i]:,}" for i in keep}
    top = {} if originals is None else {"images": originals}
    show_images(top | {label[int(i)]: shots[i, :12] for i in keep}, size=0.55, runs=[run.hash])


def _seconds(value):
    return f"{value:.1f}" if 0 < value < 10 else f"{value:,.0f}"


def plot_seconds(runs):
    """Test error at the snapshots of runs against seconds of training, and the mean image's error dotted."""
    shots = pd.concat([r.run.snapshots[1].assign(row=r.row, seed=r.seed, hash=r.hash) for r in runs.itertuples()])
    ax = plot_curves(shots[shots.seconds > 0], x="seconds")
    mean_image = shots.mean_image_error.iloc[0]
    ax.axhline(mean_image, color="0.5", ls=":", lw=1.2)
    ax.annotate("the mean image", (0, mean_image), xycoords=("axes fraction", "data"), xytext=(4, -3),
                textcoords="offset points", va="top", fontsize=9)
    ax.set_xscale("log")
    return ax


def grid_of_errors(runs):
    """Final errors as heat maps on one logarithmic colour scale: a panel per row, learning rate by batch size; the figure.

    A run whose loss became NaN or infinite is an empty field marked "failed".
    """
    models = list(dict.fromkeys(runs.row))
    fig, axes = plt.subplots(1, len(models), figsize=(3.6 * len(models), 2.9), sharey=True, squeeze=False)
    done = runs[runs.state == "done"]
    scale = LogNorm(done.test_error.min(), done.test_error.max())
    for axis, model in zip(axes.flat, models, strict=True):
        part = runs[runs.row == model]
        part = part.assign(test_error=part.test_error.where(part.state == "done"))
        values = part.pivot_table(index="learning_rate", columns="batch_size", values="test_error", dropna=False)
        text = values.map(lambda v: "failed" if math.isnan(v) else f"{v:.3g}")
        sns.heatmap(values, annot=text, fmt="", norm=scale, cmap="viridis_r", ax=axis, cbar=axis is axes.flat[-1])
        axis.set(title=model, xlabel="batch size", ylabel="learning rate" if axis is axes.flat[0] else "")
    remember(fig, runs)
    return fig


def plot_replication(recorded):
    """The autoencoder's error over the GON's, recorded and in the replication, a panel per data set; returns the figure."""
    fig = plot_panels(over_the_gon(recorded), y="ratio", label="AE's error / GON's", log=False)
    for axis in fig.axes:
        axis.axhline(1, color="0.5", ls=":", lw=1)
        axis.set_xscale("log")
    remember(fig, where(recorded, model=("GON", "AE")))
    return fig


def plot_histograms(runs):
    """Histograms kept with runs (latents.py) beside the standard normal density: a panel per run; returns the figure."""
    done = runs[runs.state == "done"]
    fig, axes = plt.subplots(1, len(done), figsize=(max(2.6 * len(done), 4.8), 2.8), sharey=True, squeeze=False)
    for axis, row in zip(axes.flat, done.itertuples(), strict=True):
        counts = kept.table(row.run, "histogram")
        width = counts.left[1] - counts.left[0]
        middle = counts.left + width / 2
        for kind in counts.columns[1:]:
            axis.step(middle, counts[kind] / counts[kind].sum() / width, where="mid", label=kind, lw=1.3)
        axis.plot(middle, np.exp(-(middle**2) / 2) / math.sqrt(2 * math.pi), color=INK, ls=":", lw=1, label="normal")
        axis.set(title=f"{row.row}, {row.column}", yscale="log", ylim=(1e-4, 1), xlabel="standardised latent")
    axes.flat[0].set_ylabel("density")
    remember(fig, done)
    fig.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig


def show_paths(runs, *ways, pairs=3):
    """Draw the paths kept with runs (rows of `experiment.collect`), a row for each pair and way."""
    rows = kept.Rows()
    for run in runs[runs.state == "done"].itertuples():
        strips = {way: strip for way in ways if (strip := kept.pictures(run.run, way)) is not None}
        for pair in range(pairs):
            for way, strip in strips.items():
                rows.put(f"{run.column} {pair + 1}, {way}", strip.view(-1, FRAMES, *strip.shape[1:])[pair], run.run)
    show_images(kept.alike(rows), size=0.62)


def show_known(runs, *ways):
    """Draw for each known change of each run the true views ("truth") and the paths of these names."""
    rows = kept.Rows()
    for run in runs[runs.state == "done"].itertuples():
        strip, table = kept.pictures(run.run, "known"), kept.table(run.run, "smoothness")
        if strip is not None:
            blocks = strip.view(-1, FRAMES, *strip.shape[1:])
            names = [(change, way) for change in table.change.unique() for way in ("truth", *table.path.unique())]
            for (change, way), block in zip(names, blocks, strict=True):
                rows.put(f"{run.column}, {change}\n{way}", block if way in ways else None, run.run)
    show_images(kept.alike(rows), size=0.55)


def plot_detail(detail):
    """Correlation with the truth against spatial frequency, a panel per data set at its largest size; the figure, or None.

    `detail` are the tables "detail" of `kept.collected`; dotted is the highest frequency of the small images.
    """
    if detail.empty:
        return None
    detail, methods = largest(detail), ("bilinear", "bicubic", "bicubic of the GON", "GON")
    columns = list(dict.fromkeys(detail.column))
    beside = min(len(columns), 3)
    rows = math.ceil(len(columns) / beside)
    fig, axes = plt.subplots(rows, beside, figsize=(max(3.2 * beside, 4.8), 3 * rows), sharey=True, squeeze=False)
    for axis in axes.flat[len(columns):]:
        axis.remove()
    for axis, column in zip(axes.flat, columns, strict=False):
        part = detail[(detail.column == column) & detail.method.isin(methods)]
        sns.lineplot(part, x="frequency", y="correlation", hue="method", hue_order=methods, style="method",
                     style_order=methods, ax=axis, errorbar=None, legend=axis is axes.flat[0])
        axis.axvline(part.config.iloc[0].size / 2, ls=":", c=INK)
        axis.set(title=f"{column}, {part['size'].iloc[0]} px", xlabel="cycles per image side",
                 ylabel="correlation with the truth")
    axes.flat[0].legend(fontsize=8)
    remember(fig, detail)
    return fig


def plot_further(further):
    """What further steps at evaluation do to the error and the latents (figure 2): from `steps_and_gap.further`."""
    names = {"relative": "error over that of one step", "moved": "way moved"}
    both = further[further.steps > 1].rename(columns=names).melt(["row", "seed", "hash", "steps"], list(names.values()))
    fig = plot_panels(both, "variable", x="steps", y="value", label="", share=False, log=False)
    for axis in fig.axes:
        axis.set(xscale="log", xlabel="steps at evaluation")
        axis.set_xticks([2, 5, 10, 20, 50], [2, 5, 10, 20, 50], minor=False)
        axis.minorticks_off()
    fig.axes[-1].set_yscale("log")
    return fig


def plot_noise(noise):
    """Variance of latents from a share of the coordinates, measured and predicted; None if nothing was measured."""
    if noise.empty:
        return None
    fig, axis = plt.subplots()
    noise = noise[noise.fraction < 1]  # on the full grid both are zero
    axis.plot(noise.fraction, noise.variance, "o-", label="measured, 32 draws")
    axis.plot(noise.fraction, noise.predicted, "--", c=INK, label="predicted")
    axis.set(xscale="log", yscale="log", xlabel="share of the coordinates", ylabel="variance / squared length")
    axis.legend()
    remember(fig, noise)
    return fig
