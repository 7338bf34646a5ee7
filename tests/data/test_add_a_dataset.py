"""How to add a data set: a function that makes it, and one line of the registry with the facts about it."""

import numpy as np

import gonlib
from gonlib.data import builtin, registry


def stripes():
    """1,000 grey images, 16 x 16, of stripes; the label says how many, from 1 to 4, less one."""
    random = np.random.default_rng(0)
    labels, shift = random.integers(0, 4, 1000), random.uniform(0, 2 * np.pi, 1000)
    across = np.sin(2 * np.pi * (labels[:, None] + 1) * np.arange(16) / 16 + shift[:, None])
    images = np.repeat(np.rint(127.5 * (1 + across)).astype(np.uint8)[:, None], 16, axis=1)
    return builtin.split({"images": images, "labels": labels, "shift": shift}, 800) | {"source": "stripes, made here"}


ENTRY = registry.Entry("Stripes", stripes, (16, 16), (800, 200), "number of stripes", "Free.", factors=("shift",))


def test_a_data_set_is_one_function_and_one_line(monkeypatch):
    monkeypatch.setitem(registry.DATASETS, "stripes", ENTRY)
    data = gonlib.load("stripes", size=16, train_images=100)
    assert data.summary() == "stripes: 100 train / 200 test images, 16 x 16, 1 channel; source: stripes, made here"
    assert data.title == "Stripes" and data.train_factors["shift"].shape == (100,)
    config = gonlib.Config(dataset="stripes", size=16, filters=4, latents=8, epochs=1, batch_size=20)
    assert gonlib.train(config, data).metrics["test_error"] > 0
