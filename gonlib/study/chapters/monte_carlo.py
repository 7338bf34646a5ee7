"""Equation 12 by Monte Carlo: what a random share of the coordinates does to the latents of an implicit GON."""

import statistics
import time

import pandas as pd
import torch

from ...data import as_float
from ...method.shared_origin import SharedOrigin
from ...runs.kept import collected
from ...runs.store import load_data
from ..experiment import experiment
from ..judging import done, where
from ..measures import mean_image
from ..numbers import Html, as_table, linked, say, with_claim
from ..pictures import how_far, learned

FRACTIONS = tuple(4.0**-i for i in range(7))
MEASURED, SHOWN = 64, 6  # test images


@torch.no_grad()
def latent_noise(model, x, fractions, draws=32):
    """Encode images x (N, C, H, W) from random shares of their pixels, `draws` times; a DataFrame with a row per share.

    Columns, means over images: `variance` of the estimates about the latent from the full grid, and `predicted`, what
    theory says (see `predicted_variance`), both relative to the mean squared length of the latents; `error`, the summed
    squared error of the pictures decoded from the estimates, and `full_error`, of those from the full grid.
    """
    rows, generator = [], torch.Generator(x.device).manual_seed(0)
    with model.evaluating():
        z = model.encode(x)
        length = z.square().sum(1).mean().item()
        for fraction in fractions:
            variance, error = 0.0, 0.0
            for _ in range(draws):
                with model.sampling(x, fraction, generator) as pixels:
                    estimate = model.inference(model, pixels)
                variance += (estimate - z).square().sum(1).mean().item() / draws
                error += _error(model, x, estimate) / draws
            predicted = predicted_variance(model, x, fraction)
            rows.append({"fraction": fraction, "variance": variance / length, "predicted": predicted / length,
                         "error": error, "full_error": _error(model, x, z)})
    return pd.DataFrame(rows)


def _error(model, x, z):
    return (model.decode(z) - x).square().flatten(1).sum(1).mean().item()


@torch.no_grad()
def predicted_variance(model, x, fraction):
    """Variance, summed over a latent's numbers and mean over images, when n = fraction * P of P coordinates are drawn.

    A latent is a sum with one term per coordinate. The sum of n terms drawn without replacement, times P / n, has the
    variance P^2 / n (1 - n / P) S^2, where S^2 is the variance of the terms. Source: Cochran 1977, section 2.5.
    """
    shared = SharedOrigin(model)
    columns = shared.jacobian.unflatten(1, (x.shape[1], -1))  # (k, C, P)
    cotangents = model.inner_cotangent(shared.output, x).flatten(2)  # (N, C, P)
    terms = torch.einsum("kcp,ncp->nkp", columns, cotangents)
    every = terms.shape[-1]
    count = max(1, round(fraction * every))
    return every**2 / count * (1 - count / every) * terms.var(-1).sum(1).mean().item()


def sampled(model, data, config):
    """A few images ("truth"), what is made of them ("sampled"), the "latent-noise", and the "mean-image"."""
    x = as_float(data.test[:MEASURED])
    # at larger sizes it takes longer and says the same
    kept = {"latent-noise": latent_noise(model, x, FRACTIONS)} if config.size**2 * len(x) <= 2**17 else {}
    with model.evaluating(), torch.no_grad():
        return kept | {"truth": x[:SHOWN], "sampled": model.reconstruct(x[:SHOWN]), "mean-image": mean_image(data)}


SHARES = ("inner_fraction", "outer_fraction")


@experiment("monte-carlo", "Equation 12 by Monte Carlo: a share of the coordinates per step", rows=SHARES,
            columns=("size",), keep=sampled)
def monte_carlo(dataset, fractions=(0.25, 0.0625), sizes=(64,)):
    shares = [(1.0, 1.0), *((f, f) for f in fractions), *((f, 1.0) for f in fractions), *((1.0, f) for f in fractions)]
    return [{"model": "implicit GON", "size": size, "inner_fraction": inner, "outer_fraction": outer}
            for size in sizes for inner, outer in shares]


@experiment("monte-carlo-large", "Equation 12 by Monte Carlo: large images", rows=SHARES, keep=sampled)
def large(dataset, inner=1 / 16, outer=1 / 256):
    return [{"model": "implicit GON", "inner_fraction": inner, "outer_fraction": outer}]


def with_times(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `ms`, milliseconds per step as they were trained."""
    return runs.assign(ms=1000 * runs.seconds / runs.steps) if "seconds" in runs else runs


def with_measured_times(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `ms` measured now on the CPU: what else the machine did while they were trained does not count."""
    return runs.assign(ms=[step_ms(row.run) if row.state == "done" and row.run.has_weights else None
                           for row in runs.itertuples()])


def step_ms(run) -> float:
    """Milliseconds of processor time that a run's training step takes, loss and gradient: the median of five."""
    model, took = run.load_model().train(), []
    x = as_float(load_data(run.config).train[: run.config.batch_size])
    for _ in range(6):
        start = time.process_time()
        model.loss(x).mean().backward()
        took.append(1000 * (time.process_time() - start))
    return statistics.median(took[1:])  # the first one warms up


def by_time(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The curves of the largest size with `seconds` as the steps of `with_measured_times` take."""
    last = curves[curves.column == runs.column.iloc[-1]]
    return last.assign(seconds=last.step * last.hash.map(runs.set_index("hash").ms) / 1000)


def noise_of(runs: pd.DataFrame) -> pd.DataFrame:
    """The table "latent-noise" kept with the first run on the full grid, from one coordinate on; empty if there is none."""
    table = collected(where(runs, inner_fraction=1.0, outer_fraction=1.0), "latent-noise")
    if table.empty:
        return table
    table = table[table.hash == table.hash.iloc[0]]
    return table[table.fraction * runs.config[runs.hash == table.hash.iloc[0]].iloc[0].size ** 2 >= 1]


def noise_table(noise: pd.DataFrame) -> Html:
    """What the largest shares do to latents and pictures, from `noise_of`, a line for each share."""
    lines = [{"share of the coordinates": f"{row.fraction:g}",
              "variance, measured": linked(f"{row.variance:.3g}", noise[:1]), "predicted": f"{row.predicted:.3g}",
              "test error": f"{row.error:.2f}", "on the full grid": f"{row.full_error:.2f}"}
             for row in (noise[noise.fraction < 1].iloc[:4].itertuples() if len(noise) else ())]
    return as_table(pd.DataFrame(lines), index=False)


def noise_sentences(noise: pd.DataFrame) -> list[Html]:
    """What the largest share does to latents and pictures, from `noise_of`."""
    return [say("From a share of {} of the coordinates, a latent's variance is {} of its squared length (predicted: {}), "
                "and the test error of a model trained on all of them grows from {} to {}.", f"{row.fraction:g}",
                linked(f"{row.variance:.3g}", noise[:1]), f"{row.predicted:.3g}", f"{row.full_error:.2f}",
                f"{row.error:.2f}")
            for row in (noise[noise.fraction < 1].iloc[:1].itertuples() if len(noise) else ())]


def in_short(runs: pd.DataFrame, noise: pd.DataFrame, large: pd.DataFrame) -> list[Html]:
    """What sampling does to a latent, which integral needs the denser grid, and whether large images were learned."""
    told = [say("Yes: a latent from a random share of the coordinates is right on average, and its variance is known in "
                "advance. Take the denser share for the inner integral, which makes the latent."),
            *compare(runs)[:1], *noise_sentences(noise)]
    for one in large[large.state == "done"].itertuples():
        verdict = "and {} the pictures are learned" if learned(one.run) else "but {} the pictures are not learned yet"
        pace = linked(f"{one.ms:.0f} ms", large[large.hash == one.hash])
        told.append(say("{} × {} pixels become affordable: a step takes {}, " + verdict + ".", one.config.size,
                        one.config.size, pace, how_far(one)))
    return with_claim(told, "The paper names Monte Carlo integration and has not tried it.")


def large_sentences(large: pd.DataFrame, small: pd.DataFrame) -> list[Html]:
    """Coordinates and time of a step on large images, and what the full grid would take at the pace of `small`'s."""
    lines = []
    for run in done(large).itertuples():
        c, points = run.config, run.config.size**2
        inner, outer = (f"{round(share * points):,}" for share in (c.inner_fraction, c.outer_fraction))
        pace = linked(f"{run.ms:.0f} ms", large[large.hash == run.hash])
        lines.append(say("{} × {}: {} of {} coordinates in the inner, {} in the outer integral; a step of {} images takes "
                         "{}.", c.size, c.size, inner, f"{points:,}", outer, c.batch_size, pace))
        for full in where(done(small), inner_fraction=1.0, outer_fraction=1.0)[:1].itertuples():
            whole = full.ms / (full.config.batch_size * full.config.size**2) * c.batch_size * points
            lines.append(say("At the pace of the full grid at {} px, a step on the full {} px grid would take about {} ms, "
                             "{} times as long.", full.config.size, c.size, f"{whole:,.0f}", f"{whole / run.ms:.0f}"))
    return lines


def compare(runs):
    """Sentences on whether sampling the inner integral alone costs more error than sampling the outer one alone.

    `runs` are those of the experiment `monte-carlo`; one sentence for each size and share.
    """
    done = runs[runs.state == "done"]
    error = {(r.column, r.config.inner_fraction, r.config.outer_fraction): r.test_error for r in done.itertuples()}
    lines = []
    for (column, share, outer), inner_only in error.items():
        whole, outer_only = error.get((column, 1.0, 1.0)), error.get((column, 1.0, share))
        if share == 1 or outer != 1 or whole is None or outer_only is None:
            continue
        ratio = inner_only / outer_only
        dearer = "inner" if ratio > 1.05 else "outer" if ratio < 1 / 1.05 else None
        worse = f"sampling the {dearer} costs more" if dearer else "the two cost the same"
        mine = done[[r.column == column and r.config.inner_fraction == share and r.config.outer_fraction == 1
                     for r in done.itertuples()]]
        lines.append(say("Trained with a share of {} ({}): test error {} with the inner integral sampled, {} with the "
                         "outer, {} on the full grid: {}.", f"{share:g}", column,
                         linked(f"{inner_only:.2f}", mine), f"{outer_only:.2f}", f"{whole:.2f}", worse))
    return lines
