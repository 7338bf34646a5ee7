"""More gradient steps at evaluation than in training."""

import pytest
import torch

from gonlib.method.models import build
from gonlib.runs import kept as extras
from gonlib.study import registry
from gonlib.study.chapters import steps_and_gap
from gonlib.training.config import Config
from gonlib.training.evaluation import evaluate


@pytest.fixture
def images():
    return torch.randint(0, 256, (32, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("changes", [{}, {"decoder": "siren", "hidden": 8, "layers": 2},
                                     {"inner_steps": 3, "step_size": 0.2}])
def test_each_line_is_the_error_with_that_many_steps(images, changes):
    config = Config(size=8, latents=4, filters=2, batch_size=16, **changes)
    torch.manual_seed(0)
    model = build(config, 1)
    table = steps_and_gap.by_steps(model, images, config, counts=(1, 2, 5))
    assert list(table.steps) == [1, 2, 5] and table.moved[0] == 0 and (table.moved[1:] > 0).all()
    assert model.inference.steps == config.inner_steps  # as before
    for line in table.itertuples():
        with model.inferring(steps=line.steps):
            assert line.error == pytest.approx(evaluate(model, images, config)["error"])


def test_the_table_is_kept_with_the_runs_of_the_experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path))
    runs = registry.run("more-steps", "smoke", models=["GON", "1 step, detached"])
    kept = extras.collected(runs, "steps")
    assert set(kept.model) == {"GON", "1 step, detached"} and sorted(set(kept.steps)) == list(steps_and_gap.COUNTS)
    trained = kept[kept.steps == 1].set_index("row").error
    assert trained.to_dict() == pytest.approx(runs.set_index("row").test_error.to_dict(), rel=1e-5)
