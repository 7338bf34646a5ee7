"""Samples and latents: measures that know copies from news, fits that keep what they fit."""

import numpy as np
import pandas as pd
import pytest
import torch

from gonlib.data import datasets
from gonlib.runs import kept
from gonlib.runs.store import Store
from gonlib.study import registry
from gonlib.study.chapters import latents, samples
from gonlib.study.measures import agreement, diversity, nearest
from gonlib.training.config import Config

SMALL = {"size": 8, "filters": 4, "hidden": 8, "layers": 2, "latents": 3, "train_images": 96, "test_images": 48,
         "batch_size": 32, "epochs": 1}


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", 8)


def test_the_nearest_are_found_whatever_the_chunks(digits):
    few, many = digits.test[:7], digits.train[:100]
    distance, number = nearest(few, many, k=3, chunk=100)
    in_parts = nearest(few, many, k=3, chunk=7)
    assert torch.equal(number, in_parts[1]) and torch.allclose(distance, in_parts[0])
    expected = ((few[0].float() - many[number[0, 0]].float()) / 255).square().sum().sqrt()
    assert distance[0, 0] == pytest.approx(expected.item(), 1e-4) and (distance.diff(dim=1) >= 0).all()
    assert nearest(many, many)[1][:, 0].tolist() == list(range(100))


def test_diversity_tells_copies_and_collapse_from_new_pictures(digits):
    real, others, test = digits.train[:600], digits.train[600:900], digits.test[:300]
    new = diversity(others, real, test)
    assert all(0.85 < value < 1.15 for value in new.values())
    copies = diversity(real[:300], real, test)
    assert copies["novelty"] == pytest.approx(0, abs=1e-3) and copies["spread"] > 0.9
    one = diversity(others[:1].expand(300, -1, -1, -1), real, test)
    assert one["spread"] == 0 and one["variety"] < 0.02


def test_neighbours_agree_on_digits_but_not_on_mixtures(digits):
    real = agreement(digits.test[:100], digits.train, digits.train_labels)
    mixed = agreement((digits.test[:100].float() + digits.test[100:200].float()) / 510, digits.train, digits.train_labels)
    assert real > 0.9 > mixed


def test_normality_of_what_is_normal_and_what_is_not():
    random = np.random.default_rng(0)
    found = latents.normality(np.stack([random.normal(3, 2, 5000), random.exponential(size=5000)], 1))
    assert found["mean"][0] == pytest.approx(3, abs=0.1) and found.sd[0] == pytest.approx(2, abs=0.1)
    assert abs(found.skewness[0]) < 0.1 and abs(found.excess[0]) < 0.2 and found.p[0] > 0.001
    assert found.skewness[1] == pytest.approx(2, abs=0.4) and found.p[1] < 1e-6
    assert found.departure[0] < 0.01 and found.departure[1] > 1


def test_a_histogram_counts_every_value():
    values = np.random.default_rng(0).standard_t(2, (1000, 4)) * [1, 2, 3, 4]
    counts = latents.histogram(values)
    assert counts.sum() == 4000 and len(counts) == len(latents.BINS) - 1


def test_samples_of_the_fitted_normal_have_its_mean_and_covariance():
    z = torch.randn(2000, 3, generator=torch.Generator().manual_seed(1)) @ torch.tensor([[1.0, 2, 0], [0, 1, 0], [0, 0, 0]])
    drawn = latents.normal_samples(z + 5, 20000)
    assert torch.allclose(drawn.mean(0), (z + 5).mean(0), atol=0.1)
    assert torch.allclose(drawn.T.cov(), z.T.cov(), atol=0.2)  # of rank two


def run_of(tmp_path, **changes):
    return Store(tmp_path).run(Config(**(SMALL | changes)))


def test_what_is_kept_of_a_variational_model(tmp_path):
    run = run_of(tmp_path, variational=True, likelihood="bernoulli")
    kept.keep(run, samples.from_the_prior)
    assert kept.pictures(run, "samples").shape == kept.pictures(run, "nearest").shape == (16, 1, 8, 8)
    assert set(kept.table(run, "diversity")) == {"spread", "novelty", "variety"}
    line = {"row": "VGON", "column": "digits", "state": "done", "seed": 0, "run": run}
    lines = pd.DataFrame([line, line | {"row": "VAE", "run": run_of(tmp_path)}, line | {"state": "not run", "run": None}])
    rows = samples.beside_nearest(lines, n=5)  # of the second nothing is kept
    shown = dict(rows)
    assert list(rows.runs) == [run.hash]
    assert [title.split() for title in shown] == [["VGON,", "digits", "samples"], ["VGON,", "digits", "nearest"]]
    assert torch.equal(shown["VGON, digits\nnearest"], kept.pictures(run, "nearest")[:5])
    model = run.load_model()
    assert torch.equal(samples.draw(model, 4), samples.draw(model, 4)) and samples.draw(model, 4).shape == (4, 1, 8, 8)
    assert torch.allclose(samples.draw(model, 4)[:2], samples.draw(model, 2), atol=1e-6)  # each is decoded alone


@pytest.mark.parametrize("changes", [{"decoder": "siren"}, {"variational": True, "likelihood": "bernoulli",
                                                            "inference": "encoder"}])
def test_what_is_kept_of_latents(tmp_path, changes):
    run = run_of(tmp_path, **changes)
    kept.keep(run, latents.distribution)
    table = kept.table(run, "normality")
    assert table.groupby("kind").size().to_dict() == {"latents": 3, "random projections": 3}
    assert kept.table(run, "histogram")["latents"].sum() == 3 * 48
    kept.keep(run, samples.reconstructions)
    assert kept.pictures(run, "reconstructions").shape == kept.pictures(run, "images").shape


def test_what_is_kept_of_a_fit(tmp_path):
    run = run_of(tmp_path, decoder="siren")
    kept.keep(run, latents.samples_of_a_fit)
    runs = pd.DataFrame([{"column": "digits", "row": row, "seed": 0, "state": "growing", "steps": 2, "run": run}
                         for row in ("800 steps", "3,200 steps")])
    assert list(latents.stops(runs).row) == ["2 steps"]  # neither stop is reached: one row, which says how far it is
    shares = kept.table(run, "shapes").iloc[0]
    assert 0.1 <= shares["samples"] <= 1 and shares["test images"] > 0.4
    assert kept.pictures(run, "samples").shape == kept.pictures(run, "normal-pixels").shape == (16, 1, 8, 8)


@pytest.mark.parametrize("name", ["samples", "samples-9a", "samples-9b"])
def test_it_is_said_how_recorded_runs_were_made(name):
    """Whether or not the mean image was kept with them."""
    runs = registry.recorded(name)
    assert len(samples.lengths(runs, "This build")) >= bool((runs.state != "not run").any())
