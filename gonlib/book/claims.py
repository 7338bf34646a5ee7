"""The ledger as a page to read: a card for each claim, the paper's numbers beside ours, and a choice by verdict."""

import jinja2
import pandas as pd

from ..study import paper, registry
from ..study.judging import by_column, done, where
from ..study.ledger import KEY, OPEN, RULES, SIGNS, VERDICTS, WORDS, Judgement, Ledger, Verdict
from ..study.numbers import Html, number, reached, say

# The chapter that looks at each claim.
CHAPTERS = {
    "C1": "04-table1", "C2": "04-table1", "C3": "06-steps-and-gap", "C4": "06-steps-and-gap", "C5": "06-steps-and-gap",
    "C6": "05-table2", "C7": "06-steps-and-gap", "C8": "11-generalisation", "C9": "07-activations", "C10": "14-implicit",
    "C11": "15-super-resolution", "C12": "16-interpolation", "C13": "17-samples", "C14": "13-first-minute",
    "C15": "12-settings", "C16": "09-architectures", "C17": "10-origins", "C18": "18-classifier", "C19": "19-latents",
    "C20": "19-latents", "C21": "04-table1", "C22": "03-encoder-is-a-matrix",
}
# The rows of Table 1 that a claim is about.
ROWS = {
    "C1": ("GON", "AE", "Tied AE", "1 step, detached"), "C2": ("GON", "10 steps, detached", "10 steps", "GLO"),
    "C3": ("GON", "1 step, detached"), "C4": ("GON", "10 steps"), "C5": ("GON", "1 step, detached", "10 steps, detached"),
}
VERBS = {  # of one claim, of several
    "holds": ("holds", "hold"), "fails": ("fails", "fail"), "mixed": ("is mixed", "are mixed"),
    "undecided": ("is too close to call", "are too close to call"),
    "too early": ("is too early to judge", "are too early to judge"),
    "not yet run": ("is not judged yet", "are not judged yet"),
}


def main(judgement: Judgement) -> Verdict:
    """The verdict that a claim is listed under: from the paper's data, at full schedule or on the way, or not yet run."""
    return next((verdict for verdict in judgement[:2] if verdict.verdict != "not yet run"), judgement.full)


def in_short(ledger: Ledger) -> list[Html]:
    """Which claims have which verdict, from the paper's data, each linked to its card."""
    told, counted = [], {verdict: [] for verdict in VERDICTS}
    for one in map(main, ledger.judgements):
        link = say('<a href="#{}">{}</a> {}', one.claim.lower(), one.claim, paper.TOPICS[one.claim])
        if one.scope == "exact":
            told.append(say("<strong>Checked without runs</strong>, as mathematics: {}: {}.", link, one.label))
        else:
            growing = one.scope == "part" and one.verdict not in OPEN
            counted[one.verdict].append(say("{}{}", link, " (so far)" * growing))
    return [say("<strong>{} {}</strong>: {}.", len(links), VERBS[verdict][len(links) > 1], Html(", ").join(links))
            for verdict, links in counted.items() if links] + told


def cards(ledger: Ledger) -> Html:
    """All claims as cards, with buttons that leave those of one verdict."""
    table1 = registry.recorded("table1")
    shown = [{"claim": one.full.claim, "says": paper.CLAIMS[one.full.claim][0], "evidence": paper.CLAIMS[one.full.claim][1],
              "page": CHAPTERS[one.full.claim], "verdict": main(one), "rule": RULES[one.full.claim], "small": one.small,
              "part": one.part if one.part is not main(one) and one.part.verdict != "not yet run" else None,
              "beside": beside(one.full.claim, table1)} for one in ledger.judgements]
    counts = {verdict: sum(one["verdict"].verdict == verdict for one in shown) for verdict in VERDICTS}
    return Html(PAGE.render(claims=shown, counts=counts, signs=SIGNS, words=WORDS, key=KEY))


def beside(claim: str, table1: pd.DataFrame) -> list[Html]:
    """For a claim about Table 1, a line per data set: our errors, and the paper's in brackets."""
    lines = []
    for column, here in by_column(done(table1, "test_error")):
        pairs = [(name, where(here, model=name)) for name in ROWS.get(claim, ())]
        texts = [say("{} {} ({:.2f})", name.replace(",", ""), number(runs, "test_error"), runs.paper.iloc[0][0])
                 for name, runs in pairs if len(runs)]
        if len(texts) > 1:
            when = reached(here) if (here.epoch < here.asked).any() else f"after {here.epoch.max():,.0f} epochs"
            lines.append(say("{}, {}: {}", column, when, Html("; ").join(texts)))
    return lines


PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
{% macro badge(verdict) %}
<span class="badge {{ verdict.verdict.replace(" ", "-") }}">{{ signs[verdict.verdict] }} {{ verdict.label }}</span>
{%- endmacro %}
{% macro found(verdict) %}
{% if verdict.findings %}<ul>{% for line in verdict.lines %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
{% endmacro %}
{% macro runs(verdict) %}
{% if verdict.basis %}<p class="note">Runs: {{ verdict.basis }}.</p>{% endif %}
{% endmacro %}
<div class="claims">
<fieldset><legend>Show</legend>
<label><input type="radio" name="claims" class="all" checked> all {{ claims | length }}</label>
{% for verdict, count in counts.items() if count %}
<label><input type="radio" name="claims" class="{{ verdict.replace(" ", "-") }}">
{{ signs[verdict] }} {{ words.get(verdict, verdict) }} ({{ count }})</label>
{% endfor %}
</fieldset>
{% for one in claims %}
<section class="claim {{ one.verdict.verdict.replace(" ", "-") }}" id="{{ one.claim | lower }}">
<p class="head"><b id="claim-{{ one.claim }}">{{ one.claim }}</b> {{ badge(one.verdict) }}</p>
<p class="says">{{ one.says[0] | upper }}{{ one.says[1:] }}.</p>
<p class="note">The paper: {{ one.evidence }}.
More in <a href="{{ one.page }}.html">chapter {{ one.page[:2] | int }}</a>.</p>
{% if one.beside %}
<p class="note">Ours, and the paper's in brackets:</p>
<ul>{% for line in one.beside %}<li>{{ line }}</li>{% endfor %}</ul>
{% else %}
{{ found(one.verdict) }}
{% endif %}
<details><summary>How it is judged</summary>
<p><b>Rule.</b> {{ one.rule.says[0] | upper }}{{ one.rule.says[1:] }}.</p>
{% if one.beside %}{{ found(one.verdict) }}{% endif %}
{{ runs(one.verdict) }}
{% if one.part %}<p>{{ badge(one.part) }}</p>{{ found(one.part) }}{{ runs(one.part) }}{% endif %}
{% if one.rule.exact %}<p>Mathematics, checked directly: it does not depend on runs.</p>
{% elif one.small.findings %}<p><b>Small runs of this build</b>: {{ badge(one.small) }}</p>
{{ found(one.small) }}{{ runs(one.small) }}{% endif %}
</details>
</section>
{% endfor %}
</div>
<p class="note">{{ key }}</p>""")
