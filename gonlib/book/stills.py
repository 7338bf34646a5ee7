"""The still pictures of the live elements, shown where scripts do not run: each the source of an `img`."""

import base64
import io

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor

from ..method.empirical_bayes import posterior_mean
from ..method.model import Model
from ..runs import kept
from ..study.chapters.super_resolution import enlarge, render
from ..study.measures import paths
from .figures import signed
from .grids import arrange, as_cpu, source

FINE = 128  # side in pixels of an enlarged picture
PLUS, MINUS, GREEN = "#d8602b", "#2f86c1", "#12a378"  # the colours of elements/page.js


def ring_density(z0: Tensor, radius: float, sigma: float) -> Tensor:
    """log p(z0), (..., 2) to (...), up to a constant, of points on a circle with normal noise."""
    r = z0.norm(dim=-1)
    return torch.special.i0e(radius * r / sigma**2).log() - (radius - r) ** 2 / (2 * sigma**2)


def _picture(figure):
    """A figure as the source of an `img`; the figure is closed."""
    file = io.BytesIO()
    figure.savefig(file, format="webp", bbox_inches="tight", dpi=110, facecolor="white")
    plt.close(figure)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


@torch.no_grad()
def draw(model: Model, x: Tensor) -> str:
    """One image (1, C, H, W), its residual, its latent, and the picture of the latent."""
    x = x.expand(-1, model.image[0], -1, -1)
    with model.evaluating("population"):
        z = model.encode(x)
        origin, picture = model.decode(torch.zeros_like(z)), model.decode(z)
    figure, axes = plt.subplots(1, 4, figsize=(8, 2.2), width_ratios=(1, 1, 1.5, 1))
    titles = ("image x", "residual x − F(0)", "latent z = M x + b", "picture F(z)")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[])
    for axis, image in ((axes[0], x), (axes[1], signed(x - origin)), (axes[3], picture)):
        axis.imshow(as_cpu(image)[0].permute(1, 2, 0).numpy(), cmap="gray", vmin=0, vmax=1)
    bars = z[0].numpy()
    axes[2].bar(range(len(bars)), bars, color=[PLUS if value > 0 else MINUS for value in bars])
    return _picture(figure)


def ring(radius: float, sigma: float, others: Tensor) -> str:
    """Noisy points beside a circle, and the arrows to their posterior means; `others`: (n, 3), angles and standard noise."""
    angles, noise = others[:, 0].double(), others[:, 1:].double()
    z0 = radius * torch.stack([angles.cos(), angles.sin()], 1) + sigma * noise
    z0 = torch.cat([z0, torch.tensor([[2.4, 1.6]], dtype=torch.float64)])
    mean = posterior_mean(lambda z: ring_density(z, radius, sigma), z0, sigma**2 * torch.eye(2, dtype=torch.float64))
    figure, axis = plt.subplots(figsize=(3.6, 3.6))
    axis.add_patch(plt.Circle((0, 0), radius, fill=False, color=GREEN, lw=2))
    axis.quiver(*z0.T, *(mean - z0).T, angles="xy", scale_units="xy", scale=1, width=0.006, color=MINUS)
    axis.plot(*z0[:-1].T, ".", color=PLUS, ms=4)
    axis.plot(*z0[-1].tolist(), "o", color=PLUS)
    axis.set(xlim=(-4, 4), ylim=(-4, 4), xticks=[], yticks=[], aspect="equal")
    return _picture(figure)


@torch.no_grad()
def zoom(model: Model, small: Tensor, z: Tensor) -> str:
    """One small image (1, C, h, h), enlarged bicubically, and as the model draws its latent (1, k)."""
    pictures = {f"given: {small.shape[-1]} × {small.shape[-1]} pixels": small, "bicubic": enlarge(small, FINE, "bicubic"),
                "the GON": render(model, z, FINE)}
    figure, axes = plt.subplots(1, 3, figsize=(7, 2.6))
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(as_cpu(picture)[0].permute(1, 2, 0).numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[])
    return _picture(figure)


def path(model: Model, a: Tensor, b: Tensor) -> str:
    """The ways between two images (1, C, H, W), a row for each."""
    found = paths(model, a, b, 7, 4 * a.shape[-1])
    rows = {name: found[key][:, 0] for name, key in (("slerp", "slerp"), ("lerp", "lerp"), ("cross-fade", "pixels"))}
    return source(arrange(kept.alike(rows)).as_image())


def scatter(points: pd.DataFrame) -> str:
    """Latents `z1`, `z2`, each drawn as its `label`."""
    figure, axis = plt.subplots(figsize=(6, 4.4))
    axis.plot(points.z1, points.z2, linestyle="none")  # for the limits
    for point in points.itertuples():
        colour = plt.get_cmap("tab20" if points.label.max() > 9 else "tab10")(int(point.label) % 20)
        axis.text(point.z1, point.z2, str(int(point.label)), color=colour, fontsize=8, ha="center", va="center")
    axis.set(xlabel="first latent", ylabel="second latent")
    return _picture(figure)


def race(panel: dict) -> str:
    """The curves of one panel of a race."""
    figure, axis = plt.subplots(figsize=(6.4, 3))
    for row in panel["rows"]:
        axis.plot(row["epochs"], row["errors"], color=row["colour"], label=row["name"])
    axis.set(xlabel="epoch", ylabel="test error", yscale="log", title=panel["title"])
    axis.legend(fontsize=8)
    return _picture(figure)
