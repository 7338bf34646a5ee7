"""Drawing, one style for the whole book: pictures, curves, and tables whose numbers link to the runs that made them."""

import base64
import html
import io
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from ..method.decoders import ACTIVATIONS
from ..runs import kept
from ..study import registry

# One colour per kind of model through the whole book (Okabe-Ito, readable for colour-blind eyes).
COLOURS = {
    "GON": "#0072B2", "AE": "#D55E00", "Tied AE": "#E69F00", "1 step, detached": "#56B4E9", "10 steps": "#009E73",
    "10 steps, detached": "#8FD3B6", "GLO": "#CC79A7", "VGON": "#0072B2", "VAE": "#D55E00", "implicit GON": "#009E73",
}

# The paper's data that were not to be had where the recorded runs were made.
WITHOUT_DATA = ("small_norb", "celeba", "lsun_bedroom")


def style():
    """Set the book's style; every notebook calls it once."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.9, rc={
        "figure.dpi": 144, "figure.figsize": (6.4, 3.6), "figure.constrained_layout.use": True, "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False, "image.cmap": "gray"})


def show_images(images, titles=None, per_row=None, size=0.9, labels=None):
    """Draw images (N, C, H, W), floats in [0, 1] or uint8, in rows; or a dict {row title: images}; returns the figure.

    `titles` stand above the images of the first row, `labels` (for a single tensor) left of the rows.
    """
    if isinstance(images, dict):
        labels, per_row = list(images), max(len(v) for v in images.values())
        images = torch.cat([as_cpu(v) for v in images.values()])
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
    """Curves with a band of one sd over seeds, from `experiments.curves`; returns the axes."""
    data = curves.dropna(subset=[y])
    ax = ax or plt.figure().add_subplot()
    names = list(dict.fromkeys(data[hue]))
    palette = {n: COLOURS.get(n, sns.color_palette("colorblind")[i % 10]) for i, n in enumerate(names)}
    sns.lineplot(data, x=x, y=y, hue=hue, errorbar="sd", palette=palette, ax=ax, lw=1.6)
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
    """A metric of finished runs against a field of their configuration, a curve per row; returns the axes."""
    done = runs[runs.state == "done"]
    data = done.assign(**{field: [getattr(config, field) for config in done.config]})
    ax = plot_curves(data, y=y, x=field, **options)
    for line in ax.lines:
        line.set(marker="o", markersize=4)
    values = sorted(set(data[field]))
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


def plot_activations(names):
    """Each activation function with its first and second derivative, small panels; returns the figure (figure 3)."""
    x = torch.linspace(-4, 4, 801, requires_grad=True)
    fig, axes = plt.subplots(math.ceil(len(names) / 4), 4, figsize=(8, 1.9 * math.ceil(len(names) / 4)), sharex=True,
                             sharey=True, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        function, derivative = ACTIVATIONS[name]
        slope = derivative(x)
        second = torch.autograd.grad(slope.sum(), x)[0] if slope.requires_grad else torch.zeros_like(x)
        for values, style, label in ((function(x), "-", "$f$"), (slope, "--", "$f'$"), (second, "-", "$f''$")):
            colour = COLOURS["AE"] if label == "$f''$" else "0.3"
            axis.plot(x.detach(), values.detach(), style, color=colour, label=label, lw=1.4)
        axis.set(title=name, ylim=(-1.3, 2.2))
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    fig.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig


def plot_classes(points, ax=None):
    """Latents `z1`, `z2` coloured by `label`; those that a classifier `named` otherwise are crosses; returns the axes."""
    ax = ax or plt.figure(figsize=(5.2, 4.2)).add_subplot()
    colours = sns.color_palette("tab20" if points.label.max() > 9 else "tab10")
    for label, part in points.groupby("label"):
        right, wrong = part[part.named == part.label], part[part.named != part.label]
        ax.scatter(right.z1, right.z2, s=9, color=colours[label % len(colours)], label=str(label), lw=0)
        ax.scatter(wrong.z1, wrong.z2, s=12, color=colours[label % len(colours)], marker="x", lw=0.8)
    ax.set(xlabel="first latent", ylabel="second latent")
    ax.legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.6)
    return ax


def show_snapshots(run, originals=None, rows=8, images=12):
    """Reconstructions of a run with snapshots at `rows` moments, below the originals (figure 8); returns the figure."""
    shots, when = run.snapshots
    keep = np.unique(np.linspace(0, len(shots) - 1, min(rows, len(shots))).round().astype(int))
    label = {int(i): f"{when.seconds[i]:.2g} s, step {when.step[i]:,}" for i in keep}
    top = {} if originals is None else {"images": originals[:images]}
    return show_images(top | {label[int(i)]: shots[i, :images] for i in keep}, size=0.55)


def plot_seconds(runs, ax=None):
    """Validation error at the snapshots of runs against seconds of training, and the mean image's error dotted."""
    shots = pd.concat([r.run.snapshots[1].assign(row=r.row, seed=r.seed) for r in runs.itertuples()])
    ax = plot_curves(shots[shots.seconds > 0], x="seconds", ax=ax)
    ax.axhline(shots.mean_image_error.iloc[0], color="0.5", ls=":", lw=1.2)
    ax.set_xscale("log")
    return ax


# --- tables and numbers that link to their runs ----------------------------------------------------------------------


class Html(str):
    """Text that a notebook shows as HTML."""

    def _repr_html_(self):
        return str(self)


def captioned(fig, caption, alt):
    """A figure as HTML with its caption, for another page to show (`myst_nb.glue`); `alt` says what it shows."""
    file = io.BytesIO()
    fig.savefig(file, format="png", bbox_inches="tight")
    source = base64.b64encode(file.getvalue()).decode()
    return Html(f'<figure class="captioned"><img alt="{html.escape(alt)}" src="data:image/png;base64,{source}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>")


def mean_sd(values):
    """Mean and sd (n - 1) of finite values; the sd of one value is None."""
    values = np.asarray([v for v in values if v is not None and math.isfinite(v)], float)
    if not len(values):
        return None
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None


def written(mean, sd, digits=2):
    """A mean and sd as the book writes them: 0.41 ± 0.01."""
    if digits == 0 and not sd:  # counts, such as parameters
        return f"{mean:,.0f}"
    return f"{mean:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")


def number(runs, metric, digits=2):
    """Mean ± sd of a metric over runs (rows of `experiments.collect`), linked to the runs that made it."""
    done = runs[runs.state == "done"]
    if metric not in done or done[metric].dropna().empty:
        states = set(runs.state)
        text = "failed" if "failed" in states else "–" if "done" in states else "not run yet"  # –: has no such number
        if states == {"not run"} and "config" in runs and all(c.dataset in WITHOUT_DATA for c in runs.config):
            text = "needs data"
        return Html(f'<span class="state">{text}</span>')
    done = done.dropna(subset=[metric])
    hashes = " ".join(done.hash)
    if all(isinstance(run.metrics.get(metric), int) for run in done.run):
        digits = 0  # counts, not measurements
    text = written(*mean_sd(done[metric]), digits)
    # only what a run records itself can be held against it; a number derived from it links all the same
    recorded = f'data-metric="{metric}" data-digits="{digits}" ' if metric in done.iloc[0].run.metrics else ""
    note = f"{len(done)} seed{'s' * (len(done) != 1)}: {done.iloc[0].run.summary()}"
    failed = (runs.state == "failed").sum()  # a mean over those that did not fail would hide them
    missing = f' <span class="state">{failed} of {len(runs)} failed</span>' if failed else ""
    return Html(f'<a class="number" href="runs.html#run-{done.iloc[0].hash}" data-runs="{hashes}" '
                f'{recorded}title="{html.escape(note)}">{text}</a>{missing}')


def table(runs, metrics="test_error", digits=2, paper=True, recorded=None, names=None, transpose=False, below=None):
    """Rows by columns of an experiment: per column the paper's number, the recorded and the just-run one, linked.

    `metrics` is one metric, or a dict {metric: heading} for a table with one column per metric; `recorded` are runs at
    full schedule; `names` renames columns that are data sets, and those with results come first; `transpose` swaps
    rows and columns, for many columns; `below` adds rows that no run made: {row: {(column, source): number}}.
    """
    blocks = {}
    several = isinstance(metrics, dict)
    metrics = metrics if several else {metrics: ""}
    everything = runs if recorded is None else pd.concat([runs, recorded])
    if everything.empty:
        return Html('<span class="state">not run yet</span>')
    columns = list(dict.fromkeys(everything.column))
    if names:
        columns.sort(key=lambda column: "done" not in set(everything.state[everything.column == column]))
    for column in columns:
        for metric, heading in metrics.items():
            top = (names or {}).get(column, column)
            here = everything[everything.column == column]
            if paper and any(p for p in here.paper) and not several:
                blocks[top, "paper"] = {r.row: written(*r.paper) for r in here.itertuples() if r.paper}
            for source, part in (("recorded", recorded), ("just run", runs)):
                if source == "just run" and recorded is not None and set(here.hash) <= set(recorded.hash):
                    continue  # the profile asks for the very runs that are recorded
                if part is not None and (part.column == column).any():
                    group = part[part.column == column].groupby("row", sort=False)
                    under = f"{heading}, {source}" if heading and recorded is not None else heading or source
                    cells = {row: number(cells, metric, digits) for row, cells in group}
                    extra = {row: values.get((column, source)) for row, values in (below or {}).items()}
                    blocks[top, under] = cells | {row: "" if v is None else f"{v:.{digits}f}" for row, v in extra.items()}
    frame = pd.DataFrame(blocks, index=list(dict.fromkeys([*everything.row, *(below or {})]))).fillna("")
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    if transpose:
        frame = (frame.droplevel(1, axis=1) if frame.columns.get_level_values(1).nunique() == 1 else frame).T
    return Html(f'<div class="table-scroll">{frame.to_html(escape=False, border=0, classes="results")}</div>')


def recorded(name, metrics="test_error", **options):
    """The table of an experiment's recorded runs, at the paper's schedule, or else the command that makes them."""
    runs = registry.recorded(name)
    if (runs.state == "not run").all():
        sets = ", ".join(dict.fromkeys(c.dataset for c in runs.config))
        return Html(f'<p><span class="state">Not run yet:</span> {len(runs)} runs on {sets}. '
                    f"<code>python -m gonlib run {name} --profile paper --device cuda</code></p>")
    return table(runs, metrics, recorded=runs, **options)


def shaded(frame, numbers="{:.2f}", **gradient):
    """A DataFrame as a table with its fields shaded by value; `gradient` is for pandas' `Styler.background_gradient`."""
    style = frame.style.format(numbers, na_rep="").background_gradient(axis=None, text_color_threshold=0.18, **gradient)
    return style.set_table_attributes('class="dataframe results"')


def grid_of_errors(runs, metric="test_error"):
    """Final errors as heat maps on one logarithmic colour scale: a panel per row, learning rate by batch size; the figure.

    A run whose loss became NaN or infinite is an empty field marked "failed".
    """
    models = list(dict.fromkeys(runs.row))
    fig, axes = plt.subplots(1, len(models), figsize=(3.6 * len(models), 2.9), sharey=True, squeeze=False)
    done = runs[runs.state == "done"]
    scale = LogNorm(done[metric].min(), done[metric].max())
    for axis, model in zip(axes.flat, models, strict=True):
        part = runs[runs.row == model]
        part = part.assign(batch=[c.batch_size for c in part.config], rate=[c.learning_rate for c in part.config])
        part.loc[part.state != "done", metric] = np.nan
        values = part.pivot_table(index="rate", columns="batch", values=metric, dropna=False)
        text = values.map(lambda v: "failed" if math.isnan(v) else f"{v:.3g}")
        sns.heatmap(values, annot=text, fmt="", norm=scale, cmap="viridis_r", ax=axis, cbar=axis is axes.flat[-1])
        axis.set(title=model, xlabel="batch size", ylabel="learning rate" if axis is axes.flat[0] else "")
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
        axis.plot(middle, np.exp(-(middle**2) / 2) / math.sqrt(2 * math.pi), "k:", lw=1, label="normal")
        axis.set(title=f"{row.row}, {row.column}", yscale="log", ylim=(1e-4, 1), xlabel="standardised latent")
    axes.flat[0].set_ylabel("density")
    fig.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig
