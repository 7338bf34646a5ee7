"""The book's page of runs: each run that a number on some page links to, with where it came from."""

import html
import json
import re

from ..runs.progress import title
from ..runs.run import Run


def linked_runs(notebooks):
    """Run hash -> names of the pages whose numbers link to it, from the outputs of executed notebooks (paths)."""
    found = {}
    for path in notebooks:
        text = json.dumps([cell.get("outputs", []) for cell in json.loads(path.read_text())["cells"]])
        for group in re.findall(r'data-runs=\\"([0-9a-f ]+)\\"', text):
            for name in group.split():
                found.setdefault(name, [])
                found[name] += [path.stem] if path.stem not in found[name] else []
    return found


def section(notebooks, stores):
    """The table of all linked runs as HTML; `stores` are looked through in order. A sentence if there are none."""
    rows = []
    for name, pages in linked_runs(notebooks).items():
        folder = next((store.root / name for store in stores if (store.root / name).is_dir()), None)
        if folder is not None:
            rows.append(_row(Run(folder), pages))
    if not rows:
        return "No number of this build links to a run."
    head = "".join(f"<th>{h}</th>" for h in ("run", "page", "what it is", "error", "steps", "seconds", "made on", "source"))
    body = "\n".join(sorted(rows))
    return (f'{len(rows)} runs.\n\n<div class="table-scroll"><table class="results runs"><thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div>\n")


def _row(run, pages):
    made, metrics = run.provenance, run.metrics
    links = ", ".join(f'<a href="{page}.html">{page.partition("-")[0]}</a>' for page in sorted(pages))
    error = metrics.get("test_error")
    versions = f"{made['device']}, torch {made['versions']['torch']}, {made['started'][:10]}"
    cells = [f"<code>{run.hash}</code>", links, html.escape(title(run.config)), "" if error is None else f"{error:.3f}",
             f"{metrics.get('steps', 0):,}", f"{metrics.get('seconds', 0):.1f}", html.escape(versions),
             f"<code>{made['source'][:8]}</code>"]
    return f'<tr id="run-{run.hash}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
