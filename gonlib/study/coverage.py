"""What is recorded of the paper's experiments, how far it has been trained, and the command that makes the rest."""

from typing import NamedTuple

import jinja2
import pandas as pd

from ..runs import store
from .experiment import collect, data_title
from .numbers import Html, reached
from .registry import EXPERIMENTS, SMALLER, at_full_schedule

PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<p>{{ "{:,}".format(done) }} of {{ "{:,}".format(runs) }} runs are complete, {{ growing }} are on their way; {{ begun }} of
{{ lines | length }} experiments have some.</p>
<table class="coverage"><thead><tr><th scope="col">table or figure</th><th scope="col">recorded</th>
<th scope="col">missing</th></tr></thead><tbody>
{% for line in lines %}
<tr id="{{ line.name }}"><th scope="row">{{ line.title }} <code>{{ line.name }}</code></th>
<td>{% for part in line.recorded %}<div>{{ part }}</div>{% endfor %}</td>
<td>{% if line.missing %}<span>{{ line.missing | join(", ") }}</span>{% endif %}
{% if line.command %}<details><summary>command</summary><pre>{{ line.command }}</pre></details>{% endif %}</td></tr>
{% endfor %}
</tbody></table>""")


class Line(NamedTuple):
    """One experiment: what is there in sentences, the data sets that lack it, and the command that makes the rest."""

    name: str
    title: str
    recorded: list[str]
    missing: list[str]
    command: str


def coverage(name: str) -> tuple[Line, pd.DataFrame]:
    """What is recorded of an experiment at full schedule, and its runs as `collect` gives them."""
    stores = [store.recorded_store()]
    runs = collect(at_full_schedule(name, stores), stores)
    told = {data_title(dataset): _told(here) for dataset, here in runs.groupby("dataset", sort=False)}
    recorded, missing = [f"{named}: {words}" for named, words in told.items() if words], [n for n in told if not told[n]]
    if name in SMALLER:
        stand_ins = collect(at_full_schedule(name, stores, **SMALLER[name]), stores)
        for dataset, here in stand_ins.groupby("dataset", sort=False):
            recorded += [f"{data_title(dataset)}, smaller: {words}"] if (words := _told(here)) else []
    command = "" if set(runs.state) <= {"done", "failed"} else f".venv/bin/python -m gonlib run {name} \\\n  --profile paper"
    return Line(name, EXPERIMENTS[name].title, recorded, missing, command), runs


def _told(runs):
    """How many runs of a data set are there and how far they are, in words; nothing if none is."""
    there = runs[(runs.state != "not run") & ~((runs.state == "growing") & (runs.epoch == 0))]  # nothing seen of it yet
    if there.empty:
        return ""
    growing = there[(there.state == "growing") & (there.epoch < there.asked)]
    unmeasured = int(((there.state == "growing") & (there.epoch >= there.asked)).sum())
    told = [f"{len(there)} of {len(runs)} runs" if len(there) < len(runs) else f"{len(runs)} run{'s' * (len(runs) > 1)}"]
    told += [f"{len(failed)} failed"] if len(failed := there[there.state == "failed"]) else []
    if len(growing):
        told.append(reached(growing) if len(growing) == len(there) else f"{len(growing)} of them {reached(growing)}")
    return ", ".join(told + [f"{unmeasured} trained but not measured"] * bool(unmeasured))


def page() -> Html:
    """A table of all experiments, for the book: see `coverage`."""
    found = [coverage(name) for name in sorted(EXPERIMENTS, key=lambda name: EXPERIMENTS[name].place)]
    # a run of several experiments is complete if it is for all of them
    states = pd.concat([runs for _, runs in found]).groupby("hash").state.agg(set)
    return Html(PAGE.render(lines=[line for line, _ in found], runs=len(states), done=int((states == {"done"}).sum()),
                            growing=int(states.map(lambda all_: "growing" in all_).sum()),
                            begun=sum(bool(line.recorded) for line, _ in found)))
