"""How latents are distributed (figures 13 and 14), and samples from a normal distribution fitted to them (figure 15)."""

import numpy as np
import pandas as pd
import torch
from scipy import stats

from ...runs import kept
from ...runs.store import load_data
from ...training.evaluation import as_float
from ..measures import agreement, nearest

IMAGES = 2000  # images that are encoded, and samples that are measured
SHOWN = 16  # samples kept as pictures
BINS = np.linspace(-4, 4, 65)  # of standardised latents


@torch.no_grad()
def latents_of(model, images, batch=64, mode="batch"):
    """Latents (N, k) of uint8 images; in a variational model the means of their posteriors."""
    with model.evaluating(mode):
        z = torch.cat([model.encode(as_float(part)) for part in images.split(batch)])
        return z if model.stochastic is None else model.stochastic(z)[0]


def normality(values):
    """A row per latent of values (N, k): `mean`, `sd`, `skewness`, `excess` kurtosis, and `p` of D'Agostino's test.

    `departure` is (skewness^2 + kurtosis^2 / 4) / 6, the Jarque-Bera statistic per image: 0 for a normal distribution,
    0.67 for an exponential one's skewness alone. Source: D'Agostino, Pearson 1973; Jarque, Bera 1980.
    """
    values = np.asarray(values, float)
    skewness, kurtosis = stats.skew(values), stats.kurtosis(values)
    return pd.DataFrame({"mean": values.mean(0), "sd": values.std(0), "skewness": skewness, "excess": kurtosis,
                         "p": stats.normaltest(values).pvalue, "departure": (skewness**2 + kurtosis**2 / 4) / 6})


def histogram(values):
    """Counts of values (N, k), each column standardised, pooled, in `BINS`; what lies outside goes to the end bins."""
    values = (values - values.mean(0)) / values.std(0)
    return np.histogram(np.clip(values, BINS[0], BINS[-1]), BINS)[0]


def projections(images, k, seed=0):
    """Projections (N, k) of uint8 images on random directions: what any linear encoder that learned nothing gives."""
    flat = as_float(images.flatten(1).cpu())
    return (flat @ torch.randn(flat.shape[1], k, generator=torch.Generator().manual_seed(seed))).numpy()


def keep_latents(run, device="cpu"):
    """Keep with a run the "normality" and the "histogram" of its latents of test images, beside random projections."""
    if kept.table(run, "normality") is not None:
        return
    data, model = load_data(run.config, device), run.load_model(device)
    images = data.test[:IMAGES]
    kinds = {"latents": latents_of(model, images, run.config.batch_size, run.config.evaluation).cpu().double().numpy(),
             "random projections": projections(images, run.config.latents)}  # fmt: skip
    counts = pd.DataFrame({"left": BINS[:-1]} | {kind: histogram(values) for kind, values in kinds.items()})
    kept.table(run, "histogram", lambda: counts)
    rows = [normality(values).assign(kind=kind) for kind, values in kinds.items()]
    kept.table(run, "normality", lambda: pd.concat(rows, ignore_index=True))


def normal_samples(values, n, seed=0):
    """n samples (n, k) of the multivariate normal distribution with the mean and covariance of values (N, k)."""
    mean, covariance = values.mean(0), torch.cov(values.double().T)
    level, vectors = torch.linalg.eigh(covariance)  # which, unlike Cholesky's, may have no full rank
    noise = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return mean + ((noise.to(level) * level.clamp(min=0).sqrt()) @ vectors.T).to(mean)


@torch.no_grad()
def fitted_samples(model, images, n, seed=0, mode="batch", batch=64):
    """n pictures of latents from one multivariate normal distribution fitted to those of training images (uint8)."""
    z = normal_samples(latents_of(model, images, batch, mode), n, seed)
    with model.evaluating("population"):
        return torch.cat([model.decode(part) for part in z.split(batch)]).clamp(0, 1)


def keep_fitted(run, device="cpu"):
    """Keep with a run samples from a normal distribution fitted to its latents: "samples" and their "nearest" images.

    Table "shapes": `agreement` (measures.py) of these "samples", of "test images", and of "normal pixels": samples
    from a normal distribution fitted to the training images themselves, which keeps their covariance and no shapes.
    """
    if kept.table(run, "shapes") is not None:
        return
    data, model = load_data(run.config, device), run.load_model(device)
    n = min(IMAGES, len(data.test))
    samples = fitted_samples(model, data.train[: 10 * IMAGES], n, 0, run.config.evaluation, run.config.batch_size)
    pixels = normal_samples(as_float(data.train[: 10 * IMAGES].flatten(1)), n).clamp(0, 1).view_as(samples)
    sets = {"samples": samples, "test images": as_float(data.test[:n]), "normal pixels": pixels}
    shares = {name: agreement(pictures, data.train, data.train_labels) for name, pictures in sets.items()}
    kept.pictures(run, "samples", lambda: samples[:SHOWN])
    kept.pictures(run, "pixels", lambda: pixels[:SHOWN])
    kept.pictures(run, "nearest", lambda: data.train[nearest(samples[:SHOWN], data.train)[1][:, 0]])
    kept.table(run, "shapes", lambda: pd.DataFrame([shares]))
