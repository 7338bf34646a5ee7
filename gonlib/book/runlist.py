"""The book's page of runs: each run that a number on some page links to, with where it came from."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jinja2

from ..runs.progress import title
from ..runs.run import Run
from ..runs.store import Store

TABLE = jinja2.Environment(autoescape=True, trim_blocks=True).from_string("""\
{{ runs | length }} runs.

<div class="table-scroll"><table class="results runs"><thead><tr>
<th>run</th><th>page</th><th>what it is</th><th>error</th><th>steps</th><th>seconds</th><th>made on</th><th>source</th>
</tr></thead>
<tbody>
{% for run in runs %}
<tr id="run-{{ run.hash }}"><td><code>{{ run.hash }}</code></td>\
<td>{% for page in run.pages %}\
{{ ", " if not loop.first }}<a href="{{ page }}.html">{{ page.split("-")[0] }}</a>{% endfor %}</td>\
<td>{{ run.title }}</td><td>{{ run.error }}</td><td>{{ run.steps }}</td><td>{{ run.seconds }}</td><td>{{ run.made_on }}</td>\
<td><code>{{ run.source }}</code></td></tr>
{% endfor %}
</tbody></table></div>
""")


class Link(NamedTuple):
    """A number of a page: the runs that it links to, and what it asks of them (how far, and how they are measured)."""

    runs: list[str]
    asked: dict


def links(page: dict) -> Iterator[Link]:
    """The linked numbers in an executed notebook's outputs."""
    for output in (output for cell in page["cells"] for output in cell.get("outputs", [])):
        shown = "".join(output.get("data", {}).get("text/html", []))
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
            what = f"{config.dataset}, {config.size} × {config.size} pixels, {run.end['images']:,} training images"
            about = made.setdefault(what, {"steps": set(), "seeds": set()})
            about["steps"].add(min(config.end(run.end["images"])[1], run.reached.steps))
            about["seeds"].add(config.seed)
    return "; ".join(f"{what}, {_range(about['steps'])} steps, {len(about['seeds'])} seed{'s' * (len(about['seeds']) > 1)}"
                     for what, about in made.items())


def _range(values: set[int]) -> str:
    return f"{min(values):,}" + (f" to {max(values):,}" if len(values) > 1 else "")


def section(pages: dict[str, dict], stores: Iterable[Store]) -> str:
    """The table of all linked runs as HTML; a sentence if there are none.

    Args:
        pages: Executed notebooks by name.
        stores: They are looked through in order.
    """
    rows = []
    for name, names in linked_runs(pages).items():
        run = next(filter(None, (store.named(name) for store in stores)), None)
        if run is not None:
            rows.append(_row(run, names))
    if not rows:
        return "No number of this build links to a run."
    return TABLE.render(runs=sorted(rows, key=lambda row: (row["pages"][0], row["title"])))


def _row(run: Run, pages: list[str]) -> dict:
    made, metrics = run.provenance, run.metrics
    error = metrics.get("test_error")
    row = {"hash": run.hash, "title": title(run.config), "error": "" if error is None else f"{error:.3f}",
           "steps": f"{metrics.get('steps', 0):,}", "seconds": f"{metrics.get('seconds', 0):.1f}",
           "source": str(made["source"])[:8],
           "made_on": f"{made['device']}, torch {made['versions']['torch']}, {made['started'][:10]}"}
    # on one line: behind an empty line, Markdown would read what a stranger's store says
    return {name: " ".join(text.split()) for name, text in row.items()} | {"pages": sorted(pages)}
