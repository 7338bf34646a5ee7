"""Images as numbers: bytes to floats and back, resizing, the middle square of a picture."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image


def as_float(images: UInt8[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Bytes 0..255 as floats in [0, 1]."""
    return images.float() / 255


def as_bytes(images: Num[Tensor, "..."]) -> UInt8[Tensor, "..."]:
    """Images as bytes on the CPU.

    Args:
        images: bytes, which stay what they are, or floats in [0, 1]; what lies outside is clipped.
    """
    images = images.detach().cpu()
    return images if images.dtype == torch.uint8 else (images.clamp(0, 1) * 255).round().byte()


def channels_first(images: UInt8[np.ndarray, "n h w *colours"]) -> UInt8[Tensor, "n c h w"]:
    """Images (N, H, W) or (N, H, W, 3), as files hold them, as a tensor (N, C, H, W)."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    return tensor[:, None] if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2).contiguous()


def resize(images: UInt8[Tensor, "n c h w"], size: int, chunk: int = 1024) -> UInt8[Tensor, "n c size size"]:
    """Images at size x size pixels: bilinear, antialiased, rounded; at most `chunk` of them at a time."""
    if images.shape[-2:] == (size, size):
        return images
    out = torch.empty(*images.shape[:2], size, size, dtype=torch.uint8)
    largest = images.shape[1] * max(size, *images.shape[-2:]) ** 2
    chunk = max(1, min(chunk, 2**28 // largest))  # at most 1 GiB of floats
    for i in range(0, len(images), chunk):
        part = images[i : i + chunk].float()
        part = torch.nn.functional.interpolate(part, (size, size), mode="bilinear", antialias=True)
        out[i : i + chunk] = part.round_().clamp_(0, 255).to(torch.uint8)
    return out


def square(picture: "Image.Image", side: int) -> "Image.Image":
    """The middle square of a picture at side x side pixels, in colour: bilinear, antialiased."""
    from PIL import Image

    half = abs(picture.width - picture.height) // 2
    left, top = (half, 0) if picture.width > picture.height else (0, half)
    # cropped first: resizing a box would let in what lies just outside
    picture = picture.convert("RGB").crop((left, top, left + min(picture.size), top + min(picture.size)))
    return picture.resize((side, side), Image.Resampling.BILINEAR)
