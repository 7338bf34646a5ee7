"""What pages with pictures share: runs as far as they have come, and whether these have learned their pictures."""

import pandas as pd
from markupsafe import escape

from ..runs import kept
from ..training.config import Config
from .experiment import data_title
from .numbers import Html, as_table, linked, listed, network, number, say


def begun(runs: pd.DataFrame) -> pd.DataFrame:
    """Those of some runs that have numbers, each as far as it has come, as if no more had been asked for."""
    if "steps" not in runs:  # none has
        return runs[:0]
    return runs[(runs.steps > 0) & runs.state.isin(["done", "growing"])].assign(state="done")


def how_far(one) -> str:
    """How far the run of a row is: at step 6,000 of 60,000, at epoch 3 of 1,000, or after 600 steps."""
    steps, (epochs, asked) = one.run.metrics["steps"], one.config.end(one.run.metrics["images"])
    if steps >= asked:
        return f"after {steps:,} steps"
    return f"at step {steps:,} of {asked:,}" if one.config.steps else f"at epoch {one.run.metrics['epochs']:,} of {epochs:,}"


def mean_image(run) -> float | None:
    """The error of the training set's mean image on a run's test images, if it was kept with the run."""
    table = kept.table(run, "mean-image")
    return None if table is None else float(table.error.iloc[0])


def learned(run) -> bool:
    """Whether a run draws test images better than the mean image does, as far as that is known."""
    yard = mean_image(run)
    return yard is not None and run.metrics["test_error"] < yard


def only_learned(runs: pd.DataFrame) -> pd.DataFrame:
    """Of some runs those that have begun and learned their pictures."""
    there = begun(runs)
    return there[[learned(run) for run in there.run]] if len(there) else there


def worth_showing(runs: pd.DataFrame) -> pd.DataFrame:
    """Of runs that have begun those that have learned their pictures, or all where none has."""
    good = only_learned(runs)
    return good if len(good) else begun(runs)


def gallery(runs: pd.DataFrame, *names: str, **called: str) -> kept.Rows:
    """The pictures kept under some names with runs, made `kept.alike`.

    Runs that have not learned theirs are left out, unless there are no others: then the title says so.

    Args:
        runs: Rows of `experiment.collect`.
        names: What is shown of each.
        called: What is shown besides, and what it is called there.
    """
    called = {name: name for name in names} | called
    found = kept.Rows()
    for one in worth_showing(runs).itertuples():
        title = one.column if learned(one.run) else f"{one.column}, not learned"
        for name, words in called.items():
            found.put(f"{title}\n{words}" if len(called) > 1 else title, kept.pictures(one.run, name), one.run)
    return kept.alike(found)


def sentences(runs: pd.DataFrame) -> list[Html]:
    """A line for each run: size of the images, error beside the mean image's, how far it is, and if it has not learned."""
    lines = []
    for one in begun(runs).itertuples():
        here, yard, side = runs[runs.hash == one.hash].assign(state="done"), mean_image(one.run), one.config.size
        named = one.run.data.get("title", one.column)  # of a variant, with its number of images
        rate = f"rate {one.config.learning_rate:g}"
        about = ", ".join(filter(None, (named, f"{side} × {side} pixels", network([one.config]), rate, how_far(one))))
        beside = f"{_best(one.run)}; no pictures are kept" if yard is None else f" (of the mean training image: {yard:.2f})"
        failed = "" if yard is None or learned(one.run) else "it has not learned its pictures: "
        lines.append(say("{}: {}test error {}{}.", about, failed, number(here, "test_error"), beside))
    return lines


def _best(run):
    """A clause with a run's lowest error of all epochs, where it has risen since."""
    best = run.history.test_error.min()
    return f", risen from {best:.2f}" if best < 0.9 * run.metrics["test_error"] else ""


def smaller(runs: pd.DataFrame) -> list[Html]:
    """A line that says so, if implicit networks that are recorded are smaller than the published one."""
    published = Config(decoder="siren")
    small = [c for c in begun(runs).get("config", ()) if c.decoder == "siren" and c.hidden < published.hidden]
    if not small:
        return []
    return [say("On {} the recorded network is smaller than the published one ({}; published: {} × {}) and counts for no "
                "verdict.", listed(dict.fromkeys(data_title(c.dataset) for c in small)), network(small), published.layers,
                published.hidden)]


def not_recorded(*grids: pd.DataFrame) -> list[Html]:
    """A line on the data sets of which no run is recorded, if there are any, with a link to the page on what is missing."""
    there, asked = ([data_title(c.dataset) for runs in some for c in runs.config]
                   for some in (map(begun, grids), grids))
    missing = [name for name in dict.fromkeys(asked) if name not in there]
    text = 'Not recorded yet: {}; see the <a href="status.html">status page</a>.'
    return [say(text, ", ".join(missing))] if missing else []


def means(table: pd.DataFrame, runs: pd.DataFrame, formats: dict[str, str] | None = None) -> Html:
    """A table of means as HTML; each number links to the runs of its line.

    Args:
        table: Means, with the index (column of the runs, row of the runs or something else).
        runs: Rows of `experiment.collect`.
        formats: How the numbers of some columns are written, if not with two decimals.
    """
    if table.empty:
        return Html("")
    lines, above = [], None
    for index, values in table.iterrows():
        names = list(index) if isinstance(index, tuple) else [index]
        those = runs[runs.column == names[0]]
        those = those[those.row.isin(names[1:])] if those.row.isin(names[1:]).any() else those
        told = {key: linked((formats or {}).get(key, "{:.2f}").format(value), those) for key, value in values.items()}
        heads = ["" if above and names[: i + 1] == above[: i + 1] else name for i, name in enumerate(names)]
        lines.append(dict(zip(table.index.names, map(escape, heads), strict=True)) | told)
        above = names
    return as_table(pd.DataFrame(lines), index=False, kind="means")
