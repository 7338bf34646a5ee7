"""The built-in data sets: scikit-learn's digits, crops of its two photographs, and generated shapes."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor

Arrays = dict[str, Any]  # numpy arrays train_* and test_* (images, labels, any known factors), and the text `source`

SHAPES = ("ellipse", "square", "triangle", "star")
# sides, and inner over outer radius: a regular n-gon is a star whose inner corners lie on the middles of its sides
_CORNERS = torch.tensor([[2, 0.6], [4, math.cos(math.pi / 4)], [3, math.cos(math.pi / 3)], [5, 0.45]])


def split(arrays: Arrays, train: int) -> Arrays:
    """Arrays of equal length as train_* (the first `train` rows) and test_* (the others)."""
    first = {f"train_{key}": value[:train] for key, value in arrays.items()}
    return first | {f"test_{key}": value[train:] for key, value in arrays.items()}


def digits() -> Arrays:
    """Scikit-learn's 1,797 handwritten digits, 8 x 8, 0..16 scaled to 0..255, shuffled; the first 1,437 train."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    order = np.random.default_rng(0).permutation(len(raw.images))
    images = np.rint(raw.images[order] * (255 / 16)).astype(np.uint8)
    source = "scikit-learn's digits (Alpaydin, Kaynak 1998), built in"
    return split({"images": images, "labels": raw.target[order]}, 1437) | {"source": source}


def patches() -> Arrays:
    """10,000 colour crops, 32 x 32, of scikit-learn's two photographs; 8,000 train.

    Each photograph is divided into 4 x 5 blocks of 106 x 128 pixels; test crops come from one block of each row, in
    other columns, training crops from the rest, and no crop crosses a border: no pixel is in both. Half are cut from
    the block itself, half from the block at half scale. Labels: 0 china, 1 flower.
    Factors: `top` and `left` in pixels of the photograph, and `scale`, photograph pixels per pixel (1 or 2).
    """
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    found: dict[str, list] = {"train": [], "test": []}
    blocks = [(label, row, column) for label in range(2) for row in range(4) for column in range(5)]
    photos = load_sample_images().images
    for label, row, column in blocks:
        top, left = 106 * row, 128 * column
        block = photos[label][top : top + 106, left : left + 128]
        for scale in (1, 2):
            small = block.reshape(106 // scale, scale, 128 // scale, scale, 3).mean((1, 3)).round().astype(np.uint8)
            windows = np.lib.stride_tricks.sliding_window_view(small, (32, 32), axis=(0, 1))
            i, j = (random.integers(0, n, 125) for n in windows.shape[:2])  # 2 x 4 x 5 blocks, 2 scales: 10,000
            place = np.stack([np.full(125, label), top + i * scale, left + j * scale, np.full(125, scale)], 1)
            part = "test" if column == (2 * row + 1) % 5 else "train"
            found[part].append((windows[i, j].transpose(0, 2, 3, 1), place))
    arrays: Arrays = {"source": "crops of scikit-learn's photographs china and flower, built in"}
    for part, pieces in found.items():
        images, place = (np.concatenate(both) for both in zip(*pieces, strict=True))
        order = random.permutation(len(images))
        arrays |= {f"{part}_images": images[order], f"{part}_labels": place[order, 0]}
        arrays |= {f"{part}_{key}": place[order, i] for i, key in enumerate(("top", "left", "scale"), 1)}
    return arrays


def shapes_factors() -> Arrays:
    """The factors of the 10,000 training and 2,000 test scenes of `shapes`, independent and uniform.

    `shape` (0..3, see SHAPES), `radius` of the circumscribed circle and centre `x`, `y` (in image sides, y downwards),
    `rotation` (degrees, clockwise), `grey` (level of the shape, 0..1; the background is 0).
    """
    random = np.random.default_rng(0)
    ranges = {"radius": (0.15, 0.35), "x": (0.35, 0.65), "y": (0.35, 0.65), "rotation": (0, 360), "grey": (0.4, 1)}
    arrays = {"shape": random.integers(0, len(SHAPES), 12000)}
    arrays |= {key: random.uniform(*span, 12000).astype(np.float32) for key, span in ranges.items()}
    return split(arrays | {"labels": arrays["shape"]}, 10000) | {"source": "generated shapes, built in"}


def shapes_images(factors: Mapping[str, Any], size: int) -> UInt8[Tensor, "n 1 size size"]:
    """Scenes drawn at any resolution.

    A pixel's level is the grey level times its coverage, taken from the signed distance to the outline, so the same
    factors show the same anti-aliased scene at every size.

    Args:
        factors: those of `shapes_factors`, each an array, tensor or list of length n.
        size: side of the images in pixels.
    """
    scene = {key: torch.as_tensor(value) for key, value in factors.items()}
    count, chunk = len(scene["shape"]), max(1, 2**21 // size**2)  # 8 MB per intermediate image of floats
    out = torch.empty(count, 1, size, size, dtype=torch.uint8)
    grid = (torch.arange(size) + 0.5) / size
    for i in range(0, count, chunk):
        part = {key: value[i : i + chunk, None, None] for key, value in scene.items()}
        distance = _signed_distance(part, grid[None, None, :] - part["x"], grid[None, :, None] - part["y"])
        coverage = (0.5 - distance * size).clamp(0, 1)
        out[i : i + chunk, 0] = (coverage * part["grey"] * 255).round().to(torch.uint8)
    return out


def _signed_distance(
    part: Mapping[str, Num[Tensor, "n 1 1"]], x: Float[Tensor, "n 1 w"], y: Float[Tensor, "n h 1"]
) -> Float[Tensor, "n h w"]:
    """Distance to the outline in image sides, negative inside; `x`, `y` relative to the centre."""
    turn = torch.deg2rad(part["rotation"])
    x, y = turn.cos() * x + turn.sin() * y, turn.cos() * y - turn.sin() * x
    outer = part["radius"]
    sides, ratio = _CORNERS[part["shape"]].unbind(-1)
    # by symmetry all sectors fold onto the one between an outer corner (angle 0) and the next inner one (pi / sides)
    sector, length = math.pi / sides, (x * x + y * y).sqrt()
    angle = torch.atan2(y, x)
    angle = (angle - 2 * sector * (angle / (2 * sector)).round()).abs()
    px, py = length * angle.cos() - outer, length * angle.sin()
    ex, ey = outer * (ratio * sector.cos() - 1), outer * ratio * sector.sin()
    along = ((px * ex + py * ey) / (ex * ex + ey * ey)).clamp(0, 1)
    outside = torch.sign(ey * px - ex * py)
    polygon = outside * torch.hypot(px - along * ex, py - along * ey)
    # to first order, f / |grad f| is the distance to the ellipse f = 0
    f = torch.hypot(x / outer, y / (ratio * outer)).clamp(min=1e-6)
    slope = torch.hypot(x / outer**2, y / (ratio * outer) ** 2).clamp(min=1e-6)
    return torch.where(part["shape"] == 0, f * (f - 1) / slope, polygon)
