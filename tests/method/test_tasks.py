"""Section 3.5: the classifier GON of equation 13 and modality tasks."""

import pytest
import torch
import torch.nn.functional as F

from gonlib.data import datasets
from gonlib.errors import UserError
from gonlib.method import tasks
from gonlib.runs.store import Store
from gonlib.training.config import Config
from gonlib.training.loop import Training, train

SMALL = {"size": 8, "filters": 4, "hidden": 16, "layers": 2, "latents": 3, "train_images": 64, "test_images": 32,
         "batch_size": 32, "epochs": 1}


def training(**changes):
    config = Config(**(SMALL | changes))
    return Training(config, datasets.load(config.dataset, config.size, config.train_images, config.test_images))


@pytest.mark.parametrize("decoder", ["conv", "siren"])
def test_equation_13(decoder):
    """The loss is the cross-entropy of a linear layer on the origin gradient, and nothing else."""
    run = training(task="classify", decoder=decoder)
    index = torch.tensor([5, 0, 9, 33])
    x, y = run.data.train[index].float() / 255, run.data.train_labels[index]
    z0 = torch.zeros(4, 3, requires_grad=True)
    inner = run.model.inner_scale * (run.model.decoder(z0) - x).square().sum()
    (gradient,) = torch.autograd.grad(inner, z0)
    expected = F.cross_entropy(run.model.classifier.linear(-gradient), y, reduction="none")
    assert torch.allclose(run.model.loss(x, labels=y), expected, atol=1e-5)


def test_both_is_the_sum():
    run = training(task="both")
    index = torch.arange(8)
    x, y = run.data.train[index].float() / 255, run.data.train_labels[index]
    z = run.model.encode(x)
    assert torch.allclose(run.model.loss(x, labels=y), run.model.loss_at(x, z) + run.model.classifier.loss(z, y))


@pytest.mark.parametrize("task", ["classify", "both"])
def test_accuracy_is_measured_and_the_classifier_is_kept(tmp_path, task):
    config = Config(**(SMALL | {"task": task, "epochs": 10, "learning_rate": 3e-3}))
    run = Store(tmp_path).run(config)
    assert run.metrics["classes"] == 10 and 0 <= run.metrics["train_accuracy"] <= 1
    assert ("test_error" in run.metrics) == (task == "both")
    sample, model = datasets.load("digits", 8, 64, 32), run.load_model()
    with model.evaluating(), torch.no_grad():
        right = model.classifier(model.encode(sample.test.float() / 255)).argmax(1) == sample.test_labels
    assert right.float().mean().item() == pytest.approx(run.metrics["test_accuracy"])


@pytest.mark.parametrize("changes, message", [
    ({"task": "classify", "inference": "free"}, "free latents know neither"),
    ({"task": "from_left", "inference": "free"}, "free latents know neither"),
    ({"task": "classify", "snapshots": True}, "draws no pictures"),
])
def test_what_has_no_such_task(changes, message):
    with pytest.raises(UserError, match=message):
        training(**changes)


# --- modality conversion ---


@pytest.mark.parametrize("name", tasks.TASKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_source_has_the_shape_and_range_of_the_image(name, channels):
    x = torch.rand(5, channels, 8, 8)
    source = tasks.TASKS[name].source(x)
    assert source.shape == x.shape and source.min() >= 0 and source.max() <= 1


def test_sources_show_what_they_should():
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(tasks.left(x)[..., :4], x[..., :4]) and tasks.left(x)[..., 4:].abs().max() == 0
    assert torch.equal(tasks.grey(x)[:, 0], tasks.grey(x)[:, 2]) and tasks.grey(x[:, :1]) is not None
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    strength = tasks.edges(step)
    assert strength[..., 3:5].min() == pytest.approx(1) and strength[..., :3].max() < 1e-5
    assert tasks.edges(torch.full((1, 1, 8, 8), 0.5)).max() < 1e-5


def test_the_inner_loss_sees_the_source_and_the_outer_loss_the_image():
    run = training(task="from_left", batchnorm=False)
    x = torch.rand(4, 1, 8, 8)
    other = torch.cat([x[..., :4], torch.rand(4, 1, 8, 4)], -1)  # the same left half
    assert torch.equal(run.model.encode(x), run.model.encode(other))
    run.model.ready()
    assert torch.equal(run.model.loss(x), run.model.loss_at(x, run.model.encode(other)))


@pytest.mark.slow
def test_conversion_learns_and_the_population_mode_knows_the_mean_source():
    sample = datasets.load("digits", 8)
    run = train(Config(dataset="digits", size=8, filters=4, task="from_left", learning_rate=3e-3, epochs=15), sample)
    constant = float((sample.test / 255 - sample.mean_image).square().flatten(1).sum(1).mean())
    assert run.metrics["test_error"] < 0.75 * constant
    left = sample.mean_image.clone()
    left[..., 4:] = 0
    assert torch.allclose(run.model.mean_image, left, atol=1e-5)
