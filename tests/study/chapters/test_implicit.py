"""Counting the parameters of SIRENs, and what is kept with runs of the chapters on implicit GONs."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from gonlib.book import drawings
from gonlib.method.decoders import ImplicitDecoder, count_parameters
from gonlib.runs import kept
from gonlib.runs.store import Store
from gonlib.study import pictures
from gonlib.study.chapters import implicit, interpolation, monte_carlo, super_resolution
from gonlib.training.config import Config


@pytest.mark.parametrize("latents, hidden, layers, channels", [(32, 32, 3, 1), (34, 32, 4, 1), (5, 8, 1, 3)])
def test_the_formula_counts_what_the_decoder_has(latents, hidden, layers, channels):
    decoder = ImplicitDecoder(latents, channels, 8, hidden, layers)
    assert implicit.siren_parameters(latents + 2, hidden, layers, channels) == count_parameters(decoder)


def test_networks_with_finds_every_network_of_that_count():
    found = implicit.networks_with(4385)
    assert ((found.inputs + 1) * found.hidden > 0).all() and (found.latents == found.inputs - 2).all()
    thirty_two = found[found.hidden == 32].set_index("layers").inputs
    assert thirty_two[4] == 36 and thirty_two[3] == 69  # not the 34 inputs and 3 layers of the text
    for row in found.itertuples():
        assert implicit.siren_parameters(row.inputs, row.hidden, row.layers) == 4385


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = Config(dataset="shapes", decoder="siren", size=8, hidden=8, layers=2, latents=4, train_images=64,
                    test_images=40, epochs=1)
    return Store(tmp_path_factory.mktemp("store")).run(config)


def test_kept_with_figure_4(run):
    kept.keep(run, implicit.pictures)
    model = run.load_model()
    images = kept.pictures(run, "images")
    assert images.shape == (8, 1, 8, 8)
    with model.evaluating(), torch.no_grad():
        torch.testing.assert_close(kept.pictures(run, "reconstructed") / 255,
                                   model.reconstruct(images / 255).clamp(0, 1), atol=1 / 500, rtol=0)
    (row,) = kept.table(run, "yardsticks").itertuples()
    assert row.pca_error < pictures.mean_image(run) and row.numbers == 64 * 64


def test_kept_with_super_resolution(run):
    kept.keep(run, super_resolution.enlargements)
    scores, detail = kept.table(run, "scores"), kept.table(run, "detail")
    assert set(scores["size"]) == {16, 32} == set(detail["size"]) and set(scores.images) == {40}
    assert kept.pictures(run, "large").shape == (8, 1, 256, 256)
    assert kept.pictures(run, "small").shape == (8, 1, 8, 8)
    runs = pd.DataFrame([{"column": "shapes", "state": "done", "run": run, "hash": run.hash, "config": run.config}])
    tables = super_resolution.largest(kept.collected(runs, "detail"))
    assert set(tables["size"]) == {32}
    fig = drawings.plot_detail(tables)
    assert [axis.get_title() for axis in fig.axes] == ["shapes, 32 px"]
    plt.close(fig)


def test_kept_with_interpolation(run, monkeypatch):
    kept.keep(run, interpolation.ways)
    frames, changes = interpolation.FRAMES, len(interpolation.CHANGES)
    assert kept.pictures(run, "slerp").shape[0] == kept.pictures(run, "lerp").shape[0] == interpolation.SHOWN * frames
    assert kept.pictures(run, "known").shape[0] == 5 * frames * changes  # the truth and four ways
    assert len(kept.table(run, "smoothness")) == 4 * changes
    runs = pd.DataFrame([{"column": "shapes", "state": "done", "run": run}, {"column": "other", "state": "not run"}])
    monkeypatch.setattr(drawings, "show_images", lambda rows, **options: shown.append(rows))
    shown = []
    drawings.show_paths(runs, "slerp", "lerp")
    drawings.show_known(runs, "truth", "slerp")
    assert [len(rows) for rows in shown] == [6, 2 * changes]
    assert all(len(strip) == frames for rows in shown for _, strip in rows)
    assert [list(rows.runs) for rows in shown] == [[run.hash]] * 2


def test_kept_with_monte_carlo(run):
    kept.keep(run, monte_carlo.sampled)
    noise = kept.table(run, "latent-noise")
    assert list(noise.fraction) == list(monte_carlo.FRACTIONS) and noise.variance[0] == 0
    assert kept.pictures(run, "sampled").shape == (6, 1, 8, 8)
