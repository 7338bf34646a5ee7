"""The book's page of runs: each run that a number on some page links to, with where it came from."""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

import jinja2

from ..runs.contents import Unreadable
from ..runs.run import Run
from ..runs.store import Store
from ..study.experiment import data_title
from ..study.numbers import span
from .cards import Recipe, whole

PAGES = jinja2.Environment(autoescape=True, trim_blocks=True)
PAGES.filters["short"] = lambda page: "front page" if page == "intro" else page.split("-")[0]
TABLE = PAGES.from_string("""\
<p class="runs-tools"><label>{{ count }} runs; show those with <input type="search" id="runs-filter" \
placeholder="GON, COIL-20, seed 1, ..."></label></p>

<div class="table-scroll"><table class="results runs"><thead><tr>
{% for head in heads %}
<th scope="col"><button type="button">{{ head }}</button></th>
{% endfor %}
</tr></thead>
{% for group, runs in groups.items() %}
<tbody><tr class="group"><th scope="rowgroup" colspan="{{ heads | length }}">{{ group }}</th></tr>
{% for run in runs %}
<tr id="run-{{ run.hash }}"><td>\
<a class="number" href="runs.html#run-{{ run.hash }}" data-runs="{{ run.hash }}">{{ run.hash[:8] }}</a></td>\
<td>{{ run.what }}</td><td>{{ run.config.replace("_", " ") }}</td><td>{{ run.error }}</td><td>{{ run.epoch }}</td>\
<td>{{ run.seconds }}</td>\
<td>{{ run.made_on }}, <span class="date">{{ run.date }}</span></td><td>{% for page in run.pages %}\
{{ ", " if not loop.first }}<a href="{{ page }}.html#run-{{ run.hash }}">{{ page | short }}</a>{% endfor %}</td></tr>
{% endfor %}
</tbody>
{% endfor %}
</table></div>
""")
HEADS = ("run", "what", "configuration", "test error", "epoch", "seconds", "made on", "shown in")


class Link(NamedTuple):
    """A number of a page: the runs that it links to, and what it asks of them (how far, and how they are measured)."""

    runs: list[str]
    asked: dict


def links(page: dict) -> Iterator[Link]:
    """The linked numbers in an executed notebook's outputs."""
    data = [output.get("data", {}) for cell in page["cells"] for output in cell.get("outputs", [])]
    for shown in ("".join(text) for made in data for kind, text in made.items() if kind.endswith("text/html")):  # glued, too
        for tag in re.findall(r'<a class="number"[^>]*>', shown):
            about = {name: html.unescape(value) for name, value in re.findall(r'data-(\w+)="([^"]*)"', tag)}
            yield Link(about["runs"].split(), json.loads(about.get("asked", "{}")))


def linked_runs(pages: dict[str, dict]) -> dict[str, list[str]]:
    """Run hash -> names of the pages whose numbers link to it, from executed notebooks by name."""
    found: dict[str, list[str]] = {}
    for name, page in pages.items():
        for run in {run: None for link in links(page) for run in link.runs}:
            found.setdefault(run, []).append(name)
    return found


def in_words(page: dict, store: Store) -> str:
    """Which data, image sizes and lengths of training are behind a page's numbers from a store, in a few words."""
    made: dict[str, dict[str, set]] = {}
    for link in links(page):
        for run in filter(None, map(store.named, link.runs)):
            config = run.config.replace(**link.asked)
            data, size, images = data_title(config.dataset), config.size, run.end["images"]
            what = f"{data}, {size} × {size} pixels, {images:,} training images"
            about = made.setdefault(what, {"steps": set(), "seeds": set()})
            about["steps"].add(min(config.end(images)[1], run.reached.steps))
            about["seeds"].add(config.seed)
    if len(made) > 5:  # a page about other pages: they say it
        datasets = dict.fromkeys(what.split(",")[0] for what in made)
        return f"small runs of other pages, on {', '.join(datasets)}"
    return "; ".join(f"{what}, {span(about['steps'])} steps, {len(about['seeds'])} seed{'s' * (len(about['seeds']) > 1)}"
                     for what, about in made.items())


def runs(pages: dict[str, dict], stores: Iterable[Store]) -> list[tuple[Run, list[str]]]:
    """The linked runs that are in one of the stores, where it is furthest, each with the pages that link to it."""
    found = []
    for name, names in linked_runs(pages).items():
        there = [run for store in stores if (run := _whole(store, name))]
        if there:
            found.append((max(there, key=lambda run: run.reached.steps), sorted(names)))
    return found


def _whole(store: Store, name: str) -> Run | None:
    """A run of a store; None if it is not there, only begun, or cannot be read: then it is shown from another."""
    with suppress(Unreadable):
        run = store.named(name)
        return run if run and len(run.history) >= 0 else None
    return None


def section(pages: dict[str, dict], stores: Iterable[Store], recipes: Mapping[str, Recipe]) -> str:
    """The table of all linked runs as HTML, grouped by experiment; a sentence if there are none.

    Args:
        pages: Executed notebooks by name.
        stores: Each run is shown from the one where it is furthest.
        recipes: Run hash -> its place in the experiments.
    """
    groups: dict[str, list[dict]] = {}
    for run, names in runs(pages, list(stores)):
        recipe = recipes.get(run.hash)
        group = f"{recipe.title} ({recipe.profile})" if recipe else "Asked for by no table or figure of today"
        groups.setdefault(group, []).append(_row(run, names, recipe))
    if not groups:
        return "No number of this build links to a run."
    groups = {group: sorted(rows, key=lambda row: (row["what"], row["config"]))
              for group, rows in sorted(groups.items(), key=_place)}
    return TABLE.render(groups=groups, heads=HEADS, count=sum(map(len, groups.values())))


def _place(group: tuple[str, list[dict]]) -> tuple[str, str]:
    """Where a group stands in the table: in the order of the chapters that show its runs first."""
    name, rows = group
    return min(page for row in rows for page in row["pages"]), name


def _row(run: Run, pages: list[str], recipe: Recipe | None) -> dict:
    made, error = run.provenance, run.metrics.get("test_error")
    config = {name: value for name, value in run.trajectory.to_dict().items() if name not in ("dataset", "seed")}
    texts = {
            "what": f"{recipe.row}, {recipe.column}, seed {run.config.seed}" if recipe
            else f"{data_title(run.config.dataset)}, seed {run.config.seed}",
            "config": ", ".join(f"{name} {f'{value:g}' if isinstance(value, float) else value}"
                                for name, value in config.items()),
            "error": "" if error is None else f"{error:.3f}",
            "epoch": f"{run.reached.epochs} of {whole(run, recipe)}",
            "seconds": f"{sum(part.get('wall_seconds', 0) for part in run.stretches):.0f}",  # as on its card
            "made_on": made["device"].replace("(R)", ""), "date": made["started"][:10]}
    # on one line each: behind an empty one HTML would be Markdown
    return {name: " ".join(text.split()) for name, text in texts.items()} | {"hash": run.hash, "pages": pages}
