"""Pictures in rows, as HTML: on a phone the name of a row stands above it."""

import base64
import html
import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .svg import PIXELS_PER_POINT, WIDTH, data_link, names_of

INCH = 72 * PIXELS_PER_POINT  # pixels of the page, as in figures
LETTER = 0.085  # inches
LABEL = 16  # letters, then a row's name goes on below


@dataclass
class Pictures:
    """Rows of images, each (n, C, H, W) with values in [0, 1], `per_row` places in each, `size` inches wide.

    `labels` has a name for each row or is empty, `titles` stand above the columns; `runs` are the names of those whose
    models made the images.
    """

    rows: list[Tensor]
    labels: list[str]
    titles: list[str]
    per_row: int
    size: float
    runs: list[str]

    def _repr_html_(self) -> str:
        """What a notebook and a page show."""
        columns = f"minmax(0, {self.per_row * self.size * INCH:.0f}px)"
        parts = []
        if self.titles:
            heads = "".join(f"<span>{html.escape(title)}</span>" for title in self.titles)
            each = f"display: grid; grid-template-columns: repeat({self.per_row}, 1fr); text-align: center"
            parts += ["<span></span>"] * bool(self.labels) + [f'<div class="titles" style="{each}">{heads}</div>']
        for i, row in enumerate(self.rows):
            if self.labels:
                name = html.escape(self.labels[i])
                parts.append(f'<span class="label" style="text-align: right; white-space: pre-line">{name}</span>')
            fine = row.shape[-1] > self.size * INCH  # finer than the page: not with its own pixels
            look = f"width: 100%; display: block; image-rendering: {'auto' if fine else 'pixelated'}"
            parts.append(f'<img alt="" src="{source(self.strip(row))}" style="{look}">')
        before = "minmax(0, max-content) " if self.labels else ""
        look = (f"display: grid; grid-template-columns: {before}{columns}; gap: 4px 8px; align-items: center; "
                "line-height: 1.15; max-width: 100%")
        shown = f'<div role="img" class="pictures" style="{look}">{"".join(parts)}</div>'
        return f'<div class="drawn">{shown}{data_link(self.runs)}</div>'

    def strip(self, row: Tensor) -> Image.Image:
        """A row as one image: its pictures side by side, with gaps that one sees through."""
        fewer = max(row.shape[-1] // math.ceil(2.4 * INCH * self.size), 1)  # than there are pixels on a fine screen
        more = math.ceil(32 / row.shape[-1])  # so that the gap is narrow
        row = torch.nn.functional.avg_pool2d(row, fewer).repeat_interleave(more, -1).repeat_interleave(more, -2)
        _, channels, high, wide = row.shape
        gap = max(round(wide / 25), 1)
        whole = np.zeros((high, self.per_row * (wide + gap) - gap, 4), np.uint8)
        for i, image in enumerate(row.expand(-1, 3, -1, -1) if channels == 1 else row):
            left = i * (wide + gap)
            whole[:, left : left + wide, :3] = (255 * image).round().byte().permute(1, 2, 0).numpy()
            whole[:, left : left + wide, 3] = 255
        return Image.fromarray(whole)

    def as_image(self) -> Image.Image:
        """All rows as one image at least 600 pixels wide, without names."""
        strips = [self.strip(row) for row in self.rows]
        whole = Image.new("RGBA", (strips[0].width, sum(strip.height + 2 for strip in strips)))
        for i, strip in enumerate(strips):
            whole.paste(strip, (0, i * (strip.height + 2)))
        times = math.ceil(600 / whole.width)
        return whole.resize((times * whole.width, times * whole.height), Image.Resampling.NEAREST)


def source(picture: Image.Image) -> str:
    """An image as the source of an `img`: without loss, if its pixels are large enough to be seen."""
    file = io.BytesIO()
    picture.save(file, format="webp", lossless=picture.height <= 64, quality=90)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def arrange(images, titles=None, per_row=None, size=0.9, labels=None, runs=()) -> Pictures | None:
    """Images (N, C, H, W), floats in [0, 1] or uint8, in rows; or {row title: images}, or `kept.Rows`.

    Args:
        images: None of them gives None.
        titles: Above the images of the first row.
        per_row: How many images a row has, for a single tensor.
        size: An image's width in inches; they are smaller where that would be wider than the page.
        labels: Before the rows, for a single tensor.
        runs: Those whose models made the images, by name or in a frame; `kept.Rows` know theirs.
    """
    names = names_of(getattr(images, "runs", runs))
    if isinstance(images, torch.Tensor):
        per_row = per_row or min(len(images), 12)
        rows = list(as_cpu(images).split(per_row))
    else:
        pairs = list(images.items() if isinstance(images, dict) else images)
        if not pairs:
            return None
        labels, rows = [label for label, _ in pairs], [as_cpu(strip) for _, strip in pairs]
        per_row = max(map(len, rows))
    labels = [str(label) for label in labels or ()]
    left = LETTER * min(max(map(len, labels), default=0), LABEL)
    return Pictures(rows, labels, list(titles or ()), per_row, min(size, (WIDTH - left) / per_row), names)


def as_cpu(images: Tensor) -> Tensor:
    """Images as floats in [0, 1] on the CPU."""
    images = images.detach().cpu()
    return (images.float() / 255 if images.dtype == torch.uint8 else images.float()).clamp(0, 1)
