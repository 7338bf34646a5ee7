"""Batch normalisation at the origin: three ways to evaluate, its eps, and the scale of the latents."""

import pandas as pd

from ..experiment import experiment
from ..judging import compare, done, where


@experiment("batch-normalisation", "Three ways to evaluate a GON with batch normalisation", rows=("evaluation",))
def evaluation_modes(dataset, modes=("batch", "population", "running")):
    return [{"evaluation": mode} for mode in modes]


@experiment("batch-normalisation-eps", "The eps of batch normalisation, and none at all", rows=("evaluation",),
            columns=("bn_eps",))
def epsilons(dataset, epsilons=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), modes=("batch", "population")):
    return [{"evaluation": mode, "bn_eps": eps} for mode in modes for eps in epsilons]


@experiment("batch-normalisation-scale", "The scale of the latents, with and without batch normalisation",
            rows=("batchnorm",), columns=("latent_scale",))
def latent_scales(dataset, scales=(1.0, 1024.0, 65536.0)):
    return [{"batchnorm": there, "latent_scale": scale} for there in (True, False) for scale in scales]


def scale_sentences(runs: pd.DataFrame) -> list[str]:
    """How much the scale of the latents matters, with and without normalisation."""
    lines = []
    for row, part in done(runs, "test_error").groupby("row", sort=False):
        errors = part.groupby("column", sort=False).test_error.mean()
        each = ", ".join(f"{scale} {error:.3g}" for scale, error in errors.items())
        lines.append(f"{row}: the largest final error is {errors.max() / errors.min():.3g} times the smallest ({each})")
    return lines


def mode_sentences(runs: pd.DataFrame) -> list[str]:
    """How the errors of the other modes differ from that of `batch`, seed by seed."""
    errors = done(runs, "test_error").pivot_table(index="seed", columns="evaluation", values="test_error")
    lines = []
    for mode in [mode for mode in ("population", "running") if {mode, "batch"} <= set(errors)]:
        change = 100 * (errors[mode] / errors["batch"] - 1).dropna()
        verdict = compare(change, 0 * change).verdict if len(change) > 1 else "one seed: not judged"
        each = ", ".join(f"{one:+.1f}%" for one in change)
        lines.append(f"{mode} against batch, per seed: {each}; lower error: {verdict}")
    return lines


def eps_sentences(runs: pd.DataFrame) -> list[str]:
    """The error for each eps, evaluated with batch statistics, and which is best."""
    errors = where(done(runs, "test_error"), evaluation="batch").groupby("column", sort=False).test_error.mean()
    if errors.empty:
        return []
    each = ", ".join(f"{eps} {error:.3g}" for eps, error in errors.items())
    return [f"In this build {errors.idxmin()} is best, and the worst has {errors.max() / errors.min():.2f} times its "
            f"error: {each}."]
