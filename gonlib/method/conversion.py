"""Modality conversion of section 3.5: the inner loss sees a source made from the image, the outer loss the image itself.

A source has the shape of the image, so that the decoder's output at the origin can be compared with both. What a source
does not show is black; by linearity of the encoder that adds the same vector to every latent.
"""

import torch
import torch.nn.functional as F

RED, GREEN, BLUE = 0.299, 0.587, 0.114  # ITU-R BT.601


def grey(x):
    """Brightness of images (N, C, H, W), repeated for every channel."""
    if x.shape[1] != 3:
        return x
    red, green, blue = x.unbind(1)
    return (RED * red + GREEN * green + BLUE * blue)[:, None].expand_as(x)


def edges(x):
    """Strength of the edges in [0, 1]: a quarter of the length of Sobel's gradient, so that a full step is 1."""
    padded = F.pad(grey(x)[:, :1], (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 2:] - padded[..., :-2], padded[..., 2:, :] - padded[..., :-2, :]
    across = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4
    down = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 4
    # a tiny number under the root keeps its derivative finite
    return (across.square() + down.square() + 1e-12).sqrt().clamp(max=1).expand_as(x)


def left(x):
    """The left half of images, the right half black."""
    half = x.shape[-1] // 2
    return torch.cat([x[..., :half], torch.zeros_like(x[..., half:])], -1)


def image(x):
    """The image itself: no conversion."""
    return x


SOURCES = {"from_edges": edges, "from_grey": grey, "from_left": left}


def mean_source(source, images):
    """Mean of the sources of uint8 images (N, C, H, W), float (C, H, W): what population statistics are about."""
    total = sum(source(part.float() / 255).double().sum(0) for part in images.split(4096))
    return (total / len(images)).float()
