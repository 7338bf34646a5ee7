"""What the page on speed shows of the measurements that `bench` recorded; it loads no torch."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from ..runs import provenance

NOT_MEASURED = "not measured yet"
DEVICES = {"cpu": "CPU", "cuda": "GPU"}
COLOURS = {"reference": "#4d4d4d", "exact": "#0072B2", "autoencoder": "#D55E00", "exact, 784 coordinates": "#CC79A7"}
SCALES = {"image size": "side of the image, pixels", "latents": "latents", "batch": "images per batch"}


def recorded(kind):
    """The table and the conditions recorded on a `cpu` or `cuda` device, or None where nothing was measured yet."""
    path = (provenance.repository_root() or Path.cwd()) / "book" / "results" / f"bench-{kind}.csv"
    if not path.is_file():
        return None
    return pd.read_csv(path), json.loads(path.with_suffix(".json").read_text())


def conditions(kind):
    """Where and when a device was measured, in one sentence."""
    found = recorded(kind)
    if found is None:
        return f"{DEVICES[kind]}: {NOT_MEASURED}."
    facts = found[1]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (f"{DEVICES[kind]}: {facts['device']}, {facts['threads']} threads on {facts['cores']} cores, {versions}, "
            f"measured on {facts['started'][:10]} in {facts['seconds']:.0f} s with a load of {facts['load']} at the start.")


def table(kind, part):
    """The rows of a part (such as "training step") as a styled table; None where nothing of it was measured."""
    found = recorded(kind)
    rows = None if found is None else found[0][found[0].case.str.partition(":")[0] == part]
    if rows is None or rows.empty:
        return None
    shown = pd.DataFrame({
        "decoder": rows.case.str.partition(": ")[2], "batch": rows.batch, "how": rows.variant.map(in_words),
        "milliseconds": [_time(ms, spread) for ms, spread in zip(rows.ms, rows.spread, strict=True)],
        "times as fast as the reference form": rows.times_faster_than_reference.map(_ratio),
        "peak memory, MiB": rows.peak_mib.map(lambda x: "" if pd.isna(x) else f"{x:,.0f}"),
    })
    same = shown.decoder.eq(shown.decoder.shift()) & shown.batch.eq(shown.batch.shift())
    shown[["decoder", "batch"]] = shown[["decoder", "batch"]].astype(object).mask(same, "")
    empty = [name for name in shown if not shown[name].astype(bool).any()]
    words = ["decoder", "how"]
    styled = shown.drop(columns=empty).style.hide(axis="index").format(escape="html")
    styled = styled.set_properties(words, **{"text-align": "left"}).set_properties(
        ["decoder", "milliseconds"], **{"white-space": "nowrap"})
    return styled.set_table_styles({name: [{"selector": "th", "props": "text-align: left"}] for name in words})


def in_words(variant):
    """A variant as the book calls it: the reference form, the fast form."""
    return re.sub(r"^reference", "reference form", re.sub(r"^exact", "fast form", variant))


def _time(ms, spread):
    digits = 2 if ms < 10 else 1 if ms < 100 else 0
    return f"{ms:,.{digits}f} ± {spread:,.{digits}f}"


def _ratio(x):
    """How many times as fast as the reference form; nothing for that itself."""
    if pd.isna(x) or x == 1:
        return ""
    times = max(x, 1 / x)
    return f"{'' if x > 1 else '1/'}{times:,.{1 if times < 10 else 0}f}"


def ratio(kind, case, batch, slower, faster):
    """How many times longer `slower` takes than `faster` in a case, as text."""
    found = recorded(kind)
    if found is None:
        return NOT_MEASURED
    ms = found[0][(found[0].case == case) & (found[0].batch == batch)].set_index("variant").ms
    return f"{ms[slower] / ms[faster]:.2g}" if slower in ms and faster in ms else NOT_MEASURED


def in_short():
    """What a step and encoding cost in the fast form on a CPU, beside other ways, as sentences."""
    conv, encode = "training step: conv 32/16", "encode 10,000: conv 32/16"
    beside = [ratio("cpu", conv, batch, "exact", "autoencoder") for batch in (64, 256)]
    fast, limit = (_range("cpu", "training step", other) for other in ("exact", "decoder alone"))
    times, encoder = (ratio("cpu", encode, 250, other, "exact") for other in ("reference", "autoencoder"))
    lines = [f"A GON's training step in the fast form takes {beside[0]} times as long as an autoencoder's in batches of 64, "
             f"and {beside[1]} times in batches of 256 (conv 32/16, on a CPU).",
             f"It is {fast} times as fast as in the reference form, over all models and batches below; the decoder "
             f"alone is {limit} times as fast, which is the limit but for the spread of the times.",
             f"Encoding in the fast form is {times} times as fast as in the reference form, and {encoder} times as fast as "
             "an autoencoder's encoder (conv 32/16)."]
    return [line for line in lines if NOT_MEASURED not in line]


def _range(kind, part, variant):
    """How many times as fast as the reference form a variant is in a part's cases, the least and the greatest."""
    found = recorded(kind)
    if found is None:
        return NOT_MEASURED
    times = found[0][found[0].case.str.startswith(f"{part}: ") & (found[0].variant == variant)].times_faster_than_reference
    return f"{_ratio(times.min())} to {_ratio(times.max())}" if times.notna().any() else NOT_MEASURED


def plot_scaling(kind):
    """Time per training step against image size, latents and batch; None where nothing was measured yet."""
    found = recorded(kind)
    if found is None:
        return None
    cases = found[0].case.str.extract(r"^(?P<scale>[a-z ]+?) (?P<at>\d+): (?P<model>.+)$")
    rows = found[0].join(cases).dropna(subset="scale")
    rows = rows[rows["scale"].isin(SCALES)].assign(at=lambda r: r["at"].astype(int))
    panels = list(dict.fromkeys(zip(rows["scale"], rows["model"], strict=True)))
    rows_of_two = -(-len(panels) // 2)
    fig, axes = plt.subplots(rows_of_two, 2, figsize=(7, 2.7 * rows_of_two), layout="constrained", squeeze=False)
    for ax in axes.flat[len(panels):]:
        ax.remove()
    for ax, (scale, model) in zip(axes.flat, panels, strict=False):
        part = rows[(rows["scale"] == scale) & (rows["model"] == model)]
        for variant, curve in part.groupby("variant", sort=False):
            name = re.sub(r", (captured|eager|compiled).*", "", variant)
            ax.errorbar(curve["at"], curve.ms, curve.spread, marker="o", markersize=3, label=in_words(name),
                        color=COLOURS.get(name))
        ax.set(xscale="log", yscale="log", xlabel=SCALES[scale], title=model)
        ax.set_xticks(sorted(part["at"].unique()), labels=[str(x) for x in sorted(part["at"].unique())], minor=False)
        ax.minorticks_off()
    fig.supylabel("milliseconds per training step", fontsize="medium")
    handles = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig
