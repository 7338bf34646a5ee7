"""The landing page: what was found, in sentences with linked numbers; the claims as tiles; the paper's data."""

import math
from collections.abc import Iterator

import pandas as pd
import torch

from ..runs import kept
from ..runs.run import Run
from ..study import registry, replication
from ..study.chapters.normalisation import turned
from ..study.judging import by_column, compare, done, where
from ..study.ledger import VERDICTS, WORDS, Verdict, judge_all
from ..study.linear import APART, components_for, recorded_pca_error
from ..study.numbers import Html, linked, listed, number, say
from ..study.paper import CLAIMS, DATASETS, TABLE1, TABLE2, TOPICS
from ..study.pictures import mean_image
from .claims import main
from .live import recorded_for, written_digits

PLURAL = WORDS | {"holds": "hold", "fails": "fail"}
SHOWN = 8  # images of a data set


def tiles() -> Html:
    """The claims as tiles that open their rows of the ledger: what runs on the paper's data say, finished or on the way."""
    found, counts = [], dict.fromkeys(VERDICTS, 0)
    tile = Html('<li><a class="tile {}" href="22-ledger.html#claim-{}" title="{}: {}"><b>{}</b> {}<span>{}</span></a></li>')
    for shown in map(main, judge_all(list(CLAIMS), {})):
        claim, kind = shown.claim, shown.verdict.replace(" ", "-")
        counts[shown.verdict] += shown.scope != "exact"
        found.append(tile.format(kind, claim, CLAIMS[claim][0], shown.label, claim, TOPICS[claim], _in_short(shown)))
    total = ", ".join(f"{count} {PLURAL.get(verdict, verdict)}" for verdict, count in counts.items() if count)
    return say('<ul class="tiles">{}</ul><p class="note">{}; the last is mathematics and needs no runs. <em>So far</em>: '
               "from runs that are still to be trained longer. <em>In part</em>: not on all of the paper's data sets or "
               "settings.</p>", Html("").join(found), total)


def _in_short(verdict: Verdict) -> str:
    """The verdict in a word or two."""
    return f"{verdict.word} in part" if verdict.scope == "full" and verdict.part else verdict.word


def pictures() -> kept.Rows:
    """Rows of test images of the paper's data and of what recorded GONs make of them, as far as there are such runs."""
    runs = [*registry.recorded("table1", models=["GON"]).run.dropna(), *registry.recorded("implicit").run.dropna()]
    rows = kept.Rows()
    for run in (run for run in runs if (yard := mean_image(run)) is None or run.metrics["test_error"] < yard):
        images, *made = (kept.pictures(run, name, SHOWN) for name in ("images", "reconstructed", "reconstructions"))
        made = [strip for strip in made if strip is not None]
        name = DATASETS.get(run.config.dataset.partition("@")[0], run.config.dataset)
        if images is not None and made and name not in dict(rows):
            rows.put(name, images, run)
            kind = "implicit GON" if run.config.decoder == "siren" else "GON"
            rows.put(f"{kind}, error {run.metrics['test_error']:.2f}", made[0], run, once=False)
    return kept.alike(rows)


def findings() -> Html:
    """What the book found, six items; numbers that no run has made yet are left out."""
    full = registry.recorded("table1")
    pair = registry.recorded("table1", models=["GON", "AE"])  # as far as both are, whatever the other rows have
    items = [_one_matrix(), _at_the_origin(), _who_wins(pair, registry.recorded("settings-length")), _yardstick(pair),
             _detached(full), _likelihood(registry.recorded("table2"))]
    return say('<ol class="findings">{}</ol>', Html("").join(say("<li>{}</li>", item) for item in items))


def _page(name, text):
    return say('<a href="{}.html">{}</a>', name, text)


def _verdict(claim):
    """What the ledger says of a claim, as a verb of a sentence and a link to its row."""
    shown = main(judge_all([claim], {})[0])
    word = WORDS.get(shown.verdict, shown.verdict)
    word = word if shown.verdict in ("holds", "fails") else f"is {word}"
    return say('<a href="22-ledger.html#claim-{}">{} {}</a>', claim, word, shown.part)


@torch.no_grad()
def _one_matrix():
    text = say("<b>The encoder is one matrix.</b> With one gradient step and a squared error the latent is z = Mx + b, and "
               "M is the transpose of the decoder's derivative at the origin ({}). ",
               _page("03-encoder-is-a-matrix", "chapter 3"))
    runs = recorded_for("gon")
    for run in (Run(one.folder) for one in runs.run.dropna()[:1]):
        model, x = run.load_model(), written_digits(run.config.size)
        (matrix, offset), z = model.encoder_matrix(), model.encode(x)
        apart = float((x.flatten(1) @ matrix.T + offset - z).norm() / z.norm())
        text += say("For the model above M has {} entries, and Mx + b differs from the gradient step by {} of its length. ",
                    f"{matrix.shape[0]} × {matrix.shape[1]:,}", linked(f"{apart:.0e}", runs[:1]))
    return text + say("So a straight line between two latents is the reconstruction of a cross-fade ({}), and a GON that "
                      "classifies is softmax regression of low rank ({}).", _page("16-interpolation", "16"),
                      _page("18-classifier", "18"))


def _at_the_origin():
    text = say("<b>Batch normalisation divides by √ε at the origin.</b> All images share that point, so their variance "
               "there is 0, and it multiplies by {}. This sets the latents' scale, freezes further steps ({}), and makes "
               "the usual evaluation mode ruinous ({})", f"{1 / math.sqrt(1e-5):.0f}", _page("06-steps-and-gap", "6"),
               _page("08-batch-normalisation", "8"))
    for runs in (registry.recorded("batch-normalisation"), registry.stored("batch-normalisation")):
        for column, here in by_column(where(runs, model="GON")):
            modes = [done(where(here, evaluation=mode), "test_error") for mode in ("batch", "running")]
            if all(len(part) for part in modes):
                side = modes[0].config.iloc[0].size
                return text + say(": running statistics make an error of {} one of {} ({}, {} × {}).",
                                  *(number(part, "test_error") for part in modes), column, side, side)
    return text + "."


def _who_wins(table1, lengths):
    said = {verdict: [] for verdict in ("holds", "fails", "undecided")}
    for column, gon, ae in _pairs(table1):
        said[compare(gon.test_error, ae.test_error).verdict].append(column)
    ahead = {"holds": "the GON is ahead on {}", "fails": "the autoencoder is ahead on {}",
             "undecided": "neither is clearly ahead on {}"}
    told = [say(ahead[outcome], listed(columns)) for outcome, columns in said.items() if columns]
    text = say("As far as they are trained, {}. ", Html("; ").join(told)) if told else ""
    ways = [say("the epoch ({})", _page("04-table1", "4")), say("the settings ({})", _page("12-settings", "12"))]
    if turned(registry.recorded("batch-normalisation")):
        ways.append(say("the way they are evaluated ({})", _page("08-batch-normalisation", "8")))
    return say("<b>Who wins depends on when one looks.</b> An autoencoder has twice the parameters. {}Their order "
               "changes with {}. {} {}{}", text, listed(ways), replication.conclusion(), _fewer_latents(lengths),
               _errors(table1))


def _pairs(table1):
    """(title, runs of the GON, runs of the autoencoder) of each data set that both have been trained on."""
    for column, here in _columns(table1):
        gon, ae = (done(where(here, model=name), "test_error") for name in ("GON", "AE"))
        if len(gon) and len(ae):
            yield column, gon, ae


def _errors(table1):
    """The two models' errors and PCA's as a table, a row for each data set."""
    rows = []
    for column, gon, ae in _pairs(table1):
        rows.append(say("<tr><th scope=row>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", column,
                        number(gon, "test_error"), number(ae, "test_error"), f"{_pca(gon):.2f}".replace("inf", ""),
                        f"{gon.epoch.max():,.0f} of {gon.asked.max():,.0f}"))
    heads = Html("").join(say("<th scope=col>{}</th>", head) for head in ("GON", "AE", "PCA", "epochs"))
    return say('<div class="table-scroll"><table class="results"><thead><tr><td>Test error</td>{}</tr></thead>'
               "<tbody>{}</tbody></table></div>", heads, Html("").join(rows)) if rows else ""


def _fewer_latents(lengths):
    """Who was ahead with fewer latents than Table 1's, among runs of full length."""
    lengths = where(lengths, change=("64 latents", "32 latents"))
    if not {"epoch", "asked"} <= set(lengths):
        return ""
    pairs = [[done(where(here[here.epoch == here.asked], model=name), "test_error") for name in ("GON", "AE")]
             for _, here in _columns(lengths)]
    pairs = [pair for pair in pairs if all(map(len, pair))]
    if not pairs:
        return ""
    each = [say("GON {}, autoencoder {} with {} latents on {}", *(number(part, "test_error") for part in pair),
                pair[0].config.iloc[0].latents, DATASETS.get(pair[0].dataset.iloc[0], "")) for pair in pairs]
    return say("With fewer latents: {}. The claim that the GON is ahead with any number of latents {}.",
               Html("; ").join(each), _verdict("C7"))


def _columns(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield from (runs.groupby("column", sort=False) if len(runs) else ())


def _yardstick(table1):
    stated = {name: components_for(name, error) for name, (error, _) in TABLE1["GON"].items()}
    counts = [f"{count} on {DATASETS[name]}" for name, count in stated.items() if count and name not in APART]
    text = say("<b>Plain PCA is a hard yardstick.</b> It reaches the errors of the paper's GONs with about as many "
               "components, {}; hence our 256 latents", listed(counts))
    text += say(" ({}).", _page("12-settings", "12"))
    below = [(column, gon, pca) for column, gon, _ in _pairs(table1) if (pca := _pca(gon)) < gon.test_error.mean()]
    if not below:
        return text
    _, gon, pca = below[-1]
    return text + say(" With 256 components it is still below our GONs on {} (table above), on the last {} against {}.",
                      listed([column for column, *_ in below]), f"{pca:.2f}", number(gon, "test_error"))


def _pca(runs):
    """The error of PCA with as many components as these runs have latents, on their data; infinite if it is not known."""
    error = recorded_pca_error(runs.dataset.iloc[0], runs.config.iloc[0].latents)
    return math.inf if error is None else error


def _detached(table1):
    text = say("<b>Cutting the gradient through the latent hurts, but ten such steps need not.</b> In the paper one "
               "detached step and ten are both far behind ({})", _page("06-steps-and-gap", "6"))
    here = where(table1, dataset="coil20")
    parts = [done(where(here, model=name), "test_error") for name in ("GON", "1 step, detached", "10 steps, detached")]
    if not all(len(part) for part in parts):
        return text + "."
    stated = [TABLE1[name]["coil20"][0] for name in ("GON", "1 step, detached", "10 steps, detached")]
    where_to = "below" if parts[2].test_error.mean() < parts[0].test_error.mean() else "above"
    return text + say(": on COIL-20 they have {} and {}, the GON {}. Here one ends at {}, but ten at {}, {} the GON's {}. "
                      "The claim that more of them do not repair it {}.", *stated[1:], stated[0],
                      *(number(part, "test_error") for part in parts[1:]), where_to, number(parts[0], "test_error"),
                      _verdict("C5"))


def _likelihood(table2):
    values = [value for row in TABLE2.values() for value, _ in row.values()]
    text = say("<b>Table 2 does not come from the released likelihood.</b> Under the script's Bernoulli a model that has "
               "learned nothing has exactly 1 bit per dimension; the paper's values are {} to {}", min(values), max(values))
    ours = done(where(table2, dataset="coil20", model="VGON", likelihood="bernoulli"), "test_bits")
    if len(ours):
        stated = TABLE2["VGON"]["coil20"][0]
        text += say(". On COIL-20 it gives {} where the paper has {}", number(ours, "test_bits"), stated)
    return text + say(" ({}).", _page("05-table2", "5"))
