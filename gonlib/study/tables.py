"""Tables of runs: the paper's number, the recorded one and this build's, each linked to its runs, with the data as CSV."""

import base64

import numpy as np
import pandas as pd
from markupsafe import escape

from .experiment import as_far
from .numbers import OTHER_NUMBERS, Html, linked, mean_sd, number, reached, source_of, variants, written

STATUS = Html('see <a href="status.html">what is recorded</a>')
SIDES = Html('<span class="sides"><i>paper</i><i>recorded</i></span>')  # heads of what a phone shows side by side
NAMED = 6  # columns without results that are named; more are counted


def published(full: pd.DataFrame, metric="test_error", below=None, rivals=None, name="recorded") -> Html:
    """A table in the paper's layout: data sets as columns, in each cell the paper's number and the recorded one under it.

    Seeds and epoch stand in a column's head, the best of the paper's and of ours is bold. Data sets and rows without
    runs are named below the table.

    Args:
        full: Runs as `registry.recorded` gives them.
        metric: Whose lowest value is best.
        below: Rows that no run made: {title: {(column, "recorded"): number}}.
        rivals: A factor: only rows that have the same value of it compete for the best.
        name: Of the CSV file that is offered.
    """
    there, missing = _there(full)
    if not there:
        return _notes(missing)
    full = full[full.row.isin(_with_results(full, "row"))]
    heads, columns = [], {}
    for column in there:
        runs = full[full.column == column]
        heads.append(Html("<th scope=col>{}<small>{}</small>{}</th>").format(column, _about(runs), SIDES))
        columns[column] = {}
        for _, those in runs.groupby(rivals) if rivals else ((None, runs),):
            columns[column] |= _published_cells(runs, those, metric)
        for title, values in (below or {}).items():
            value = values.get((column, "recorded"))
            shown = "" if value is None else f"{value:.2f}"
            columns[column][title] = Html('<span class="ours">{}</span>').format(shown)
    rows = []
    for title in [*dict.fromkeys(full.row), *(below or {})]:
        cells = [Html('<td data-row="{}">{}</td>').format(title, columns[column].get(title, "")) for column in there]
        rows.append(Html("<tr><th scope=row>{}</th>{}</tr>").format(title, Html("").join(cells)))
    made = Html('<div class="table-scroll"><table class="published"><thead><tr><td></td>{}</tr></thead><tbody>{}</tbody>'
                "</table></div>").format(Html("").join(heads), Html("").join(rows))
    both = "In grey the paper's number, and with it the recorded one where there is one yet; the best of each in bold."
    key = both if 'class="paper"' in made else f"The best of each {rivals} in bold." if rivals else "The best in bold."
    told = [key, *missing, *_without_runs(below), *variants(full), *_dagger(made)]
    return made + _notes(told, _as_csv(full, [metric], name))


def _published_cells(column, runs, metric):
    """Row title -> cell, of those runs of a data set that compete."""
    parts = dict(list(runs.groupby("row", sort=False)))
    means = {row: mean_sd(_done(part).get(metric, ())) for row, part in parts.items() if not _behind(column, part)}
    means = {row: round(found[0], 2) for row, found in means.items() if found}
    stated = {row: part.paper.iloc[0] for row, part in parts.items() if part.paper.iloc[0]}
    cells = {}
    for row, part in parts.items():
        best = len(means) > 1 and means.get(row) == min(means.values())
        ours = _bold(_cell("recorded", column, part, metric, 2), best)
        theirs = Html("")
        if row in stated:
            best = len(stated) > 1 and stated[row][0] == min(mean for mean, _ in stated.values())
            theirs = Html('<span class="paper">{}</span> ').format(_bold(escape(written(*stated[row])), best))
        cells[row] = Html('{}<span class="ours">{}</span>').format(theirs, ours)
    return cells


def _bold(text, bold):
    return Html("<b>{}</b>").format(text) if bold else text


def table(runs, metrics="test_error", digits=2, paper=True, recorded=None, transpose=False, below=None,
          name="") -> Html:
    """Rows by columns of an experiment: per column the paper's number, the recorded one and that of this build, linked.

    Columns without any result are named below the table, and so are recorded rows.

    Args:
        runs: Rows of `experiment.collect`.
        metrics: One metric, or {metric: heading} for a table with one column per metric.
        digits: Decimals.
        paper: Whether the paper's numbers are shown.
        recorded: Runs at full schedule, as `registry.recorded` gives them.
        transpose: Swap rows and columns, for many columns.
        below: Rows that no run made: {title: {(column, "recorded" or "this build"): number}}.
        name: Of the CSV file that is offered.
    """
    everything = runs if recorded is None else pd.concat([runs, recorded], ignore_index=True)
    if everything.empty:
        return Html('<span class="state">not run yet</span>')
    word, below = "run" if recorded is None else "recorded", below or {}
    there, missing = _there(everything, word, rows=recorded is not None)
    if there and recorded is not None:
        everything = everything[everything.row.isin(_with_results(everything, "row"))]
    blocks, notes = {}, {}
    for column in there or dict.fromkeys(everything.column):
        here = everything[everything.column == column]
        if paper and isinstance(metrics, str) and any(p for p in here.paper):
            blocks[column, "paper"] = {r.row: written(*r.paper) for r in here.itertuples() if r.paper}
        for source, part in _sources(column, runs, recorded):
            for metric, heading in ((metrics, ""),) if isinstance(metrics, str) else metrics.items():
                under = f"{heading}, {source}" if heading and recorded is not None else heading or source
                cells = {row: _cell(source, part, cells, metric, digits) for row, cells in part.groupby("row", sort=False)}
                extra = {row: values.get((column, source)) for row, values in below.items()}
                blocks[column, under] = cells | {row: "" if v is None else f"{v:.{digits}f}" for row, v in extra.items()}
                notes[column, under] = source, _about(part)
    made, told = _html(blocks, [*dict.fromkeys(everything.row), *below], transpose, notes)
    names = [metrics] if isinstance(metrics, str) else [*metrics]
    told += [*(missing if there else []), *_without_runs(below), *variants(everything), *_dagger(made)]
    return made + _notes(told, _as_csv(everything, names, name or ("this-build" if recorded is None else word)))


def _with_results(runs, by):
    """The titles of columns, or of rows, that have results."""
    return list(dict.fromkeys(runs[by][runs.state != "not run"]))


def _there(runs, word="recorded", rows=True):
    """The columns that have results, and in a sentence the columns (and rows) that have none."""
    there, absent = _with_results(runs, "column"), []
    for by in ("column", "row") if rows and there else ("column",):
        none = [title for title in dict.fromkeys(runs[by]) if title not in _with_results(runs, by)]
        absent += none if len(none) <= NAMED else [f"{len(none)} of {runs[by].nunique()} {by}s"]
    return there, [Html("Not {} yet: {}; {}.").format(word, "; ".join(absent), STATUS)] if absent else []


def _sources(column, runs, recorded):
    """(heading, runs) of a column: recorded ones, then those just made, without a second copy of the very same runs."""
    just = runs[runs.column == column]
    if recorded is not None:
        full = recorded[recorded.column == column]
        if len(full):
            yield "recorded", as_far(full)
        if set(just.hash) <= set(full.hash):
            return
    if len(just):
        yield source_of(_done(just)) if recorded is None else "this build", as_far(just)


def _done(runs):
    return runs[runs.state == "done"]


def _level(runs):
    """The runs of a column at the epoch that it is shown at: those that are furthest."""
    done = _done(runs)
    return done[done.epoch == done.epoch.max()] if "epoch" in done else done


def _behind(column, cell):
    """Whether the runs of a cell are not as far as those of its column."""
    return "epoch" in cell and _done(cell).epoch.max() < _level(column).epoch.max()


def _about(runs):
    """In words, seeds and epoch of a column's runs: 3 seeds, at epoch 50 of 500."""
    level = _level(runs)
    if level.empty:
        return ""
    seeds = int(level.groupby("row").seed.nunique().max())
    growing = "asked" in level and (level.epoch < level.asked).any()
    return f"{seeds} seed{'s' * (seeds > 1)}" + (f", {reached(level)}" if growing else "")


def _cell(source, column, cell, metric, digits):
    """The number of a cell, with its seeds and epoch where they are not its column's."""
    if source == "recorded" and not set(cell.state) & {"done", "failed"}:
        return Html("")
    text, done = number(cell, metric, digits), _done(cell)
    if source == "recorded" and len(done) and metric in done and done[metric].isna().all():  # such as GLO, measured rarely
        return Html("")
    if done.empty:
        return text
    seeds = done.seed.nunique()
    other = [f"epoch {done.epoch.max():,.0f}"] if _behind(column, cell) and (done.epoch < done.asked).any() else []
    if seeds != _level(column).groupby("row").seed.nunique().max():
        other.append(f"{seeds} seed{'s' * (seeds > 1)}")
    return text + Html(" <small>{}</small>").format(", ".join(other)) if other else text


def _html(blocks, rows, transpose, notes):
    """The table, and sentences that stand below it: what all its columns have in common is said there, once."""
    sources = {source for source, _ in notes.values()}
    about = {text for _, text in notes.values()}
    one_source = len(sources) == 1 and not any(under == "paper" for _, under in blocks)
    heads = []
    for column, under in blocks:
        note = notes.get((column, under), ("", ""))[1] if len(about) > 1 else ""
        named = "" if one_source and under in sources else under
        note = Html("<small>{}</small>").format(note) if note else ""
        heads.append((escape(column) + ("" if named else note), escape(named) + (note if named else "")))
    frame = pd.DataFrame(blocks, index=rows).reindex(rows).fillna("")
    frame.index = [escape(row) for row in frame.index]
    frame.columns = pd.MultiIndex.from_tuples(heads)
    if frame.columns.get_level_values(1).nunique() == 1 and (transpose or not any(under for _, under in heads)):
        frame = frame.droplevel(1, axis=1)
    made = Html(frame.T.to_html(escape=False, border=0, classes="results") if transpose
                else frame.to_html(escape=False, border=0, classes="results"))
    said = [*(sources if one_source else ()), *(about if len(about) == 1 and about != {""} else ())]
    told = ", ".join(said)
    return Html('<div class="table-scroll">{}</div>').format(made), [f"{told[0].upper()}{told[1:]}."] if told else []


def _dagger(made):
    """What † says, if it stands in a table."""
    return [f"†: {OTHER_NUMBERS}."] if "†" in made else []


def _notes(sentences, download=""):
    """What stands below a table, in small letters."""
    return Html('<p class="table-note">{} {}</p>').format(Html(" ").join(sentences), download)


def _without_runs(below):
    """What is said of rows that no run made."""
    return [f"{', '.join(below)}: computed from the images, not by a run."] if below else []


def _as_csv(runs, metrics, name):
    """A link to the table's runs as a CSV file, which is in the link itself: the book needs no server."""
    about = ["column", "row", "seed", "state", "epoch", "asked", *metrics, "hash"]
    runs = runs[runs.state != "not run"]
    stated = [p if isinstance(p, tuple) else (np.nan, np.nan) for p in runs.get("paper", [None] * len(runs))]
    frame = runs[[key for key in about if key in runs]].rename(columns={"hash": "run"})
    frame = frame.assign(paper=[mean for mean, _ in stated], paper_sd=[sd for _, sd in stated]).dropna(axis=1, how="all")
    content = base64.b64encode(frame.to_csv(index=False).encode()).decode()
    return Html('<a class="download" download="{}.csv" href="data:text/csv;base64,{}">CSV</a>').format(name, content)


def not_recorded(*experiments: pd.DataFrame) -> Html:
    """A line on how many cells of recorded experiments have no run yet, with where to read more; nothing if all have."""
    states = [state for runs in experiments for _, state in runs.groupby(["row", "column"]).state]
    missing = sum((state == "not run").all() for state in states)
    line = Html('<p class="state">Not recorded yet: {} of {} cells, {}.</p>')
    return line.format(missing, len(states), STATUS) if missing else Html("")


def shaded(frame, numbers="{:.2f}", of=None, **gradient):
    """A DataFrame as a table with its fields shaded by value.

    Args:
        frame: Numbers.
        numbers: How they are written.
        of: Function of the labels of a field's row and column to the runs behind it, to which it is linked.
        gradient: For pandas' `Styler.background_gradient`.
    """
    texts = frame.map(lambda value: "" if np.isnan(value) else escape(numbers.format(value))).astype(object)
    for i, row in enumerate(frame.index) if of else ():
        for j, column in enumerate(frame.columns):
            those = _done(of(row, column))
            if texts.iat[i, j] and len(those):
                texts.iat[i, j] = linked(texts.iat[i, j], those)
    style = texts.style.format_index(escape="html", axis=0).format_index(escape="html", axis=1)
    style = style.background_gradient(axis=None, gmap=frame, text_color_threshold=0.18, **gradient)
    return style.set_table_attributes('class="dataframe results shaded"')
