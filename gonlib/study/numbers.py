"""Numbers that link to the runs that made them, and sentences that hold them."""

import json
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..data.registry import at_hand
from ..runs import store
from ..training.config import ASKED, Config
from .experiment import data_title

OTHER_NUMBERS = "made by an earlier version of the code, of which today's may give another number"


class Html(Markup):
    """Text that a notebook shows as HTML. What is put into it by `format` is escaped, unless it is such text itself."""

    def _repr_html_(self) -> str:
        return str(self)


def say(template: str, *values) -> Html:
    """A sentence: `template` with the values in its braces, which may be texts or linked numbers."""
    return Html(template).format(*values)


def listed(texts: Iterable) -> Html:
    """Some texts as a sentence has them: one, another and a third."""
    *first, last = texts
    return say("{} and {}", Html(", ").join(first), last) if first else say("{}", last)


def with_claim(told: list[Html], claim: str) -> list[Html]:
    """What stands in the box "In short": first what answers the page's question, then what the paper says, then the rest."""
    return [*told[:1], Html(claim), *told[1:]]


def prose(lines) -> Html:
    """Sentences as paragraphs of a page; several that belong together as a list."""
    lines = list(lines)
    if len(lines) < 2:
        return Html("").join(Html("<p>{}</p>").format(line) for line in lines)
    return Html("<ul>{}</ul>").format(Html("").join(Html("<li>{}</li>").format(line) for line in lines))


def as_table(frame: pd.DataFrame, index: bool = True, kind: str = "") -> Html:
    """A frame of texts and linked numbers as a table of a page; nothing if it is empty."""
    if frame.empty:
        return Html("")
    made = frame.to_html(escape=False, index=index, border=0, classes=f"results {kind}".strip())
    return Html('<div class="table-scroll">{}</div>').format(Html(made))


def box(title: str, *sentences: Html | str) -> Html:
    """A frame of a page with a title and a few sentences: "In short" at its beginning, "Take away" at its end."""
    kind = title.lower().replace(" ", "-")
    html = Html('<div class="admonition {}"><p class="admonition-title">{}</p>{}</div>')
    return html.format(kind, title, prose(sentences))


def mean_sd(values) -> tuple[float, float | None] | None:
    """Mean and sd (n - 1) of finite values; the sd of one value is None, and so is the whole of no values."""
    values = np.asarray([v for v in values if v is not None and math.isfinite(v)], float)
    if not len(values):
        return None
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None


def written(mean: float, sd: float | None, digits: int = 2) -> str:
    """A mean and sd as the book writes them: 0.41 ± 0.01; with more digits where the sd would look like none."""
    if digits == 0 and not sd:  # counts, such as parameters
        return f"{mean:,.0f}"
    if sd and sd < 0.5 * 10**-digits:
        digits = min(-math.floor(math.log10(sd)), digits + 2)
    return f"{mean:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")


def linked(text: str, runs: pd.DataFrame, note: str = "", about: dict | None = None) -> Html:
    """Text that links to the runs it was made from; clicked, it shows their card.

    Args:
        text: What is shown.
        runs: Rows of `experiment.collect`.
        note: Shown when the pointer rests on it.
        about: For its card, `what` the number is and the `values` of the runs. Of a number that the runs record themselves,
            `metric`, `digits` and what was `asked` of them, so that it can be held against them.
    """
    said = [Html(' data-{}="{}"').format(key, value) for key, value in (about or {}).items()]
    if note:
        said.append(Html(' title="{}"').format(note))
    return Html('<a class="number" href="runs.html#run-{}" data-runs="{}"{}>{}</a>').format(
        runs.hash.iloc[0], " ".join(dict.fromkeys(runs.hash)), Html("").join(said), text)


def missing(runs: pd.DataFrame) -> Html:
    """In words why these runs have no number."""
    states = set(runs.state)
    if "growing" in states:
        return Html('<span class="state">{}</span>').format(reached(runs[runs.state == "growing"]))
    text = "failed" if "failed" in states else "–" if "done" in states else "not run yet"  # –: has no such number
    if states == {"not run"} and "config" in runs and not any(at_hand(c.dataset) for c in runs.config):
        text = "needs data"
    return Html('<span class="state">{}</span>').format(text)


def reached(runs: pd.DataFrame) -> str:
    """How far growing runs are: at epoch 50 of 500; at step 3,000 of 60,000 where steps say how long they are to be."""
    unit, there, asked = "epoch", runs.epoch, runs.asked.max()
    if "steps" in runs and all(config.steps for config in runs.config):
        unit, there, asked = "step", runs.steps, max(config.steps for config in runs.config)
    first, last = there.min(), there.max()
    return f"at {unit}{f's {first:,.0f} to' if last > first else ''} {last:,.0f} of {asked:,.0f}"


def conditions(runs: pd.DataFrame) -> str:
    """How finished runs were made, in a few words: data, number and size of the images, length of training, seeds."""
    datasets = ", ".join(dict.fromkeys(data_title(config.dataset) for config in runs.config))
    images, steps = (span([run.metrics[name] for run in runs.run]) for name in ("images", "steps"))
    sizes = " and ".join(f"{size} × {size}" for size in sorted({config.size for config in runs.config}))
    length = reached(runs) if (runs.epoch < runs.asked).any() else f"{steps} steps"
    seeds = list(runs.groupby(["row", "column"]).seed.nunique())
    about = ", ".join(filter(None, (network(runs.config), length, f"{span(seeds)} seed{'s' * (max(seeds) > 1)}")))
    return f"{datasets} ({images} images of {sizes} pixels), {about}"


def found_in(source: str, runs: pd.DataFrame, finding: Html) -> Html:
    """A finding and, smaller, the runs that it was found in."""
    return say("{}. <small>({}: {})</small>", finding, source, conditions(runs))


def variants(runs: pd.DataFrame) -> list[Html]:
    """For each variant of a data set among runs, how many images it has and where they come from, in a sentence."""
    data = [run.data for run in runs.run.dropna() if "title" in run.data] if "run" in runs else []
    return list(dict.fromkeys(say("{}: {}.", about["title"], about["source"]) for about in data))


def source_of(runs: pd.DataFrame) -> str:
    """Where runs that a page asked for, and that have begun, come from: small ones that take long are recorded."""
    book, names = store.recorded_store().root, [run.folder.name for run in runs.get("run", ())]
    return "small, recorded with the book" if names and all((book / name).is_dir() for name in names) else "this build"


def network(configs: Iterable[Config]) -> str:
    """The sizes of the implicit networks among some configurations, in words; nothing where there is none."""
    sizes = dict.fromkeys(f"{config.layers} × {config.hidden}" for config in configs if config.decoder == "siren")
    return f"SIREN of {' and '.join(sizes)} units" if sizes else ""


def span(values, form: str = ",") -> str:
    """The range of some numbers, each written in a form: 5, or 5 to 8."""
    low, high = (f"{value:{form}}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def number(runs: pd.DataFrame, metric: str, digits: int = 2) -> Html:
    """Mean ± sd of a metric over runs (rows of `experiment.collect`), linked to the runs that made it."""
    done = runs[runs.state == "done"]
    done = done.dropna(subset=[metric]) if metric in done else done[:0]
    if done.empty:
        return missing(runs)
    if all(isinstance(run.metrics.get(metric), int) for run in done.run):
        digits = 0  # counts, not measurements
    # only what a run records itself can be held against it; a number derived from it links all the same
    about = {"what": metric, "values": " ".join(f"{value:.6g}" for value in done[metric])}
    if metric in done.iloc[0].run.metrics:
        asked = {name: getattr(done.iloc[0].run.config, name) for name in sorted(ASKED)}
        about |= {"metric": metric, "digits": digits, "asked": json.dumps(asked)}
    note = f"{len(done)} seed{'s' * (len(done) != 1)}: {done.iloc[0].run.summary()}"
    link = linked(written(*mean_sd(done[metric]), digits), done, note, about)
    failed = (runs.state == "failed").sum()  # a mean over those that did not fail would hide them
    if failed:
        link += Html(' <span class="state">{} of {} failed</span>').format(failed, len(runs))
    if not all(getattr(run, "same_numbers", True) for run in done.run):
        link += Html('<sup class="state" title="{}">†</sup>').format(OTHER_NUMBERS)
    return link
