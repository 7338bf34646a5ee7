"""Encoding and reconstructing many images: by the encoder's matrix, and by what else gives latents."""

import torch

from ..data import as_float
from ..method.models import build
from ..training.config import Config
from .steps import AE, CASES, EXACT, noise_images
from .timing import REFERENCE, SECONDS, rows_of

GLO = "GLO, 100 Adam steps"
IMAGES = 10_000


def encoding(device, images=IMAGES, seconds=SECONDS):
    """Encode, and reconstruct, 10,000 images, in batches of 250 where it is done by batches.

    What takes long, the reference and GLO's optimisation, is timed on fewer images and scaled.
    """
    batch = min(250, images)
    for case in ("conv 32/16", "conv 256/32 colour", "SIREN 256x4"):
        channels, fields = CASES[case]
        config = Config(**fields)
        data = noise_images(channels, config.size, images, device).train
        gon = build(config, channels).to(device).eval()
        encoders = {REFERENCE: _by_inference(gon, batch, exact=False), EXACT: _by_matrix(gon)}
        fewer = {REFERENCE: batch if case == "conv 32/16" else 64}
        if case.startswith("conv"):
            encoders[AE] = _by_inference(_other(config, channels, "encoder", device), batch)
            encoders[GLO] = _by_inference(_other(config, channels, "free", device), batch)
            fewer[GLO] = 64
        scale = {name: images / count for name, count in fewer.items()}
        works = {name: _limited(encode, data[: fewer.get(name)]) for name, encode in encoders.items()}
        yield rows_of(f"encode {images:,}: {case}", works, batch, device, scale, seconds=seconds)
        if case == "conv 32/16":
            works = {name: _limited(encode, data[: fewer.get(name)], gon, batch) for name, encode in encoders.items()}
            yield rows_of(f"encode and reconstruct {images:,}: {case}", works, batch, device, scale, seconds=seconds)


def _other(config, channels, inference, device):
    return build(config.replace(inference=inference), channels).to(device).eval()


def _by_inference(model, batch, **settings):
    def encode(images):
        with model.inferring(**settings):
            return torch.cat([model.encode(as_float(part)) for part in images.split(batch)])

    return encode


def _by_matrix(model):
    def encode(images):
        matrix, offset = model.encoder_matrix()
        return torch.addmm(offset, images.flatten(1).float(), matrix.T / 255)

    return encode


def _limited(encode, images, decoder=None, batch=0):
    @torch.no_grad()
    def work():
        z = encode(images)
        return z if decoder is None else [decoder.decode(part) for part in z.split(batch)]

    return work
