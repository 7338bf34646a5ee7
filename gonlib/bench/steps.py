"""A training step: the published algorithm, the exact form, and what they compete with; alone, at once, and scaled up."""

import torch

from ..data.datasets import Dataset
from ..errors import UserError
from ..method.inference import InferenceRule
from ..training.config import Config
from ..training.forms import choose, compiled_loss
from ..training.loop import Training
from .timing import REFERENCE, SECONDS, rows_of

CASES = {  # name: channels, configuration
    "conv 32/16": (1, {"latents": 32, "filters": 16}),
    "conv 256/32 colour": (3, {"latents": 256, "filters": 32}),
    "SIREN 32x3": (1, {"decoder": "siren", "hidden": 32, "layers": 3, "size": 28}),
    "SIREN 256x4": (1, {"decoder": "siren", "hidden": 256, "layers": 4, "size": 28}),
}
EXACT, AE, DECODER = "exact", "autoencoder", "decoder alone"
COMPILED = {  # which variants are measured compiled too: compiling takes longer than measuring
    "cpu": {("conv 32/16", 64): (EXACT, AE, DECODER), ("conv 32/16", 256): (EXACT,),
            ("SIREN 32x3", 64): (EXACT, DECODER), ("SIREN 256x4", 64): (EXACT, DECODER)},
    "cuda": {("conv 32/16", 64): (EXACT, AE, DECODER), ("SIREN 256x4", 64): (EXACT, DECODER)},
}
TOO_LONG = {"cpu": [("SIREN 256x4", 256)], "cuda": []}  # its reference takes half a minute a step on two cores


class Fixed(InferenceRule):
    """Latents that cost nothing: what is left is the decoder alone, the least that any method can do."""

    def forward(self, model, x, index=None, shared=None, noise=None):
        return x.new_full((len(x), model.latents), 0.1)


def noise_images(channels, size, count, device):
    """A data set of uniformly random uint8 images: the time of a step does not depend on what they show."""
    images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, device=device)
    labels = torch.arange(count, device=device) % 10
    return Dataset("digits", size, images, images[:16], labels, labels[:16], "random", "")


def step_of(variant, case, batch, device, form="eager", **changes):
    """A callable that does the next training step of a variant: reference, exact, autoencoder or decoder alone."""
    channels, fields = CASES[case]
    config = Config(**fields | changes | {"batch_size": batch} | ({"inference": "encoder"} if variant == AE else {}))
    eager = "captured" if "captured" in form else "eager"
    run = Training(config, noise_images(channels, config.size, 4 * batch, device), device, eager)
    if variant == DECODER:
        run.model.inference = Fixed()
    settings = {"exact": False} if variant == REFERENCE else {}
    if "compiled" in form:
        run.loss = compiled_loss(run.model)
    with run.working():
        run.begin_epoch()

    def step():
        with run.working(), run.model.inferring(**settings):
            if run.done % run.per_epoch == 0:
                run.position.zero_()
            run.run_step()
            run.done += 1

    step.run = run
    return step


def steps(device, cases=CASES, batches=(64, 256), seconds=SECONDS, compiled=None):
    """A training step (gather, forward, backward, Adam): the published algorithm, the exact form, what they compete with."""
    gpu = str(device).startswith("cuda")
    kind = "cuda" if gpu else "cpu"
    compiled = COMPILED[kind] if compiled is None else compiled
    for case in cases:
        for batch in (b for b in batches if (case, b) not in TOO_LONG[kind]):
            variants = [REFERENCE, EXACT, DECODER] + ([AE] if case.startswith("conv") else [])
            forms = {"eager": variants} | ({"captured": variants} if gpu else {})
            if (case, batch) in compiled and _has_compiler():
                # not the reference: nothing compiles a double backward pass
                forms["compiled+captured" if gpu else "compiled"] = compiled[case, batch]
            works = {v if form == "eager" else f"{v}, {form}": step_of(v, case, batch, device, form)
                     for form, those in forms.items() for v in those}
            yield rows_of(f"training step: {case}", works, batch, device, memory=variants, seconds=seconds)


def _has_compiler():
    try:
        return bool(choose("compiled", "cpu"))
    except UserError as fault:
        print(f"compiled steps are not measured: {fault}")
        return False


def at_once(device, seconds=3.0):
    """Training steps of several runs at once on one GPU: ms per step of any of them."""
    if not str(device).startswith("cuda"):
        return
    for case, (channels, fields) in list(CASES.items())[:3]:
        data, works, scale = noise_images(channels, fields.get("size", 32), 4096, device), {}, {}
        for count in (1, 3, 8):
            runs = [Training(Config(**fields, batch_size=64, seed=seed), data, device) for seed in range(count)]
            for run in runs:
                with run.working():
                    run.begin_epoch()

            def work(runs=runs):
                for run in runs:
                    with run.working():
                        run.position.zero_()
                        run.advance(run.done + 32)
                        run.launched.clear()

            works[f"{count} at once"], scale[f"{count} at once"] = work, 1 / (32 * count)
        yield rows_of(f"several at once: {case}", works, 64, device, scale, base="1 at once", seconds=seconds)


def scaling(device, seconds=1.5):
    """A training step against image size, latents and batch."""
    gpu = str(device).startswith("cuda")
    form, small = ("captured", 64) if gpu else ("eager", 8)
    for size in (28, 64, 128, 256):
        share = min(1.0, 784 / size**2)
        works = {v: step_of(v, "SIREN 32x3", small, device, form, size=size) for v in (REFERENCE, EXACT)}
        works["exact, 784 coordinates"] = step_of(EXACT, "SIREN 32x3", small, device, form, size=size,
                                                  inner_fraction=share, outer_fraction=share)
        yield rows_of(f"image size {size}: SIREN 32x3", works, small, device, seconds=seconds)
    for size in (32, 64, 128, 256):
        works = {v: step_of(v, "conv 32/16", small, device, form, size=size) for v in (REFERENCE, EXACT, AE)}
        yield rows_of(f"image size {size}: conv 32/16", works, small, device, seconds=seconds)
    for latents in (32, 128, 512, 1024):
        works = {v: step_of(v, "conv 32/16", 64, device, form, latents=latents) for v in (REFERENCE, EXACT, AE)}
        yield rows_of(f"latents {latents}: conv, 16 filters", works, 64, device, seconds=seconds)
    for batch in (16, 64, 256, 1024):
        works = {v: step_of(v, "conv 32/16", batch, device, form) for v in (REFERENCE, EXACT, AE)}
        yield rows_of(f"batch {batch}: conv 32/16", works, batch, device, seconds=seconds)
