"""The book's page of runs: each run that a number on some page links to, with where it came from."""

import json
import re
from collections.abc import Iterable
from contextlib import suppress

import jinja2

from ..runs.contents import Unreadable
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


def linked_runs(pages: dict[str, dict]) -> dict[str, list[str]]:
    """Run hash -> names of the pages whose numbers link to it, from executed notebooks by name."""
    found: dict[str, list[str]] = {}
    for name, page in pages.items():
        text = json.dumps([cell.get("outputs", []) for cell in page["cells"]])
        for group in re.findall(r'data-runs=\\"([0-9a-f ]+)\\"', text):
            for run in group.split():
                found.setdefault(run, [])
                found[run] += [name] if name not in found[run] else []
    return found


def section(pages: dict[str, dict], stores: Iterable[Store]) -> str:
    """The table of all linked runs as HTML; a sentence if there are none.

    Args:
        pages: Executed notebooks by name.
        stores: They are looked through in order.
    """
    rows = []
    for name, names in linked_runs(pages).items():
        folder = next((store.root / name for store in stores if (store.root / name).is_dir()), None)
        if folder is not None:
            with suppress(Unreadable):  # whoever asks for that run is told
                rows.append(_row(Run(folder), names))
    if not rows:
        return "No number of this build links to a run."
    return TABLE.render(runs=sorted(rows, key=lambda row: (row["pages"][0], row["title"])))


def _row(run: Run, pages: list[str]) -> dict:
    made, metrics = run.provenance, run.metrics
    error = metrics.get("test_error")
    return {"hash": run.hash, "pages": sorted(pages), "title": " ".join(title(run.config).split()),
            "error": "" if error is None else f"{error:.3f}", "steps": f"{metrics.get('steps', 0):,}",
            "seconds": f"{metrics.get('seconds', 0):.1f}", "source": str(made["source"])[:8],
            "made_on": f"{made['device']}, torch {made['versions']['torch']}, {made['started'][:10]}"}
