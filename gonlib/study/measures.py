"""Measures of pictures: decibels, detail by spatial frequency, paths between latents and how smoothly they move."""

import pandas as pd
import torch

from ..data import as_float
from ..errors import UserError


def psnr(images, truth):
    """Peak signal-to-noise ratio of each image in decibels, (N, C, H, W) floats in [0, 1] to (N,); higher is better."""
    error = (images - truth).square().flatten(1).mean(1)
    return -10 * error.clamp(min=1e-12).log10()


def ring_correlation(images, truth):
    """Fourier ring correlation: (frequencies in cycles per image side, correlations in [-1, 1]), both (size // 2,).

    At each frequency, the correlation of the Fourier coefficients of images and truth (N, C, size, size), over all
    images and all directions: 1 where the detail is right, 0 where it is absent or unrelated. A Hann window keeps the
    jump from one border of an image to the other out of it. Source: Saxton, Baumeister 1982.
    """
    size = truth.shape[-1]
    steps = torch.fft.fftfreq(size, 1 / size, device=truth.device)
    ring = torch.hypot(steps[:, None], steps[None]).round().long().flatten()
    ring = ring.clamp(max=size // 2)  # the corners, of which no whole ring is there, are left out below
    window = torch.hann_window(size, device=truth.device)
    a, b = (torch.fft.fft2((x - x.mean((2, 3), keepdim=True)) * window[:, None] * window).flatten(0, 1).flatten(1)
            for x in (images, truth))
    sums = [torch.zeros(size // 2 + 1, device=truth.device).index_add_(0, ring, product.sum(0))
            for product in ((a * b.conj()).real, a.abs().square(), b.abs().square())]
    correlation = sums[0] / (sums[1] * sums[2]).sqrt().clamp(min=1e-12)
    return torch.arange(1, size // 2), correlation[1 : size // 2].cpu()


def evenly(images, count):
    """So many of the images, or all, evenly spaced from the first to the last: some data sets are sorted."""
    return images[torch.linspace(0, len(images) - 1, min(count, len(images)), device=images.device).round().long()]


def mean_image(data):
    """The `error` of the training set's mean image as a picture of each test image: a table of one row to be kept."""
    error = (as_float(data.test) - data.mean_image.to(data.test.device)).square().flatten(1).sum(1).mean().item()
    return pd.DataFrame([{"error": error}])


def slerp(a, b, t):
    """Spherical interpolation from latents a (N, k) at t = 0 to b at t = 1; t (T,) gives (T, N, k). Figure 6.

    sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, with w the angle between a and b; where they are parallel it is
    the straight line. Raises `UserError` for opposite latents, between which no great circle is the shortest.
    Source: Shoemake 1985.
    """
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1)[:, None]
    if (cosine < -1 + 1e-6).any():
        raise UserError("two of the latents are opposite: spherical interpolation between them is not defined.")
    angle, t = cosine.clamp(-1, 1).acos(), t.to(a)[:, None, None]
    sine = angle.sin().clamp(min=1e-12)
    curved = ((1 - t) * angle).sin() / sine * a + (t * angle).sin() / sine * b
    return torch.where(angle < 1e-3, lerp(a, b, t), curved)


def lerp(a, b, t):
    """Linear interpolation from a (N, ...) at t = 0 to b at t = 1; t (T,) gives (T, N, ...)."""
    return a + t.to(a).view(-1, *[1] * a.ndim) * (b - a)


@torch.no_grad()
def paths(model, a, b, frames=9, size=None):
    """Three ways from images a to images b, (N, C, H, W): name -> pictures (frames, N, C, H, W).

    The latents by `slerp`, the latents by `lerp`, and the `pixels` themselves cross-faded, which is what a model
    that has learned nothing would do. An implicit decoder draws its pictures at any `size`.
    """
    t = torch.linspace(0, 1, frames)
    with model.evaluating("population"):  # each image encoded alone
        ends = model.encode(a), model.encode(b)
        found = {name: torch.stack([model.decode(z, size) for z in way(*ends, t)]).clamp(0, 1)
                 for name, way in (("slerp", slerp), ("lerp", lerp))}
    return found | {"pixels": lerp(a, b, t)}


def along(views, frames):
    """`frames` of the views (V, ...), evenly spaced from the first to the last."""
    return views[torch.linspace(0, len(views) - 1, frames).round().long()]


@torch.no_grad()
def known_paths(model, views, frames=9):
    """The `paths` from the first to the last of the true views (V, N, C, H, W), after the views reconstructed.

    The "views" are what the model makes of the truth: no path of its pictures can be expected to be better.
    """
    with model.evaluating("population"):
        seen = torch.stack([model.reconstruct(view) for view in along(views, frames)]).clamp(0, 1)
    return {"views": seen} | paths(model, views[0], views[-1], frames)


def nearest_view(pictures, views):
    """For pictures (T, N, ...) the number of the nearest of the views (V, N, ...) of the same pair, and its distance.

    Both are (T, N); the distance is the summed squared error.
    """
    distance = torch.stack([(pictures - view).square().flatten(2).sum(2) for view in views])
    best = distance.min(0)
    return best.indices, best.values


def smoothness(model, views, frames=9):
    """How a path between two images moves past the true views between them; a DataFrame with a row per way (claim C12).

    `views` (V, N, C, H, W) are the true pictures of N pairs, evenly spaced from one end to the other. Columns:
    `monotone`, the share of pairs whose nearest true view never goes back and gets from end to end; `largest_jump`,
    the largest move of the nearest view from one frame to the next as a share of the way, mean over pairs (even steps
    would give 1 / (frames - 1), a cross-fade jumps); `off_path`, the summed squared error to the nearest true view.
    """
    rows = []
    for name, pictures in known_paths(model, views, frames).items():
        number, distance = nearest_view(pictures, views)
        moves, last = number.diff(dim=0), len(views) - 1
        arrives = (number[0] <= 0.1 * last) & (number[-1] >= 0.9 * last)
        rows.append({"path": name, "monotone": float(((moves >= 0).all(0) & arrives).float().mean()),
                     "largest_jump": float(moves.abs().amax(0).float().mean() / last),
                     "off_path": float(distance.mean()), "pairs": pictures.shape[1]})
    return pd.DataFrame(rows)


# --- sets of pictures: are samples diverse, new, and of something?


def nearest(pictures, others, k=1, chunk=8192):
    """The k nearest of `others` for each of the pictures, all (N, C, H, W), uint8 or floats in [0, 1].

    (distances, numbers), each (N, k), nearest first; a distance is the root of the summed squared error.
    """
    pictures, found = _flat(pictures), None
    for start in range(0, len(others), chunk):
        distance = torch.cdist(pictures, _flat(others[start : start + chunk]))
        best = distance.topk(min(k, distance.shape[1]), largest=False)
        part = best.values, best.indices + start
        if found is not None:
            values, order = torch.cat([found[0], part[0]], 1).topk(k, largest=False)
            part = values, torch.cat([found[1], part[1]], 1).gather(1, order)
        found = part
    return found


def diversity(samples, train, test):
    """Three numbers on samples beside real pictures, a dictionary; for samples as good as new real ones they are near 1.

    `spread`: mean distance between two samples over that between two test images. `novelty`: mean distance from a
    sample to the nearest training image over that of a test image; copies have 0. `variety`: how many different
    test images are nearest to a sample, over how many are nearest to a training image (as many of each).
    """
    test = test[: len(samples)]
    apart = [torch.pdist(_flat(part)).mean().item() for part in (samples, test)]
    away = [nearest(part, train)[0].mean().item() for part in (samples, test)]
    seen = [len(nearest(part, test)[1].unique()) for part in (samples, train[: len(samples)])]
    return {"spread": apart[0] / apart[1], "novelty": away[0] / away[1], "variety": seen[0] / seen[1]}


def agreement(pictures, train, labels):
    """Mean share of a picture's ten nearest training images that are of one class: high if it looks like one thing."""
    near = labels[nearest(pictures, train, 10)[1]]
    votes = torch.nn.functional.one_hot(near, int(labels.max()) + 1).sum(1)
    return (votes.max(1).values / 10).mean().item()


def _flat(pictures):
    pictures = pictures.flatten(1)
    return pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()
