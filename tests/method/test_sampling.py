"""Monte Carlo integration over coordinates: unbiased, the same in both forms of the origin gradient, repeatable."""

import pytest
import torch

from gonlib.data import datasets
from gonlib.method.models import build
from gonlib.method.origin import descend
from gonlib.method.shared_origin import SharedOrigin
from gonlib.training.config import Config
from gonlib.training.loop import Training

SMALL = {"dataset": "shapes", "decoder": "siren", "size": 8, "hidden": 8, "layers": 2, "latents": 4, "train_images": 64,
         "test_images": 8, "batch_size": 16, "epochs": 2}


def model_of(**changes):
    torch.manual_seed(0)
    model = build(Config.from_dict(SMALL | changes), 3).double()
    model.generator = torch.Generator().manual_seed(0)
    return model, torch.rand(5, 3, 8, 8, dtype=torch.float64)


@pytest.mark.parametrize("likelihood", ["squared_error", "bernoulli"])
def test_both_forms_agree_on_sampled_coordinates(likelihood):
    model, x = model_of(likelihood=likelihood)
    z0 = x.new_zeros(5, 4)
    with model.sampling(x, 0.25) as pixels:
        assert pixels.shape == (5, 3, 16)
        exact = -SharedOrigin(model, 5).gradient(pixels)
        torch.testing.assert_close(exact, descend(model, pixels, z0))
    assert not torch.allclose(exact, model.encode(x))


def test_estimates_are_unbiased():
    model, x = model_of()
    z, losses, latents = torch.randn(5, 4, dtype=torch.float64) / 10, [], []
    with torch.no_grad():
        for _ in range(1000):
            with model.sampling(x, 0.25) as pixels:
                losses.append(model.loss_at(pixels, z))
                latents.append(model.inference(model, pixels))
        for draws, whole in ((losses, model.loss_at(x, z)), (latents, model.encode(x))):
            draws = torch.stack(draws)
            error = draws.std(0) / len(draws) ** 0.5
            assert ((draws.mean(0) - whole).abs() < 5 * error).all()


def test_the_whole_grid_is_the_model_without_sampling():
    model, x = model_of()
    state = model.generator.get_state()
    whole = model.loss(x)
    assert torch.equal(model.generator.get_state(), state)  # and draws no random numbers
    torch.testing.assert_close(whole, model.loss_at(x, model.encode(x)))


def test_training_draws_other_coordinates_each_step_and_evaluation_none():
    model, x = model_of(inner_fraction=0.25, outer_fraction=0.125)
    assert not torch.equal(model.loss(x), model.loss(x))
    model.loss(x).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    with model.evaluating():
        assert torch.equal(model.loss(x), model.loss(x))
        assert model.reconstruct(x).shape == x.shape


def test_several_steps_see_the_same_coordinates():
    model, x = model_of(inner_fraction=0.25, inner_steps=3, step_size=0.1)
    assert torch.isfinite(model.loss(x)).all()


def test_a_sampled_run_is_repeatable():
    config = Config.from_dict(SMALL | {"inner_fraction": 0.5, "outer_fraction": 0.25})
    images = datasets.load("shapes", 8, 64, 8)
    losses = []
    for _ in range(2):
        run = Training(config, images)
        run.begin_epoch()
        while run.done < 4:  # it looks up after a quarter of a second, however far it is then
            run.advance(4)
        losses.append(run.total.item())
    assert losses[0] == losses[1]


def test_a_convolutional_decoder_has_no_coordinates_to_sample():
    with pytest.raises(ValueError, match="implicit"):
        build(Config(inner_fraction=0.5), 1)
