"""Tiny runs for the tests of stores: their configurations, what two runs have in common, and copies of them."""

from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file

from gonlib.runs.store import Store
from gonlib.training.config import Config

TINY = Config(size=8, train_images=128, test_images=64, epochs=2, filters=2, latents=4)
LONG = TINY.replace(epochs=6, batch_size=16, snapshots=True)


def numbers(run):
    """Metrics and history of a run, without times."""
    return {k: v for k, v in run.metrics.items() if "seconds" not in k}, run.history.drop(columns=["seconds"])


def same_result(run, other):
    """Whether two runs have the same numbers, times apart."""
    (metrics, history), (metrics2, history2) = numbers(run), numbers(other)
    return metrics == metrics2 and history.equals(history2)


def assert_same(run, other):
    """The same numbers and weights, whatever interrupted one of them."""
    (metrics, history), (metrics2, history2) = numbers(run), numbers(other)
    pd.testing.assert_frame_equal(history, history2, check_exact=True)
    assert metrics == metrics2
    weights, weights2 = load_file(run.weights_file), load_file(other.weights_file)
    assert weights.keys() == weights2.keys()
    assert all(torch.equal(weights[k], weights2[k]) for k in weights)


def tree(root):
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(Path(root).rglob("*")) if p.is_file()}


def copy(trained, into):
    """A copy of the trained run in another store."""
    made = Store(into)
    made.merge(trained.root)
    return made, into / TINY.hash
