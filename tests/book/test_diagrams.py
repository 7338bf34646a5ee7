"""Figure 1: the shapes and counts written in it are the models' own."""

import matplotlib.pyplot as plt
import pytest

from gonlib.book.diagrams import figure_1, shapes
from gonlib.training.config import Config


@pytest.mark.parametrize("size, conv_size", [(32, 32), (28, 32), (16, 16)])
def test_the_four_diagrams_show_the_models_own_shapes(size, conv_size):
    fig = figure_1(Config(size=size, latents=32, hidden=32, layers=3, batch_size=10), channels=3)
    written = [[text.get_text() for text in axis.texts] for axis in fig.axes]
    plt.close(fig)
    assert len(written) == 4
    for texts, side in zip(written, (conv_size, conv_size, size, conv_size), strict=True):
        assert f"10×3×{side}×{side}" in texts and "10×32" in " ".join(texts)
    assert f"{size**2}×2" in written[2]


def test_published_counts_are_written():
    assert shapes(Config(), 1)["F"] == "74,321"
    assert shapes(Config(decoder="siren", hidden=32, layers=3), 1)["F"] == "3,265"
    variational = shapes(Config(variational=True, likelihood="bernoulli", inference="encoder"), 1)
    assert {"x", "z", "F", "E", "stochastic"} == set(variational)
