"""The inverse problem of chapter 12: which setting, left unsaid by the paper, comes nearest to its Table 1?"""

import numpy as np
import pandas as pd

from ...data.registry import facts
from ..experiment import curves, experiment
from ..judging import MARKS, Finding, rule, where
from ..linear import APART, components_for, recorded_pca_error
from ..numbers import Html, as_table, linked, listed, say, with_claim
from ..paper import DATASETS, SINGLE_STEP, TABLE1, VARIANTS

# What the paper leaves unsaid, one change at a time from the profile's setting.
CHANGES = {
    "as assumed": {},
    "32 latents": {"latents": 32},
    "64 latents": {"latents": 64},
    "128 latents": {"latents": 128},
    "512 latents": {"latents": 512},
    "8 filters": {"filters": 8},
    "32 filters": {"filters": 32},
    "batch 256": {"batch_size": 256},
    "batch 1024": {"batch_size": 1024},
    "rate 1e-3": {"learning_rate": 1e-3},
    "rate 3e-3": {"learning_rate": 3e-3},
    "rate 1e-2": {"learning_rate": 1e-2},
    "population statistics": {"evaluation": "population"},
    "no normalisation": {"batchnorm": False},
    "encoder without normalisation": {"encoder_batchnorm": False},
}
NEAR = 1.25  # an error within this factor of the paper's counts as the paper's
ROWS = 3  # of Table 1's single-step rows make a column: two errors agree at some epoch by chance
OPTIONS = {"columns": ("dataset", "change")}


def _grid(dataset, changes=tuple(CHANGES), models=SINGLE_STEP):
    return [({"model": model, "change": name}, CHANGES[name]) for name in changes for model in models]


settings = experiment("settings", "What were the settings of Table 1? One change at a time, short runs", **OPTIONS)(_grid)
full_length = experiment("settings-length", "What were the settings of Table 1? Some of them at full length",
                         **OPTIONS)(_grid)


@experiment("settings-stability", "Claim C15: final error over learning rates and batch sizes",
            columns=("learning_rate", "batch_size"))
def stability(dataset, learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), batch_sizes=(16, 64, 256), models=("GON", "AE")):
    return [{"model": model, "learning_rate": rate, "batch_size": batch}
            for model in models for rate in learning_rates for batch in batch_sizes]


@rule("C15", "settings-stability", failures=True, says="over the grid of learning rates and batch sizes no GON diverges "
      "(ends at NaN, or with more than 1.5 times the lowest error on its way); fails if more than a quarter do")
def c15(settings_stability):
    said = []
    if "learning_rate" not in settings_stability or settings_stability.learning_rate.nunique() < 2:
        return  # one setting is no range
    for model in ("AE", "GON"):  # the GON last: it is the one that is judged
        runs = where(settings_stability, model=model)
        wild = runs[[diverged(run) for run in runs.itertuples()]] if len(runs) else runs
        places = f" ({'; '.join(dict.fromkeys(wild.column))})" if len(wild) else ""
        if len(runs):
            said.append(say("{}: {} diverge{}", model, linked(f"{len(wild)} of {len(runs)}", runs), places))
    if len(runs):
        outcome = "holds" if wild.empty else "fails" if len(wild) > len(runs) / 4 else "undecided"
        yield Finding(outcome, say("{} {}", Html("; ").join(said[::-1]), MARKS[outcome]), runs)


def diverged(run) -> bool:
    """Whether a run failed or ended with more than 1.5 times the lowest test error of its history."""
    errors = None if run.state == "failed" else run.run.history.test_error
    return errors is None or errors.iloc[-1] > 1.5 * errors.min()


def residuals(runs, paper=TABLE1):
    """How far each setting is from the paper: log10(ours / paper) per row and data set, and its root mean square.

    A DataFrame with a row per setting, nearest first, a column per (data set, row of Table 1) at hand, `distance`, and
    `up to scale`, the distance left when one factor per data set, the best, is allowed: of the ratios between rows.
    An error ten times too large counts 1. A setting misses a cell of another: only cells that all have are compared.
    """
    rows = runs[runs.state == "done"]
    rows = rows[[paper.get(r.model, {}).get(r.dataset) is not None for r in rows.itertuples()]]
    if rows.empty:
        return pd.DataFrame()
    rows = rows.assign(residual=[np.log10(r.test_error / paper[r.model][r.dataset][0]) for r in rows.itertuples()])
    rows["dataset"] = rows.dataset.map(DATASETS)
    table = rows.pivot_table(index="change", columns=["dataset", "model"], values="residual", sort=False).dropna(axis=1)
    relative = table - table.T.groupby(level="dataset").transform("mean").T
    table["distance", ""] = np.sqrt((table**2).mean(axis=1))
    table["up to scale", ""] = np.sqrt((relative**2).mean(axis=1))
    return table.sort_values(("distance", "")).rename_axis(index=None, columns=(None, None))


def of_residual(runs: pd.DataFrame, change: str, column: tuple[str, str]) -> pd.DataFrame:
    """The runs behind a field of `residuals`; of a setting's distance all of them."""
    dataset, model = column
    runs = where(runs, change=change)
    return runs[(runs.dataset.map(DATASETS) == dataset) & (runs.model == model)] if model else runs


def latent_yardstick(paper=TABLE1, components=256):
    """PCA beside Table 1: per data set the paper's GON and AE, and how many components PCA needs for the same errors.

    A DataFrame; data sets whose PCA was not computed are left out.
    """
    lines = {}
    for name in paper["GON"]:
        data = name if recorded_pca_error(name, components) is not None else VARIANTS.get(name, name)
        if (error := recorded_pca_error(data, components)) is not None:
            line = {f"PCA, {components} components": f"{error:.2f}"}
            for row in ("GON", "AE"):
                stated = paper[row][name][0]
                line[f"the paper's {row}"] = f"{stated:.2f}"
                line[f"components for {row}'s error"] = components_for(data, stated)
            lines[facts(data).title] = line
    return pd.DataFrame(lines).T


def ratios(runs, paper=TABLE1):
    """Each model's error over the GON's, per data set and setting, the paper's own ratios on top: comparable anywhere."""
    rows = runs[runs.state == "done"]
    means = rows.groupby(["dataset", "change", "model"], sort=False).test_error.mean().unstack("model")
    stated = {(name, "the paper"): {row: paper[row][name][0] for row in means.columns if row in paper}
              for name in paper["GON"]}
    both = pd.concat([pd.DataFrame(stated).T, means[[row for row in paper if row in means]]])
    both.index = pd.MultiIndex.from_tuples([(DATASETS.get(name, name), change) for name, change in both.index])
    return both.div(both["GON"], axis=0).drop(columns="GON")


def of_ratio(runs: pd.DataFrame, row: tuple[str, str], model: str) -> pd.DataFrame:
    """The runs behind a field of `ratios`; none behind the paper's."""
    dataset, change = row
    runs = where(runs, change=change, model=(model, "GON"))
    return runs[runs.dataset.map(lambda name: DATASETS.get(name, name)) == dataset]


def schedules(*experiments: pd.DataFrame, paper=TABLE1) -> pd.DataFrame:
    """Is there one epoch at which a column of Table 1 appears? For each data set and setting, the nearest that there is.

    Args:
        experiments: Runs of Table 1 or of `settings`; they are followed over all epochs that their rows share.

    Returns:
        `dataset`, `setting`, `runs`, `epochs`, how far they were followed, the `nearest` epoch by the root mean square of
        log(ours / paper), the `ratios` ours / paper there, {row: ratio}, by which factor one is `off` at most, and whether
        the column `appears`: all are near one. The nearest come first; of a setting the first of the experiments counts,
        and settings with fewer than `ROWS` rows are left out.
    """
    lines = {}
    for runs in experiments:
        runs = where(runs if "change" in runs else runs.assign(change="as assumed"), model=SINGLE_STEP)
        # other statistics at evaluation have no curve of their own: a history is of those that were trained with
        runs = runs[runs.run.notna() & (runs.state != "failed") & (runs.change != "population statistics")]
        for key, here in runs.groupby(["dataset", "change"], sort=False):
            if key not in lines and (ratios := _over_paper(here, paper)) is not None:
                lines[key] = dict(zip(("dataset", "setting"), key, strict=True)) | {"runs": here} | _nearest(ratios)
    return pd.DataFrame(sorted(lines.values(), key=lambda line: line["off"]))


def _over_paper(runs, paper):
    """Ours over the paper's error: a line for each epoch that the rows share, a column for each row; None for a few."""
    dataset = runs.dataset.iloc[0].partition("@")[0]  # a variant's set
    means = curves(runs).groupby(["epoch", "model"]).test_error.mean().unstack("model").dropna()
    stated = {name: paper[name][dataset][0] for name in SINGLE_STEP if name in means and dataset in paper.get(name, {})}
    return means[[*stated]] / pd.Series(stated) if len(stated) >= ROWS and len(means) else None


def _nearest(ratios):
    """The epoch at which the ratios are nearest to one, the ratios there, and by which factor one is `off` at most."""
    epoch = (np.log(ratios) ** 2).mean(axis=1).idxmin()
    off = float(np.exp(np.log(ratios.loc[epoch]).abs().max()))
    return {"epochs": int(ratios.index[-1]), "nearest": int(epoch), "ratios": ratios.loc[epoch].to_dict(), "off": off,
            "appears": off < NEAR}


def schedule_table(found: pd.DataFrame) -> Html:
    """`schedules` as a table to read: at the nearest epoch, ours over the paper's for each row, linked to its runs."""
    if found.empty:
        return Html("")
    rows = []
    for one in found.itertuples():
        ratios = {name: linked(f"{ratio:.2f}", where(one.runs, model=name)) for name, ratio in one.ratios.items()}
        rows.append({"data": facts(one.dataset).title, "setting": one.setting, "to epoch": one.epochs,
                     "nearest at epoch": one.nearest} | ratios)
    table = pd.DataFrame(rows).set_index("data").rename_axis(None).fillna("")
    return as_table(table, kind="shaded")


def schedule_sentence(found: pd.DataFrame) -> Html:
    """The conclusion from `schedules`: at how many of them the paper's column appears, and which row is farthest off."""
    if found.empty:
        return Html("No recorded run can be held against the paper's columns yet.")
    appear, others = found[found.appears], found[~found.appears]
    named = [f"{facts(one.dataset).title}, {one.setting}, epoch {one.nearest}" for one in appear.itertuples()]
    count = linked(str(len(found)), pd.concat(list(found.runs)))
    told = say("Still open: of {} recorded settings {} has all rows within a factor of {} of the paper's at any one "
               "epoch{}.", count, f"only {len(appear)}" if named else "none", NEAR,
               f" ({'; '.join(named)})" if named else "")
    above = found.ratios.map(lambda ratios: min(ratios.values()) > 1)
    if short := int((above & (found.nearest == found.epochs)).sum()):
        told += say(" (The runs of {} end while all their rows are still above the paper's.)", short)
    if len(others):
        worst = pd.Series([max(one, key=lambda row: abs(np.log(one[row]))) for one in others.ratios]).mode()[0]
        told += say(" In the others the row that is farthest off is most often “{}”.", worst)
    return told


def in_short(found: pd.DataFrame) -> list[Html]:
    """Whether one of the `schedules` explains a column of Table 1, what PCA says of it, and what the paper leaves open."""
    apart = [facts(VARIANTS.get(name, name)).title for name in APART]
    needed = latent_yardstick()["components for GON's error"].drop(apart, errors="ignore")
    hint = say("A hint without any training: on {} the paper's GON has the error of PCA with {} to {} components, so about "
               "256 latents.", listed(needed.index), min(needed), max(needed))
    return with_claim([schedule_sentence(found), hint],
                      "The paper does not say how many latents or filters, which batch size or which learning rate its "
                      "Table 1 has; it says that training is stable over a wide range of them (C15).")
