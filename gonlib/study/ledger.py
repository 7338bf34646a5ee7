"""The ledger: every claim of the paper with a verdict by its chapter's rule, computed from the runs there are.

A verdict proper comes only from runs at full schedule on the paper's data sets: those of the `paper` profile. What
smaller runs show is said beside it and counted apart.
"""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import jinja2
import numpy as np
import pandas as pd

from ..data.registry import facts
from ..runs import store
from .experiment import collect, data_title, so_far
from .judging import MARKS, NO_RUNS, Rule, done
from .numbers import Html, reached, span
from .paper import CLAIMS, DATASETS, TOPICS
from .profiles import load_profile
from .registry import CHAPTERS, EXPERIMENTS, at_full_schedule

RULES = {found.claim: found for chapter in CHAPTERS for found in vars(chapter).values() if isinstance(found, Rule)}
VERDICTS = ("holds", "fails", "mixed", "undecided", "too early", "not yet run")
OPEN = ("too early", "not yet run")  # of which nothing can be said yet
# Where a verdict is not its own name.
WORDS = {"undecided": "too close to call", "too early": "too early to judge", "not yet run": "not judged yet"}
EARLY = 0.02  # before this share of its schedule a run is shown, but judges nothing


@dataclass(frozen=True)
class Verdict:
    """A claim judged from runs: one of VERDICTS, what was found with linked numbers, what the runs were, their hashes.

    `scope` says what the verdict may be called: "full" (the paper's schedule and data), "part" (the paper's data, not yet
    to the end), "small" (small runs of this build: no verdict), "exact" (mathematics, checked without runs). `part`
    says on which data sets, or at which epoch, if that is not all.
    """

    claim: str
    verdict: str
    findings: tuple[Html, ...] = ()
    basis: str = ""
    hashes: tuple = ()
    scope: str = "small"
    part: str = ""

    @property
    def word(self) -> str:
        """The verdict as the book writes it, in the ledger and in chapters: never a small run as a verdict on the paper."""
        word = WORDS.get(self.verdict, self.verdict)
        if self.verdict in OPEN or self.scope not in ("small", "part"):
            return word
        return f"{'not seen' if self.verdict == 'fails' else word} {'in small runs' if self.scope == 'small' else 'so far'}"

    @property
    def label(self) -> str:
        """The verdict and on what it is."""
        return f"{self.word} {self.part}".rstrip()

    @property
    def sentence(self) -> Html:
        """What was found, in one line."""
        return Html(". ").join(self.findings)

    @property
    def lines(self) -> list[Html]:
        """The findings with each mark kept on the line of what it is about."""
        return [Html(re.sub(f" (?=[{''.join(MARKS.values())}])", "\N{NO-BREAK SPACE}", line)) for line in self.findings]


class Judgement(NamedTuple):
    """A claim's verdicts: from runs at full schedule, from those on the way there, and from small ones."""

    full: Verdict
    part: Verdict
    small: Verdict


def judge(claim, runs, scope="small"):
    """The `Verdict` on one claim from {experiment: DataFrame of `experiment.collect`}; failed runs are not counted.

    It holds if everything found says so, fails if something speaks against it and nothing for it, is undecided if nothing
    speaks for or against it, mixed otherwise, and not yet run if nothing was found. Of findings that are the same runs'
    same numbers, which two experiments may share, the last counts.
    """
    rule = RULES[claim]
    if rule.exact and scope == "full":
        scope = "exact"
    given = {name: runs.get(name, NO_RUNS) for name in rule.experiments}
    given = {name: _named(frame[frame.state.isin(["done", "failed"])] if rule.failures else done(frame))
             for name, frame in given.items()}
    found = [] if rule.exact and scope in ("part", "small") else [f for f in rule.judge(**_arguments(given)) if f]
    if not found:
        return Verdict(claim, "not yet run", scope=scope)
    found = list({(frozenset(f.runs.hash), f.text.partition(": ")[2] or f.text): f for f in found}.values())
    outcomes = {f.outcome for f in found}
    against = "fails" in outcomes and "holds" not in outcomes
    verdict = outcomes.pop() if len(outcomes) == 1 else "fails" if against else "mixed"
    used = pd.concat([f.runs for f in found])
    used = used[~used.hash.duplicated()]
    return Verdict(claim, verdict, tuple(f.text for f in found), basis(used), tuple(used.hash), scope)


def _named(runs):
    """The runs with columns whose titles name the data set."""
    if runs.empty:
        return runs
    sets = [data_title(config.dataset) for config in runs.config]
    return runs.assign(column=[column if name in column else f"{name}, {column}"
                               for name, column in zip(sets, runs.column, strict=True)])


def _arguments(runs):
    return {name.replace("-", "_"): frame for name, frame in runs.items()}


def basis(runs: pd.DataFrame) -> str:
    """What runs were: data sets, length of training, seeds, device; one line."""
    if runs.empty:
        return ""
    datasets = ", ".join(dict.fromkeys(data_title(c.dataset) for c in runs.config))
    epochs, steps = ([int(run.metrics.get(name, 0)) for run in runs.run] for name in ("epochs", "steps"))
    seeds = list(runs.groupby(["row", "column"]).seed.nunique())
    devices = ", ".join(dict.fromkeys(run.provenance["device"] for run in runs.run))
    length, several = f"{span(epochs)} epochs ({span(steps)} steps)", "s" * (max(seeds) > 1)
    return f"{datasets}; {length}; {span(seeds)} seed{several}; {devices}"


def full_schedule(name: str) -> list:
    """The cells of an experiment that count as the paper's: profile `paper`, on the paper's data sets."""
    if name not in load_profile("paper"):
        return []
    cells = at_full_schedule(name, [store.local_store(), store.recorded_store()])
    return [cell for cell in cells if cell.factors["dataset"].partition("@")[0] in DATASETS]


def divide(name: str, runs: pd.DataFrame | None = None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """An experiment's runs at full schedule, those on the way there, from all stores, and those of `runs` that are small."""
    cells = full_schedule(name)
    runs = NO_RUNS if runs is None else runs
    if not cells:
        return NO_RUNS, NO_RUNS, runs
    full = collect(cells)
    partial = np.array([_part_of_its_set(run) for run in full.run], bool)
    on_the_way = pd.concat([so_far(full[~partial]), done(full[partial])])
    return full[~partial], on_the_way, runs[~runs.hash.isin(full.hash)]


def _part_of_its_set(run):
    """Whether a run saw only some of the images that were asked for, of an official set: then it is no verdict."""
    return run is not None and run.metrics["images"] < (run.config.train_images or facts(run.config.dataset).counts[0])


def judge_all(claims, runs: dict) -> list[Judgement]:
    """The verdicts on claims from {experiment: runs}: what the ledger and all chapters say."""
    names = {name for claim in claims for name in RULES[claim].experiments if name in EXPERIMENTS}
    divided = {name: divide(name, runs.get(name)) for name in names}
    full, part, small = ({name: parts[i] for name, parts in divided.items()} for i in range(3))
    judged = []
    for claim in claims:
        finished, growing = judge(claim, full, "full"), _on_the_way(claim, part)
        if set(growing.hashes) <= set(finished.hashes):  # all that the claim asks of them is finished
            growing = Verdict(claim, "not yet run", scope="part")
        judged.append(Judgement(_on_which(finished, full), growing, judge(claim, small)))
    return judged


def _on_the_way(claim, runs):
    """The verdict from runs that are not at their end, or that it is too early for one."""
    ripe = {name: found[found.epoch >= EARLY * found.asked] if len(found) else found for name, found in runs.items()}
    verdict = judge(claim, ripe, "part")
    if verdict.findings or not (early := judge(claim, runs, "part")).findings:
        return _how_far(verdict, ripe)
    return _how_far(replace(early, verdict="too early", findings=()), runs)


def _read(claim, runs):
    """All runs that a claim's rule reads, with their experiment."""
    frames = [runs[name].assign(experiment=name) for name in RULES[claim].experiments if len(runs.get(name, ()))]
    return pd.concat(frames) if frames else NO_RUNS


def _on_which(verdict, full):
    """The verdict with a note if only some of the data sets, or else of the columns, of its experiments have been run."""
    wanted = _read(verdict.claim, full)
    if verdict.scope == "exact" or not verdict.hashes or wanted.empty:
        return verdict
    used, ran = wanted[wanted.hash.isin(verdict.hashes)], wanted[wanted.state.isin(["done", "failed"])]
    had, asked = (list(dict.fromkeys(data_title(c.dataset) for c in part.config)) for part in (used, wanted))
    if len(had) < len(asked):
        return replace(verdict, part=f"on {', '.join(had)} ({len(had)} of {len(asked)} data sets)")
    had, asked = (set(zip(part.experiment, part.column, strict=True)) for part in (ran, wanted))
    return replace(verdict, part=f"on {len(had)} of {len(asked)} settings") if len(had) < len(asked) else verdict


def _how_far(verdict, part):
    """The verdict with the data sets of its runs and the epochs that they have reached."""
    used = _read(verdict.claim, part)
    used = used[used.hash.isin(verdict.hashes)]
    if used.empty:
        return verdict
    where = f"on {', '.join(dict.fromkeys(data_title(c.dataset) for c in used.config))}"
    growing = (used.epoch < used.asked).any()
    return replace(verdict, part=f"{where} ({reached(used).removeprefix('at ')})" if growing else where)


def in_words(claims, runs: dict) -> Html:
    """The verdicts on some claims, each linked to its place in the ledger: for the box "In short"."""
    told = []
    for judgement in judge_all(claims, runs):
        known = [verdict for verdict in judgement if verdict.verdict != "not yet run"][:2] or [judgement.full]
        known = known[:1] if known[0].scope == "full" and known[-1].scope == "small" else known
        words = Html("; ").join(Html('<span class="verdict {} {}">{}</span>').format(
            verdict.verdict.replace(" ", "-"), verdict.scope, verdict.label) for verdict in known)
        claim = judgement.full.claim
        told.append(Html('<a href="22-ledger.html#{}">{}</a> ({}) {}').format(claim.lower(), claim, TOPICS[claim], words))
    if len(told) == 1:
        return Html("Verdict: {}.").format(told[0])
    return Html("Verdicts:<ul>{}</ul>").format(Html("").join(Html("<li>{}</li>").format(line) for line in told))


def verdicts(claims, runs: dict) -> Html:
    """A card for each claim of a chapter: the verdict, what was found on the paper's data, the rule, and the small runs.

    `runs` is {experiment: DataFrame}, as `registry.run` gives it; runs at full schedule are found in the stores. Where a
    claim's rule reads small runs of other pages too, what this page's show stands here, and the verdict in the ledger.
    """
    elsewhere = {claim for claim in claims if not set(RULES[claim].experiments) <= runs.keys()}
    return _cards(judge_all(claims, runs), "Small runs of this page", elsewhere)


class Ledger(Html):
    """All claims as cards; `judgements` are the verdicts behind them."""

    judgements: list[Judgement]

def ledger(profile, **overrides) -> Ledger:
    """Every claim judged from the runs in the stores: at full schedule, and those of `profile`. Nothing is trained.

    `overrides` are those that the build's notebooks were given (data set, latents, ...); None leaves it to the profile.
    """
    runs = {}
    for name, experiment in EXPERIMENTS.items():
        known = {k: v for k, v in overrides.items() if k in experiment.parameters}
        runs[name] = collect(experiment.cells(profile, **known))
    judgements = judge_all(list(CLAIMS), runs)
    made = Ledger(_cards(judgements, "Small runs of this build"))
    made.judgements = judgements
    return made


SIGNS = {"holds": "✓", "fails": "✗", "mixed": "≈", "undecided": "≈", "too early": "–", "not yet run": "–"}
KEY = """✓ speaks for the claim, ✗ against it, ≈ too close to call or mixed; ± after a difference is its standard error,
p that of a t test: seed by seed where both sides have the same seeds, else Welch's."""
CARDS = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
{% macro badge(verdict) %}
<span class="verdict badge {{ verdict.verdict.replace(" ", "-") }}">{{ signs[verdict.verdict] }} {{ verdict.label }}</span>
{% endmacro %}
{% macro found(verdict) %}
{% if verdict.findings %}<ul>{% for line in verdict.lines %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
{% endmacro %}
<div class="claims">
{% for claim, evidence, rule, shown, small in cards %}
<section class="claim {{ shown[0].verdict.replace(" ", "-") }}" id="claim-{{ rule.claim }}">
<p class="head"><a href="22-ledger.html#{{ rule.claim | lower }}"><b>{{ rule.claim }}</b></a>
<span>{{ claim[0] | upper }}{{ claim[1:] }} <span class="note">({{ evidence }})</span></span></p>
{% for verdict in shown %}
<div class="told">{{ badge(verdict) }}
{{ found(verdict) }}{% if verdict.verdict == "not yet run" and small.findings and rule.claim not in elsewhere %}
{{ badge(small) }}{% endif %}</div>
{% endfor %}
<details><summary>Rule and runs</summary>
<p>{{ rule.says[0] | upper }}{{ rule.says[1:] }}.</p>
{% for verdict in shown if verdict.basis %}<p class="note">Runs: {{ verdict.basis }}.</p>{% endfor %}
{% if rule.exact %}<p>Mathematics, checked directly: it does not depend on runs.</p>
{% elif small.findings %}
<div class="told"><p>{{ heading }}{% if rule.claim in elsewhere %} (with those of other pages:
<a href="22-ledger.html#{{ rule.claim | lower }}">the ledger</a>){% else %}: {{ badge(small) }}{% endif %}</p>
{{ found(small) }}<p class="note">Runs: {{ small.basis }}.</p></div>
{% endif %}
</details>
</section>
{% endfor %}
</div>
<p class="note">{{ key }}</p>""")


def _cards(judgements, small, elsewhere=()):
    cards = []
    for judgement in judgements:
        claim, evidence = CLAIMS[judgement.full.claim]
        # what is on the way is said beside what is finished, and in place of "not yet run"
        shown = [v for v in judgement[:2] if v.verdict != "not yet run"] or [judgement.full]
        cards.append((claim, evidence, RULES[judgement.full.claim], shown, judgement.small))
    return Html(CARDS.render(cards=cards, heading=small, elsewhere=elsewhere, signs=SIGNS, key=KEY))
