"""The ledger: every claim of the paper with a verdict by a stated rule (rules.py), computed from the runs there are.

A verdict proper comes only from runs at full schedule on the paper's data sets: those of the `paper` profile. What
smaller runs show is said beside it and counted apart.
"""

import html
from dataclasses import dataclass, replace

import pandas as pd

from ..book.figures import Html
from . import picture_rules, rules  # noqa: F401 (they register their rules)
from .judging import NO_RUNS, RULES, basis, compare, done  # noqa: F401 (compare is public here)
from .paper import CLAIMS, DATASETS
from .profiles import load_profile
from .registry import EXPERIMENTS, collect, get

VERDICTS = ("holds", "fails", "mixed", "not yet run")


@dataclass(frozen=True)
class Verdict:
    """A claim judged from runs: one of VERDICTS, a sentence with the linked numbers, what the runs were, their hashes.

    `scope` says what it may be called: "full" (the paper's schedule and data), "small", or "exact" (mathematics that
    is checked directly, whatever the data). `part` is "2 of 5 data sets" (or columns) if only some of them were run.
    """

    claim: str
    verdict: str
    sentence: str = ""
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

    It holds, or fails, if everything found says so, is mixed otherwise, and not yet run if nothing was found.
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
    verdict = outcomes.pop() if len(outcomes) == 1 else "mixed"
    used = pd.concat([f.runs for f in found])
    used = used[~used.hash.duplicated()]
    return Verdict(claim, "mixed" if verdict == "undecided" else verdict, ". ".join(f.text for f in found),
                   basis(used), tuple(used.hash), scope)


def _arguments(runs):
    return {name.replace("-", "_"): frame for name, frame in runs.items()}


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
        head = "".join(f"<th>{v}</th>" for v in VERDICTS)
        names = {"full": "verdicts: full schedule, the paper's data", "small": "small runs of this build (no verdict)"}
        body = "".join(f"<tr><th>{names[s]}</th>" + "".join(f"<td>{counts[v]}</td>" for v in VERDICTS) + "</tr>"
                       for s, counts in self.totals.items())
        return Html(f'<table class="totals"><thead><tr><th>{len(self.pairs)} claims</th>{head}</tr></thead>'
                    f"<tbody>{body}</tbody></table>")


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


def _table(pairs):
    lines = []
    for full, small in pairs:
        claim, evidence = CLAIMS[full.claim]
        lines.append(f'<tr id="claim-{full.claim}"><th>{full.claim}</th><td>{html.escape(claim)}'
                     f'<div class="note">{evidence}. Rule: {html.escape(RULES[full.claim].says)}.</div></td>'
                     f"<td>{_cell(full)}</td><td>{_cell(small)}</td></tr>")
    heads = ("", "claim and rule", "full schedule, the paper's data", "small runs of this build")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return Html(f'<div class="table-scroll"><table class="ledger"><thead><tr>{head}</tr></thead>'
                f"<tbody>{''.join(lines)}</tbody></table></div>")


def _cell(verdict):
    name = verdict.verdict.replace(" ", "-")
    if verdict.scope == "small" and RULES[verdict.claim].exact:
        return '<span class="state">does not depend on runs</span>'
    label = f'<span class="verdict {name} {verdict.scope}">{html.escape(verdict.label)}</span>'
    note = f'<div class="note">{html.escape(verdict.basis)}</div>' if verdict.basis else ""
    return f"{label} {verdict.sentence}{note}"
