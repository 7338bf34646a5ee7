"""The best linear autoencoder: principal component analysis, a yardstick for models whose encoder is linear."""

import pandas as pd
import torch

from ..runs.provenance import repository_root
from ..runs.store import load_data

APART = ("coil20", "small_norb")  # where PCA has the error of the paper's GON with far fewer than 256 components


def pca_errors(data):
    """Summed squared error per test image, in [0, 1] units, of PCA with 0, 1, 2, ... components, a float64 vector.

    The components are fitted to the training images.
    """
    train = data.train.flatten(1).double() / 255
    test = data.test.flatten(1).double() / 255 - train.mean(0)
    # eigenvectors of the covariance, so that the cost does not grow with the number of images
    _, vectors = torch.linalg.eigh((train - train.mean(0)).T @ (train - train.mean(0)))
    energy = (test @ vectors.flip(1)).square().mean(0)  # of each component, the largest in training first
    return energy.sum() - torch.cat([energy.new_zeros(1), energy.cumsum(0)])


def pca_error(data, components):
    """The error of PCA with that many components (or all there are)."""
    errors = pca_errors(data)
    return float(errors[min(components, len(errors) - 1)])


def recorded_pca():
    """`pca_errors` of the paper's data sets at 32 x 32, made by tools/pca.py: columns dataset, components, error."""
    return pd.read_csv(repository_root() / "book" / "results" / "pca.csv")


def recorded_pca_error(dataset, components):
    """The error of PCA on one of the paper's data sets, or None where it was not computed."""
    found = recorded_pca().query("dataset == @dataset and components == @components")
    return None if found.empty else found.error.item()


def components_for(dataset, error):
    """The smallest number of components with which PCA has at most this error on one of the paper's data sets, or None."""
    found = recorded_pca().query("dataset == @dataset and error <= @error")
    return None if found.empty else int(found.components.min())


def pca_row(runs, recorded):
    """A row for `tables.table`: the error of PCA with as many components as latents, {(column, source): number}.

    The columns of `runs` and `recorded` (`experiment.collect`) are data sets; PCA of the first is computed here.
    """
    first = {r.column: r.config for r in runs.drop_duplicates("column").itertuples()}
    row = {(column, "this build"): pca_error(load_data(config, "cpu"), config.latents) for column, config in first.items()}
    return row | {(r.column, "recorded"): recorded_pca_error(r.config.dataset, r.config.latents)
                  for r in recorded.drop_duplicates("column").itertuples()}


def softmax_accuracy(data, rank, starts=2, steps=100):
    """Share of test images classed rightly by softmax regression whose weights have a rank of at most `rank`.

    It is the best that a linear layer on `rank` numbers can do if these are themselves linear in the image, as the
    latents of a one-step GON are (claim C22): the ceiling of equation 13. L-BFGS from several starts, the one with the
    lowest training loss.
    """
    train, test = (part.flatten(1).float() / 255 for part in (data.train, data.test))
    train, test, classes = train - train.mean(0), test - train.mean(0), int(data.train_labels.max()) + 1
    best = (float("inf"), 0.0)
    for seed in range(starts):
        generator = torch.Generator().manual_seed(seed)
        factors = [torch.randn(*shape, generator=generator).to(train) for shape in ((train.shape[1], rank), (rank, classes))]
        weights = [0.01 * factors[0], factors[1], train.new_zeros(classes)]
        loss = _minimise(lambda w: torch.nn.functional.cross_entropy(train @ w[0] @ w[1] + w[2], data.train_labels)
                         + 1e-5 * (w[0].square().sum() + w[1].square().sum()), weights, steps)
        right = ((test @ weights[0] @ weights[1] + weights[2]).argmax(1) == data.test_labels).float().mean()
        best = min(best, (loss, float(right)))
    return best[1]


def ridge_error(data, source, strength=1.0):
    """Summed squared error per test image of the best linear map from sources to images (modality conversion).

    `source` is a function such as tasks.edges; ridge regression with the penalty `strength` on images in [0, 1].
    """
    train, test = (part.float() / 255 for part in (data.train, data.test))
    seen, unseen = (source(part).flatten(1).double() for part in (train, test))
    train, test = train.flatten(1).double(), test.flatten(1).double()
    mean, centre = train.mean(0), seen.mean(0)
    square = (seen - centre).T @ (seen - centre) + strength * torch.eye(seen.shape[1]).to(seen)
    weights = torch.linalg.solve(square, (seen - centre).T @ (train - mean))
    return float((mean + (unseen - centre) @ weights - test).square().sum(1).mean())


def _minimise(function, weights, steps):
    """Change the tensors `weights` in place to minimise function(weights); the value reached."""
    for weight in weights:
        weight.requires_grad_()
    search = torch.optim.LBFGS(weights, max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        search.zero_grad()
        loss = function(weights)
        loss.backward()
        return loss

    search.step(closure)
    for weight in weights:
        weight.requires_grad_(False)
    return float(function(weights))
