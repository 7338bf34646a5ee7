"""Tiny trainings for the tests of the loop, and what two of them have in common."""

import torch

from gonlib.method.models import MODELS
from gonlib.training.config import Config

TINY = Config(size=8, filters=4, latents=4, hidden=8, layers=2, train_images=96, test_images=40, batch_size=16, epochs=3,
              learning_rate=1e-2, free_steps=3)
STEPS = 18  # 6 in each of 3 epochs


def tiny(name="GON", **changes):
    return TINY.replace(**(MODELS[name] | changes))


def timeless(row):
    return {k: v for k, v in row.items() if "seconds" not in k}


def assert_same(one, two):
    """The same result, bit for bit; only times may differ."""
    assert [*map(timeless, one.history)] == [*map(timeless, two.history)]
    assert timeless(one.metrics) == timeless(two.metrics)
    mine, theirs = one.model.state_dict(), two.model.state_dict()
    assert mine.keys() == theirs.keys()
    assert [k for k in mine if not torch.equal(mine[k], theirs[k])] == []
    assert [*map(timeless, one.snapshot_history)] == [*map(timeless, two.snapshot_history)]
    assert (one.snapshots is None) == (two.snapshots is None)
    assert one.snapshots is None or torch.equal(one.snapshots, two.snapshots)
    assert torch.equal(one.model.kl_weight, two.model.kl_weight)
