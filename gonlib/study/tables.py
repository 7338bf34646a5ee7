"""Tables of runs: the paper's number, the recorded one and this build's side by side, each linked to its runs."""

import pandas as pd
from markupsafe import escape

from . import registry
from .experiment import so_far
from .numbers import Html, number, reached, written


def table(runs, metrics="test_error", digits=2, paper=True, recorded=None, results_first=False, transpose=False,
          below=None) -> Html:
    """Rows by columns of an experiment: per column the paper's number, the recorded and the just-run one, linked.

    Args:
        runs: Rows of `experiment.collect`.
        metrics: One metric, or {metric: heading} for a table with one column per metric.
        digits: Decimals.
        paper: Whether the paper's numbers are shown.
        recorded: Runs at full schedule, as `registry.recorded` gives them.
        results_first: Put columns that have results before those that have none.
        transpose: Swap rows and columns, for many columns.
        below: Rows that no run made: {title: {(column, "recorded" or "just run"): number}}.
    """
    everything = runs if recorded is None else pd.concat([runs, recorded])
    if everything.empty:
        return Html('<span class="state">not run yet</span>')
    several, below = isinstance(metrics, dict), below or {}
    columns = list(dict.fromkeys(everything.column))
    if results_first:
        columns.sort(key=lambda column: "done" not in set(everything.state[everything.column == column]))
    blocks = {}
    for column in columns:
        here = everything[everything.column == column]
        if paper and not several and any(p for p in here.paper):
            blocks[column, "paper"] = {r.row: written(*r.paper) for r in here.itertuples() if r.paper}
        for metric, heading in metrics.items() if several else ((metrics, ""),):
            for source, part in _sources(column, runs, recorded):
                under = f"{heading}, {source}" if heading and recorded is not None else heading or source
                cells = {row: number(cells, metric, digits) for row, cells in part.groupby("row", sort=False)}
                extra = {row: values.get((column, source)) for row, values in below.items()}
                blocks[column, under] = cells | {row: "" if v is None else f"{v:.{digits}f}" for row, v in extra.items()}
    return _html(blocks, [*everything.row, *below], transpose)


def _sources(column, runs, recorded):
    """(heading, runs) of a column: recorded ones, then those just run, without a second copy of the very same runs."""
    just = runs[runs.column == column]
    if recorded is not None:
        full = recorded[recorded.column == column]
        yield from _as_far_as_they_are("recorded", full)
        if set(just.hash) <= set(full.hash):
            return
    yield from _as_far_as_they_are("just run", just)


def _as_far_as_they_are(source, runs):
    """The finished runs of a source, and if some are still growing, all at the epoch that they have in common."""
    grown = so_far(runs)
    if len(runs) and (grown.empty or {"done", "failed"} & set(runs.state)):
        yield source, runs
    if len(grown):
        yield f"{source}, {reached(grown)}", grown


def _html(blocks, rows, transpose):
    frame = pd.DataFrame(blocks, index=list(dict.fromkeys(rows))).fillna("")
    frame.index = [escape(row) for row in frame.index]
    frame.columns = pd.MultiIndex.from_tuples([tuple(map(escape, names)) for names in frame.columns])
    if transpose:
        frame = (frame.droplevel(1, axis=1) if frame.columns.get_level_values(1).nunique() == 1 else frame).T
    made = Html(frame.to_html(escape=False, border=0, classes="results"))
    return Html('<div class="table-scroll">{}</div>').format(made)


def not_run_yet(*names: str, runs: pd.DataFrame | None = None) -> Html:
    """Which command makes the recorded runs of some experiments; nothing if some of `runs` are there."""
    if runs is not None and (runs.state != "not run").any():
        return Html("")
    what = "" if runs is None else f" {len(runs)} runs on {', '.join(dict.fromkeys(c.dataset for c in runs.config))}."
    return Html('<p><span class="state">Not run yet:</span>{} <code>python -m gonlib run {} --profile paper '
                "--device cuda</code></p>").format(what, " ".join(names))


def not_recorded(*experiments: pd.DataFrame) -> Html:
    """A line on how many cells of recorded experiments have no run yet, with where to read more; nothing if all have."""
    states = [state for runs in experiments for _, state in runs.groupby(["row", "column"]).state]
    missing = sum((state == "not run").all() for state in states)
    line = '<p class="state">Not recorded yet: {} of {} cells, see <a href="status.html">status</a>.</p>'
    return Html(line).format(missing, len(states)) if missing else Html("")


def recorded(name: str, metrics="test_error", **options) -> Html:
    """The table of an experiment's recorded runs, at the paper's schedule, or else the command that makes them."""
    runs = registry.recorded(name)
    if (runs.state == "not run").all():
        return not_run_yet(name, runs=runs)
    return table(runs, metrics, recorded=runs, **options)


def shaded(frame, numbers="{:.2f}", **gradient):
    """A DataFrame as a table with its fields shaded by value; `gradient` is for pandas' `Styler.background_gradient`."""
    style = frame.style.format(numbers, na_rep="", escape="html")
    style = style.format_index(escape="html", axis=0).format_index(escape="html", axis=1)
    style = style.background_gradient(axis=None, text_color_threshold=0.18, **gradient)
    return style.set_table_attributes('class="dataframe results"')
