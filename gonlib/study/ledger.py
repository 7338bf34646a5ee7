"""The ledger: every claim of the paper with a verdict by its chapter's rule, computed from the runs there are.

A verdict proper comes only from runs at full schedule on the paper's data sets: those of the `paper` profile. What
smaller runs show is said beside it and counted apart.
"""

from dataclasses import dataclass, replace

import jinja2
import pandas as pd

from .experiment import collect
from .judging import NO_RUNS, Rule, done
from .numbers import Html
from .paper import CLAIMS, DATASETS
from .profiles import load_profile
from .registry import CHAPTERS, EXPERIMENTS, get

RULES = {found.claim: found for chapter in CHAPTERS for found in vars(chapter).values() if isinstance(found, Rule)}
VERDICTS = ("holds", "fails", "mixed", "not yet run")


@dataclass(frozen=True)
class Verdict:
    """A claim judged from runs: one of VERDICTS, a sentence with the linked numbers, what the runs were, their hashes.

    `scope` says what it may be called: "full" (the paper's schedule and data), "small", or "exact" (mathematics that
    is checked directly, whatever the data). `part` is "2 of 5 data sets" (or columns) if only some of them were run.
    """

    claim: str
    verdict: str
    sentence: Html = Html("")  # noqa: RUF009 (a text, never changed)
    basis: str = ""
    hashes: tuple = ()
    scope: str = "small"
    part: str = ""

    @property
    def label(self):
        """The verdict as the book writes it: never a small run as a verdict on the paper."""
        if self.verdict == "not yet run":
            return self.verdict
        if self.scope == "small":
            return {"holds": "holds here", "fails": "not seen here", "mixed": "mixed here"}[self.verdict]
        return f"{self.verdict}, {self.part}" if self.part else self.verdict


def judge(claim, runs, scope="small"):
    """The `Verdict` on one claim from {experiment: DataFrame of `experiments.collect`}; failed runs are not counted.

    It holds if everything found says so, fails if something speaks against it and nothing for it, is mixed otherwise,
    and not yet run if nothing was found.
    """
    rule = RULES[claim]
    if rule.exact and scope == "full":
        scope = "exact"
    given = {name: runs.get(name, NO_RUNS) for name in rule.experiments}
    given = {name: frame[frame.state.isin(["done", "failed"])] if rule.failures else done(frame)
             for name, frame in given.items()}  # fmt: skip
    found = [] if rule.exact and scope == "small" else [f for f in rule.judge(**_arguments(given)) if f]
    if not found:
        return Verdict(claim, "not yet run", scope=scope)
    outcomes = {f.outcome for f in found}
    verdict = "holds" if outcomes == {"holds"} else "fails" if "fails" in outcomes and "holds" not in outcomes else "mixed"
    used = pd.concat([f.runs for f in found])
    used = used[~used.hash.duplicated()]
    return Verdict(claim, verdict, Html(". ").join(f.text for f in found),
                   basis(used), tuple(used.hash), scope)


def _arguments(runs):
    return {name.replace("-", "_"): frame for name, frame in runs.items()}


def basis(runs: pd.DataFrame) -> str:
    """What runs were: data sets, length of training, seeds, device; one line."""
    if runs.empty:
        return ""
    datasets = ", ".join(dict.fromkeys(DATASETS.get(c.dataset, c.dataset) for c in runs.config))
    epochs = sorted({int(run.metrics.get("epochs", 0)) for run in runs.run})
    steps = sorted({int(run.metrics.get("steps", 0)) for run in runs.run})
    seeds = sorted(set(runs.groupby(["row", "column"]).seed.nunique()))
    devices = ", ".join(dict.fromkeys(run.provenance["device"] for run in runs.run))
    length, several = f"{_span(epochs)} epochs ({_span(steps)} steps)", "s" * (seeds[-1] > 1)
    return f"{datasets}; {length}; {_span(seeds)} seed{several}; {devices}"


def _span(values):
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def full_schedule(name):
    """The cells of an experiment that count as the paper's: profile `paper`, on the paper's data sets."""
    if name not in load_profile("paper"):
        return []
    return [cell for cell in get(name).cells("paper") if all(c.dataset in DATASETS for c in cell.configs)]


def divide(name, runs=None):
    """An experiment's runs at full schedule, from all stores, and those of `runs` that are smaller."""
    cells = full_schedule(name)
    full = collect(cells) if cells else NO_RUNS
    runs = NO_RUNS if runs is None else runs
    return full, runs[~runs.hash.isin(full.hash)]


def both(claims, runs):
    """[(verdict at full schedule, verdict of the smaller runs)] for claims, from {experiment: runs}."""
    names = {name for claim in claims for name in RULES[claim].experiments if name in EXPERIMENTS}
    divided = {name: divide(name, runs.get(name)) for name in names}
    full, small = ({name: parts[i] for name, parts in divided.items()} for i in (0, 1))
    return [(_partly(judge(claim, full, "full"), full), judge(claim, small)) for claim in claims]


def _partly(verdict, full):
    """The verdict with a note if only some of the data sets, or else of the columns, of its experiments have been run."""
    frames = [full[name].assign(experiment=name) for name in RULES[verdict.claim].experiments if len(full.get(name, ()))]
    if verdict.scope == "exact" or not verdict.hashes or not frames:
        return verdict
    wanted = pd.concat(frames)
    used, ran = wanted[wanted.hash.isin(verdict.hashes)], wanted[wanted.state != "not run"]
    datasets = [{c.dataset for c in part.config} for part in (used, wanted)]
    columns = [set(zip(part.experiment, part.column, strict=True)) for part in (ran, wanted)]
    for what, (had, asked) in (("data sets", datasets), ("columns", columns)):
        if len(had) < len(asked):
            return replace(verdict, part=f"{len(had)} of {len(asked)} {what}")
    return verdict


def verdicts(claims, runs):
    """A table for a chapter: each claim, the paper's evidence, ours at full schedule and in this build, and verdicts.

    `runs` is {experiment: DataFrame}, as `experiments.run` gives it; runs at full schedule are found in the stores.
    """
    return _table(both(claims, runs))


class Ledger(Html):
    """All claims as a table; `pairs` are the verdicts (full, small) behind it."""

    @property
    def totals(self):
        """{"full": {verdict: number of claims}, "small": {...}}; exact ones are with the full."""
        return {scope: {v: sum(pair[i].verdict == v for pair in self.pairs) for v in VERDICTS}
                for i, scope in enumerate(("full", "small"))}

    def summary(self):
        """The totals as a small table for the landing page."""
        names = {"full": "verdicts: full schedule, the paper's data", "small": "small runs of this build (no verdict)"}
        rows = [(names[scope], counts.values()) for scope, counts in self.totals.items()]
        return Html(TOTALS.render(count=len(self.pairs), heads=VERDICTS, rows=rows))


def ledger(profile, **overrides):
    """Every claim judged from the runs in the stores: at full schedule, and those of `profile`. Nothing is trained.

    `overrides` are those that the build's notebooks were given (data set, latents, ...); None leaves it to the profile.
    """
    runs = {}
    for name, experiment in EXPERIMENTS.items():
        known = {k: v for k, v in overrides.items() if k in experiment.parameters}
        runs[name] = collect(experiment.cells(profile, **known))
    pairs = both(list(CLAIMS), runs)
    made = Ledger(_table(pairs))
    made.pairs = pairs
    return made


PAGES = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
TOTALS = PAGES.from_string("""\
<table class="totals">
<thead><tr><th>{{ count }} claims</th>{% for head in heads %}<th>{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{% for name, counts in rows %}
<tr><th>{{ name }}</th>{% for count in counts %}<td>{{ count }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>""")
CLAIMS_AND_VERDICTS = PAGES.from_string("""\
{% macro cell(verdict, exact) %}
{% if verdict.scope == "small" and exact %}
<span class="state">does not depend on runs</span>
{%- else %}
<span class="verdict {{ verdict.verdict.replace(" ", "-") }} {{ verdict.scope }}">{{ verdict.label }}</span>
{{ verdict.sentence }}
{%- if verdict.basis %}<div class="note">{{ verdict.basis }}</div>{% endif %}
{% endif %}
{% endmacro %}
<div class="table-scroll"><table class="ledger">
<thead><tr><th></th><th>claim and rule</th>
<th>full schedule, the paper's data</th><th>small runs of this build</th></tr></thead>
<tbody>
{% for line in lines %}
<tr id="claim-{{ line.name }}"><th>{{ line.name }}</th>
<td>{{ line.claim }}<div class="note">{{ line.evidence }}. Rule: {{ line.rule.says }}.</div></td>
<td>{{ cell(line.full, line.rule.exact) }}</td><td>{{ cell(line.small, line.rule.exact) }}</td></tr>
{% endfor %}
</tbody></table></div>""")


def _table(pairs):
    lines = []
    for full, small in pairs:
        claim, evidence = CLAIMS[full.claim]
        lines.append({"name": full.claim, "claim": claim, "evidence": evidence, "rule": RULES[full.claim],
                      "full": full, "small": small})  # fmt: skip
    return Html(CLAIMS_AND_VERDICTS.render(lines=lines))
