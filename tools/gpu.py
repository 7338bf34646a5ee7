#!/usr/bin/env python3
"""Everything that needs a GPU, in one command each; the library is taken from this checkout, nothing is installed.

    python3 tools/gpu.py check                              is the fast path right here? (some minutes)
    python3 tools/gpu.py bench --out bench-cuda.csv         the table of `make bench`
    python3 tools/gpu.py fill --budget 9m --pack runs.tar   missing runs of the profile `paper`, in order of worth

`check --device cpu` rehearses: what only a GPU can do is then done in the eager form. A later `fill` goes on from the
runs and checkpoints of an earlier one with `--merge runs.tar`. Carry bench-cuda.csv and .json to book/results/; take
runs in with `python -m gonlib merge runs.tar`.
"""

import argparse
import functools
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from gonlib import cli
from gonlib.bench import measure, steps
from gonlib.data import as_float
from gonlib.method.normalisation import batchnorms
from gonlib.runs import engines
from gonlib.runs.store import Store
from gonlib.training.config import Config
from gonlib.training.forms import FORMS, arithmetic
from gonlib.training.loop import Training

SMALL = {"size": 16, "filters": 4, "latents": 8, "batch_size": 16, "epochs": 2}
SIREN = {"decoder": "siren", "hidden": 16, "layers": 2}
NOISY = {"variational": True, "likelihood": "bernoulli"}
TEN = {"inner_steps": 10, "step_size": 0.1}
RULES = {
    "origin": {}, "origin, cotangents": {"latents": 24}, "no normalisation": {"batchnorm": False}, "siren": SIREN,
    "ten steps": TEN, "detached": {"detach": True}, "ten steps, detached": TEN | {"detach": True},
    "AE": {"inference": "encoder"}, "tied AE": {"inference": "tied_encoder"}, "GLO": {"inference": "free", "free_steps": 5},
    "VGON": NOISY | {"kl_anneal": 2}, "VAE": NOISY | {"inference": "encoder"}, "random origins": {"origin_sd": 0.1},
    "sampled coordinates": SIREN | {"inner_fraction": 0.5, "outer_fraction": 0.25},
    "population": {"evaluation": "population"}, "gaussian": {"likelihood": "gaussian"},
    "categorical": {"likelihood": "categorical"}, "classifier": {"task": "both"}, "edges": {"task": "from_edges"},
}
COMPILABLE = ("origin", "origin, cotangents", "no normalisation", "siren", "detached", "AE", "tied AE", "VAE", "GLO")


@functools.cache
def images(device):
    return steps.noise_images(1, 16, 70, device)


def run_of(rule, device, form):
    return Training(Config(**SMALL | RULES[rule]), images(device), device, form)


def epoch(run, **settings):
    """One epoch with its evaluation, under other settings of the inference rule."""
    with run.working(), run.model.inferring(**settings):
        run.go_on()
        while run.done % run.per_epoch:
            run.go_on()
        run.end_epoch()
    return run


def difference(run, other):
    """The largest difference of any tensor, relative to that tensor's largest value, and of the history."""
    mine, theirs = run.tensors(), other.tensors()
    worst = 0.0
    for name, tensor in mine.items():
        if tensor.is_floating_point():
            scale = theirs[name].abs().max().clamp(min=1e-6)
            worst = max(worst, float((tensor - theirs[name]).abs().max() / scale))
        elif not torch.equal(tensor, theirs[name]):
            return float("inf")
    rows = zip(run.history, other.history, strict=True)
    return max([worst] + [abs(a[k] / b[k] - 1) for a, b in rows for k in a if k.endswith("error") and b[k]])


# --- checks: each returns a number and the most that it may be -------------------------------------------------------


def forms_are_equal(rule, device):
    """Float64: latents and every gradient of the exact form against the reference, worst relative difference."""
    run = run_of(rule, device, "eager")
    model = run.model.double()
    model.inner_scale *= 1000  # so that the second-order part weighs in
    torch.manual_seed(1)
    for layer in batchnorms(model):  # at a fresh start second derivatives are not defined
        torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
        torch.nn.init.uniform_(layer.bias, -0.5, 0.5)
    x, found = as_float(run.data.train[:16]).double(), []
    for exact in (True, False):
        model.zero_grad()
        with model.inferring(exact=exact):
            model.loss(x).sum().backward()
            z = model.encode(x).detach()
        found.append((torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), z))
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True)), 1e-10


def captured_is_eager(rule, device, form, **settings):
    """Two epochs and their evaluations in both forms."""
    run, eager = (epoch(epoch(run_of(rule, device, f), **settings), **settings) for f in (form, "eager"))
    torch.cuda.synchronize() if run.stream else None
    same_numbers = torch.equal(run.generator.get_state(), eager.generator.get_state())
    return difference(run, eager) if same_numbers else float("inf"), 1e-3 if "compiled" in form else 1e-5


def nothing_waits(rule, device):
    """No host synchronisation within a step (torch raises where there is one)."""
    run = run_of(rule, device, "eager")
    with run.working():
        run.begin_epoch()
        run.step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            run.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return 0.0, 0.0


def goes_on(rule, device, form):
    """A run stopped after an epoch and loaded elsewhere, against one never stopped: to the bit."""
    with tempfile.TemporaryDirectory() as folder:
        whole, half, rest = epoch(run_of(rule, device, form)), epoch(run_of(rule, device, form)), run_of(rule, device, form)
        epoch(whole)
        with half.working():
            half.save(Path(folder, "checkpoint"))
        with rest.working():
            rest.load(Path(folder, "checkpoint"))
        return difference(epoch(rest), whole), 0.0


def together_is_alone(device, form):
    """Seven different runs, three at once, against the same made alone: 0 if each has the same result."""
    names = ("origin", "siren", "ten steps", "AE", "GLO", "VGON", "random origins")
    fields = {"train_images": 256, "test_images": 64}
    configs = [Config(**SMALL | RULES[name] | fields) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        alone, together = Store(f"{folder}/alone"), Store(f"{folder}/together")
        list(engines.one_by_one(configs, alone, device=device, form=form))
        list(engines.at_once(configs, together, 3, device=device, form=form))
        same = [together.find(config).same_result(alone.find(config)) for config in configs]
    return float(same.count(False)), 0.0


def check(args):
    """All checks; prints a line for each and returns 1 if one failed."""
    device, failed = args.device, []
    captured = "captured" if device.startswith("cuda") else "eager"

    def one(words, function, *arguments):
        start = time.perf_counter()
        try:
            value, most = function(*arguments)
            verdict = "ok" if value <= most else "FAILED"
            detail = f"{value:.2g} (at most {most:.2g})"
        except Exception as fault:
            verdict, detail = "FAILED", f"{type(fault).__name__}: {fault}".splitlines()[0][:200]
            if args.verbose:
                traceback.print_exc()
        if verdict == "FAILED":
            failed.append(words)
        print(f"{verdict:7} {words}: {detail}, {time.perf_counter() - start:.1f} s", flush=True)

    print(measure.describe(measure.conditions(device)))
    for rule in ("origin", "origin, cotangents", "no normalisation", "siren", "gaussian"):
        one(f"float64, exact against reference, {rule}", forms_are_equal, rule, device)
    for rule in RULES:
        if device.startswith("cuda"):
            one(f"no waiting within a step, {rule}", nothing_waits, rule, device)
        one(f"{captured} against eager, {rule}", captured_is_eager, rule, device, captured)
    for rule in ("origin", "no normalisation", "siren"):
        reference = functools.partial(captured_is_eager, exact=False)
        one(f"{captured} against eager, reference, {rule}", reference, rule, device, captured)
    for rule in ("origin", "GLO", "VGON", "ten steps"):
        one(f"stopped and gone on, {captured}, {rule}", goes_on, rule, device, captured)
    one("several at once against alone", together_is_alone, device, captured)
    if not args.no_compile:
        form = "compiled+captured" if device.startswith("cuda") else "compiled"
        for rule in COMPILABLE if device.startswith("cuda") else COMPILABLE[:1]:
            one(f"{form} against eager, {rule}", captured_is_eager, rule, device, form)
    print(f"{len(failed)} failed" + "".join(f"\n  {words}" for words in failed))
    return bool(failed)


def fill(args):
    """`gonlib run` of all experiments (or those named) at full schedule, several at once."""
    if args.merge and cli.main(["merge", *args.merge]):
        return 1
    from gonlib.study.registry import EXPERIMENTS

    overrides = [word for pair in args.parameters for word in ("-p", *pair)]
    return cli.main(["run", *(args.experiments or EXPERIMENTS), "--profile", args.profile, "--device", args.device,
                     "--budget", args.budget, "--at-once", str(args.at_once), "--form", args.form,
                     *(["--pack", args.pack] if args.pack else []), *overrides])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("check", check), ("bench", measure.main), ("fill", fill)):
        command = commands.add_parser(name)
        command.set_defaults(command=function)
        if name == "bench":
            measure.add_arguments(command)
            command.set_defaults(device="cuda")
        else:
            command.add_argument("--device", default="cuda")
        if name == "check":
            command.add_argument("--no-compile", action="store_true", help="leave the compiled forms out")
            command.add_argument("--verbose", action="store_true", help="show where a check failed")
        if name == "fill":
            command.add_argument("experiments", nargs="*")
            command.add_argument("--profile", default="paper")
            command.add_argument("--budget", default="9m")
            command.add_argument("--at-once", type=int, default=8)
            command.add_argument("--form", choices=FORMS, default="auto")
            command.add_argument("--merge", action="append", metavar="FILE", help="runs and checkpoints to go on from")
            command.add_argument("--pack", metavar="FILE", help="write what was done into one tar")
            command.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    args = parser.parse_args()
    with arithmetic("compiled"):
        return args.command(args)


if __name__ == "__main__":
    sys.exit(main())
