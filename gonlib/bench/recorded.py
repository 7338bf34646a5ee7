"""What the page on speed shows of the measurements that `bench` recorded; it loads no torch."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from ..runs import provenance

NOT_MEASURED = "not measured yet"
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
        return f"{kind}: {NOT_MEASURED}."
    facts = found[1]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (f"{kind}: {facts['device']}, {facts['threads']} threads on {facts['cores']} cores, {versions}, measured on "
            f"{facts['started'][:10]} in {facts['seconds']:.0f} s with a load of {facts['load']} at the start.")


def table(kind, part):
    """The rows whose case begins with `part` (such as "training step") as a styled table, or that they are not there."""
    found = recorded(kind)
    rows = None if found is None else found[0][found[0].case.str.startswith(part)]
    if rows is None or rows.empty:
        return pd.DataFrame({kind: [NOT_MEASURED]}).style.hide(axis="index")
    shown = pd.DataFrame({
        "case": rows.case.str.partition(": ")[2], "batch": rows.batch, "variant": rows.variant,
        "ms": [_time(ms, spread) for ms, spread in zip(rows.ms, rows.spread, strict=True)],
        "times faster than the reference": rows.times_faster_than_reference.map(_ratio),
        "peak MiB": rows.peak_mib.map(lambda x: "" if pd.isna(x) else f"{x:.3g}"),
    })
    same = shown.case.eq(shown.case.shift()) & shown.batch.eq(shown.batch.shift())
    shown[["case", "batch"]] = shown[["case", "batch"]].astype(object).mask(same, "")
    empty = [name for name in shown if not shown[name].astype(bool).any()]
    made = shown.drop(columns=empty).style.hide(axis="index").format(escape="html")
    return made.set_properties(["case", "variant"], **{"text-align": "left"})


def _time(ms, spread):
    digits = 2 if ms < 10 else 1 if ms < 100 else 0
    return f"{ms:,.{digits}f} ± {spread:,.{digits}f}"


def _ratio(x):
    return "" if pd.isna(x) else f"{x:.3g}" if x < 100 else f"{x:,.0f}"


def ratio(kind, case, batch, slower, faster):
    """How many times longer `slower` takes than `faster` in a case, as text."""
    found = recorded(kind)
    if found is None:
        return NOT_MEASURED
    ms = found[0][(found[0].case == case) & (found[0].batch == batch)].set_index("variant").ms
    return f"{ms[slower] / ms[faster]:.2g}" if slower in ms and faster in ms else NOT_MEASURED


def plot_scaling(kind):
    """Time per training step against image size, latents and batch; None where nothing was measured yet."""
    found = recorded(kind)
    if found is None:
        return None
    cases = found[0].case.str.extract(r"^(?P<scale>[a-z ]+?) (?P<at>\d+): (?P<model>.+)$")
    rows = found[0].join(cases).dropna(subset="scale")
    rows = rows[rows["scale"].isin(SCALES)].assign(at=lambda r: r["at"].astype(int))
    panels = list(dict.fromkeys(zip(rows["scale"], rows["model"], strict=True)))
    fig, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 2.9), layout="constrained", squeeze=False)
    for ax, (scale, model) in zip(axes[0], panels, strict=True):
        part = rows[(rows["scale"] == scale) & (rows["model"] == model)]
        for variant, curve in part.groupby("variant", sort=False):
            ax.errorbar(curve["at"], curve.ms, curve.spread, marker="o", markersize=3, label=_words(variant))
        ax.set(xscale="log", yscale="log", xlabel=SCALES[scale], title=model)
        ax.set_xticks(sorted(part["at"].unique()), labels=[str(x) for x in sorted(part["at"].unique())], minor=False)
        ax.minorticks_off()
    axes[0][0].set_ylabel("ms per training step")
    handles = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig


def _words(variant):
    return re.sub(r", (captured|eager|compiled).*", "", variant)
