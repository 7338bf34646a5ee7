"""`make bench`: what a training step, encoding and decoding cost on this machine, as ratios measured in one process.

The works that are compared take turns, so that what else the machine does slows all of them alike; times are medians
over the rounds, and the spread is half the distance between the quartiles.
"""

import json
import os
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

from ..data import as_float
from ..data.datasets import Dataset
from ..errors import UserError
from ..method.inference import InferenceRule
from ..method.models import build
from ..runs import provenance
from ..training.config import Config
from ..training.forms import arithmetic, choose, compiled_loss
from ..training.loop import Training

COLUMNS = ["case", "variant", "batch", "device", "ms", "spread", "times_faster_than_reference", "peak_mib"]
CASES = {  # name: channels, configuration
    "conv 32/16": (1, {"latents": 32, "filters": 16}),
    "conv 256/32 colour": (3, {"latents": 256, "filters": 32}),
    "SIREN 32x3": (1, {"decoder": "siren", "hidden": 32, "layers": 3, "size": 28}),
    "SIREN 256x4": (1, {"decoder": "siren", "hidden": 256, "layers": 4, "size": 28}),
}
REFERENCE, EXACT, AE, DECODER, GLO = "reference", "exact", "autoencoder", "decoder alone", "GLO, 100 Adam steps"
COMPILED = {  # which variants are measured compiled too: compiling takes longer than measuring
    "cpu": {("conv 32/16", 64): (EXACT, AE, DECODER), ("conv 32/16", 256): (EXACT,),
            ("SIREN 32x3", 64): (EXACT, DECODER), ("SIREN 256x4", 64): (EXACT, DECODER)},
    "cuda": {("conv 32/16", 64): (EXACT, AE, DECODER), ("SIREN 256x4", 64): (EXACT, DECODER)},
}
TOO_LONG = {"cpu": [("SIREN 256x4", 256)], "cuda": []}  # its reference takes half a minute a step on two cores
IMAGES = 10_000
SECONDS = 4.0  # for measuring one case; at least three rounds


def add_arguments(parser):
    """Declare the options of `python -m gonlib bench`."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--out", type=Path, default=Path("build/bench.csv"), metavar="FILE", help="the table as CSV")
    parser.add_argument("--record", action="store_true", help="keep a copy for the book, in book/results/")


def main(args):
    """Measure, print the table and whether the goals are met, and write the files."""
    from ..training.forms import check_device

    check_device(args.device)
    facts = conditions(args.device)
    print(describe(facts), flush=True)
    table = measure(args.device)
    facts["seconds"] = round(time.time() - facts.pop("began"), 1)
    for words, value, least in goals(table):
        print(f"{'met    ' if value >= least else 'NOT MET'} {words}: {value:.2f} times faster, wanted {least:.2f}")
    places = [args.out]
    if args.record:
        root = provenance.repository_root() or Path.cwd()
        places.append(root / "book" / "results" / f"bench-{args.device.partition(':')[0]}.csv")
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False, float_format="%.5g")
        path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"{facts['seconds']:.0f} s; written to {args.out}")


def conditions(device):
    """Hardware, versions and load: what a time means nothing without."""
    return {
        "device": provenance.device_name(device), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "versions": provenance.versions(), "source": provenance.source_hash(), "load": round(os.getloadavg()[0], 1),
        "started": datetime.now(UTC).isoformat(timespec="seconds"), "began": time.time(),
    }


def describe(facts):
    """One line about `conditions`."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (f"{facts['device']}, {facts['cores']} cores ({facts['threads']} threads used), {versions}, "
            f"{facts['started'][:10]}, load {facts['load']} at the start")


def measure(device):
    """The whole table, a DataFrame with COLUMNS; each part is printed as it comes."""
    rows = []
    with arithmetic("compiled"):
        for part in (steps, encoding, at_once, scaling):
            for found in part(device):
                if not rows:
                    print(line(COLUMNS))
                rows += found
                print("\n".join(line(row.values()) for row in found), flush=True)
    return pd.DataFrame(rows, columns=COLUMNS)


def line(values):
    """Values as columns of text."""
    case, *others = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)
    return case.ljust(46) + " ".join(v[:24].ljust(24) if i == 0 else v[:9].rjust(9) for i, v in enumerate(others))


# --- measuring -------------------------------------------------------------------------------------------------------


def synchronise(device):
    """Wait for a GPU."""
    if str(device).startswith("cuda"):
        torch.cuda.synchronize(device)


def interleaved(works, device, seconds=SECONDS, rounds=3):
    """Name -> (median, spread) in ms of works (name -> callable) that take turns for about `seconds`, `rounds` at least.

    A work that takes little time is repeated within its turn, for 20 ms.
    """
    repeats, once = {}, 0.0
    for name, work in works.items():
        work()  # the first call allocates, compiles or captures
        took = _timed(work, 1, device)
        repeats[name] = max(1, round(0.02 / max(took, 1e-6)))
        once += took * repeats[name]
    times = {name: [] for name in works}
    for _ in range(max(rounds, min(int(seconds / once), 50))):
        for name, work in works.items():
            times[name].append(_timed(work, repeats[name], device) / repeats[name] * 1e3)
    quartiles = {name: pd.Series(values).quantile([0.25, 0.5, 0.75]).tolist() for name, values in times.items()}
    return {name: (middle, (high - low) / 2) for name, (low, middle, high) in quartiles.items()}


def _timed(work, repeats, device):
    synchronise(device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronise(device)
    return time.perf_counter() - start


def peak_mib(work, device):
    """Memory that one call of `work` takes on top of what is there before, at its peak, in MiB."""
    if str(device).startswith("cuda"):
        synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        synchronise(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler complains that there is no GPU
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a profiler that records once
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
            work()
    changes = [(e.start_ns(), e.nbytes()) for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(pd.Series([size for _, size in sorted(changes)]).cumsum().max(), 0) / 2**20


def rows_of(case, works, batch, device, scale=None, memory=(), base=REFERENCE, seconds=SECONDS):
    """Rows of one case; `scale` (variant -> factor) is for works that do a part of the whole, `base` is compared with."""
    found = interleaved(works, device, seconds)
    found = {name: tuple(x * (scale or {}).get(name, 1) for x in times) for name, times in found.items()}
    kind = str(device).partition(":")[0]
    return [
        {"case": case, "variant": name, "batch": batch, "device": kind, "ms": ms, "spread": spread,
         "times_faster_than_reference": found[base][0] / ms if base in found else float("nan"),
         "peak_mib": float(peak_mib(works[name], device)) if name in memory else float("nan")}
        for name, (ms, spread) in found.items()
    ]


# --- training steps --------------------------------------------------------------------------------------------------


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


# --- encoding and reconstructing -------------------------------------------------------------------------------------


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


# --- scaling ---------------------------------------------------------------------------------------------------------


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


# --- what it comes to ------------------------------------------------------------------------------------------------


SIRENS = ("SIREN 32x3", "SIREN 256x4")
GOALS = {  # words, (case, batch), slower variant, faster variant ("...": its fastest form), least ratio of their times
    "cpu": [
        *((f"{name} step against the reference", (f"training step: {name}", 64), REFERENCE, "exact...", 3.0)
          for name in SIRENS),
        *((f"{name} step against the decoder alone, both compiled", (f"training step: {name}", 64),
           "decoder alone, compiled", "exact, compiled", 1 / 1.25) for name in SIRENS),
        ("conv 32/16 step against the reference", ("training step: conv 32/16", 64), REFERENCE, "exact...", 2.0),
        ("conv 32/16 step against the autoencoder, both compiled", ("training step: conv 32/16", 64),
         "autoencoder, compiled", "exact, compiled", 1 / 1.1),
        ("the same, batch 256, against the reference", ("training step: conv 32/16", 256), REFERENCE, "exact...", 2.8),
        ("the same, batch 256, against the autoencoder", ("training step: conv 32/16", 256), AE, EXACT, 1.0),
        ("encoding against the reference", (f"encode {IMAGES:,}: conv 32/16", 250), REFERENCE, EXACT, 30.0),
        ("encoding against the autoencoder", (f"encode {IMAGES:,}: conv 32/16", 250), AE, EXACT, 20.0),
    ],
    "cuda": [
        ("conv 32/16 step, captured, against the reference", ("training step: conv 32/16", 64), REFERENCE, "exact...", 10.0),
        ("8 runs at once against one at a time", ("several at once: conv 32/16", 64), "1 at once", "8 at once", 3.0),
        ("encoding against the reference", (f"encode {IMAGES:,}: conv 32/16", 250), REFERENCE, EXACT, 30.0),
    ],
}


def goals(table):
    """(goal in words, ratio measured, ratio wanted) for each goal that the table has the rows of."""
    out = []
    for words, (case, batch), slower, faster, least in GOALS[table.device.iloc[0]]:
        ms = table[(table.case == case) & (table.batch == batch)].set_index("variant").ms
        forms = [v for v in ms.index if v == faster or (faster == "exact..." and v.partition(",")[0] == EXACT)]
        if slower in ms and forms:
            out.append((words, ms[slower] / ms[forms].min(), least))
    return out


def just_now(device, seconds=1.0):
    """A training step on this machine, eager, as (variant, ms, times faster than the reference): a small table."""
    (rows,) = steps(device, ["conv 32/16"], (64,), seconds, compiled=())
    names = {"variant": "variant", "ms": "ms", "times_faster_than_reference": "times faster than the reference"}
    return pd.DataFrame(rows)[list(names)].rename(columns=names).round(2)
