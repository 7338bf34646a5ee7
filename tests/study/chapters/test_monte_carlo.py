"""What sampling coordinates does to a latent: measured and predicted variance."""

import pandas as pd
import pytest
import torch

from gonlib.method.models import build
from gonlib.study.chapters.monte_carlo import compare, latent_noise
from gonlib.training.config import Config


@pytest.mark.slow
def test_measured_variance_is_the_predicted_one():
    torch.manual_seed(0)
    model = build(Config(decoder="siren", size=12, hidden=8, layers=2, latents=4), 3)
    found = latent_noise(model, torch.rand(6, 3, 12, 12), [0.05, 0.25, 0.5, 1.0], draws=300)
    assert found.variance[:3].tolist() == pytest.approx(found.predicted[:3].tolist(), rel=0.25)
    assert found.variance[3] == found.predicted[3] == 0
    assert found.variance.is_monotonic_decreasing
    assert (found.error >= 0.9 * found.full_error).all() and found.error[3] == pytest.approx(found.full_error[3])
    assert model.training


def test_sentences_name_the_integral_that_must_be_denser():
    def run(inner, outer, error, state="done"):
        config = Config(decoder="siren", inner_fraction=inner, outer_fraction=outer)
        return {"column": "32 px", "hash": "a", "state": state, "test_error": error, "config": config}

    runs = [run(1, 1, 2.0), run(0.25, 0.25, 4.0), run(0.25, 1, 3.0), run(0.1, 1, 3.0), run(1, 0.25, 2.5), run(1, 0.1, 3.1),
            run(0.5, 1, 9.0), run(1, 0.5, 9.0, "failed")]
    first, second = (line.striptags() for line in compare(pd.DataFrame(runs)))
    assert "0.25 (32 px): test error 3.00 with the inner integral sampled, 2.50 with the outer" in first
    assert "2.00 on the full grid: sampling the inner costs more" in first
    assert "share of 0.1" in second and "the two cost the same" in second
