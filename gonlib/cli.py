"""The command line: python -m gonlib run|status|why|merge|migrate|book|bench."""

import argparse
import importlib
import json
import math
import os
import re
import sys
import tempfile
import time
import traceback
import warnings

from .errors import UserError, from_system, shortened, unknown
from .files import given_path

MOST_AT_ONCE = 1000


class Parser(argparse.ArgumentParser):
    """An argument parser whose faults are `UserError`s: one sentence, as everywhere."""

    def error(self, message):
        raise UserError(f"{message}; see python -m {self.prog} --help.")


def main(argv=None):
    """Run a command; returns its exit code: 0, 1 if a run failed or a merge had conflicts, 2 for bad input.

    Nothing ends with a traceback: what the system refuses is told in a sentence, and of a fault that nobody foresaw the
    traceback is in a file.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    _settle()
    if hasattr(sys.stdout, "reconfigure"):  # a name that the terminal cannot show is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = parser(argv).parse_args(argv)
        code = args.command(args) or 0
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk can still be told
        return code
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("\ngonlib: stopped; finished runs are kept, and the same command goes on from there.", file=sys.stderr)
        return 130
    except (UserError, OSError) as fault:
        told = fault if isinstance(fault, UserError) else from_system(fault, "the file that is written to")
        print(f"gonlib: {_readable(str(told))}", file=sys.stderr)
        return 2
    except Exception as fault:
        print(_report(fault, argv), file=sys.stderr)
        return 1


def _settle():
    """Put warnings back that the reader has made errors: libraries give them when they are imported."""
    if os.environ.pop("PYTHONWARNINGS", None):
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)


def _readable(message):
    """A message in which nothing is so long that the rest is lost."""
    return shortened(re.sub(r"\S{301,}", lambda word: shortened(word[0], 300), message), 3000)


def _report(fault, argv):
    """Two lines on a fault that nobody foresaw; its traceback goes to a file."""
    what = _readable("".join(traceback.format_exception_only(fault)).strip().replace("\n", " "))
    text = f"gonlib {shortened(' '.join(argv), 2000)}\npython {sys.version}\n\n{''.join(traceback.format_exception(fault))}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="gonlib-", suffix=".txt", delete=False, encoding="utf-8",
                                         errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return f"gonlib: this should not happen: {what}\n{text}"
    return f"gonlib: this should not happen: {what}\nThe traceback is in {file.name}; finished runs are kept."


def parser(argv):
    """The parser of all commands; `book` and `bench` declare their own options when they are asked for."""
    top = Parser(prog="gonlib", description="Gradient Origin Networks: train, look up and carry the runs of the book.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name, function, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        return command

    run = add("run", run_command, "Train the missing runs of experiments, in the order in which they matter.")
    _add_run_options(run)
    status = add("status", status_command, "Show which runs are there and the time that the others would take.")
    status.add_argument("experiments", nargs="*", metavar="EXPERIMENT")
    status.add_argument("--json", action="store_true", help="for programs")
    why = add("why", why_command, "Say how a missing run differs from the nearest one, or a stored one from today; or why "
              "a notebook would be executed again.")
    why.add_argument("targets", nargs="+", metavar="HASH_OR_EXPERIMENT/ROW/COLUMN_OR_NOTEBOOK")
    for command in (run, status, why):
        command.add_argument("--profile", default="quick", help="how much is run: smoke, quick or paper")
        command.add_argument("--device", help="cpu, cuda or cuda:N (default: what the profile says)")
        command.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                             help="override a parameter of the profile")
    merge = add("merge", merge_command, "Take in the runs of other stores: folders, or files made by --pack.")
    merge.add_argument("paths", nargs="+", type=given_path, metavar="PATH")
    merge.add_argument("--into", choices=("local", "recorded"), default="local", help="recorded: the book's own runs")
    merge.add_argument("--no-weights", action="store_true", help="leave weights out")
    migrate = add("migrate", migrate_command, "Bring a store of the layout before runs grew to today's, once.")
    migrate.add_argument("store", metavar="local|recorded|FOLDER")
    for name, place, text in (("book", "book.build", "Execute the notebooks and build the book."),
                              ("bench", "bench.measure", "Measure speed.")):
        command = add(name, None, text)
        if argv[:1] == [name]:
            module = importlib.import_module(f"gonlib.{place}")
            module.add_arguments(command)
            command.set_defaults(command=module.main)
    if argv and not argv[0].startswith("-") and argv[0] not in commands.choices:
        raise unknown("command", argv[0], commands.choices)
    return top


def _add_run_options(run):
    """Declare the options of `python -m gonlib run`."""
    run.add_argument("experiments", nargs="+", metavar="EXPERIMENT")
    run.add_argument("--only", nargs="+", metavar="HASH", help="of these experiments only the runs with these names")
    run.add_argument("--budget", type=seconds, metavar="TIME", help="stop cleanly within 90s, 9m or 1h")
    run.add_argument("--store", type=given_path, metavar="FOLDER", help="use this run store alone")
    run.add_argument("--pack", type=given_path, metavar="FILE", help="at the end, pack the runs: a .tar, .tar.gz or .tar.xz")
    run.add_argument("--no-weights", action="store_true", help="keep numbers only")
    run.add_argument("--form", default="auto", help="how a step runs: auto (captured on a GPU, eager on the CPU, there "
                     "compiled for long runs), eager, compiled, captured or compiled+captured")
    run.add_argument("--at-once", type=int, default=1, metavar="N",
                     help="runs at a time: on a CPU as many processes, with a thread each")
    run.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on the cluster at RAY_ADDRESS")
    run.add_argument("--gpus-per-run", type=float, metavar="X", help="share of a GPU for each run of the engine ray")


def seconds(text):
    """Seconds of a time such as 90s, 9m or 1h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found:
        raise UserError(f"a budget is a time such as 90s, 9m or 1h, not {text!r}.")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def run_command(args):
    """Train what is missing; see runs/schedule.py."""
    began = time.monotonic()
    from .runs.packs import kind_of
    from .runs.schedule import Schedule
    from .runs.store import Store, local_store, recorded_store
    from .study.status import only, plan, wanted

    if args.pack:
        kind_of(args.pack)
        if not args.pack.absolute().parent.is_dir():
            raise UserError(f"there is no folder {args.pack.absolute().parent} to write {args.pack.name} into.")
    runs = wanted(plan(args.experiments, args.profile, args.parameters))
    runs = only(runs, args.only) if args.only else runs
    stores = [Store(args.store)] if args.store else [local_store(), recorded_store()]
    # Writing the last checkpoint and the pack takes time too.
    deadline = began + args.budget - min(10, args.budget / 20) if args.budget is not None else None
    work = Schedule(runs, stores, *_engine(args), deadline, not args.no_weights)
    work.take()
    if args.pack:
        left_out = stores[0].pack(args.pack, list(work.todo), weights=not args.no_weights)
        print(f"packed into {args.pack}")
        for name in left_out:
            print(f"not packed: {name}, which another process is just changing; run the same command again.")
    return work.report()


def _engine(args):
    """The function of engines.py that trains, its own options filled in, and the device for other work than that."""
    from functools import partial

    from .runs import engines
    from .study.profiles import device_of
    from .training.forms import choose

    if not 1 <= args.at_once <= MOST_AT_ONCE or not 0 <= (args.gpus_per_run or 0) < math.inf:
        raise UserError(f"--at-once is a whole number from 1 to {MOST_AT_ONCE}, --gpus-per-run a number of at least 0.")
    if args.engine == "ray":
        if args.at_once > 1:
            raise UserError("with --engine ray, runs share a GPU by --gpus-per-run, not by --at-once.")
        engines.load_ray()
        device = args.device or device_of(args.profile)  # of the workers; it need not be here
        share = float(device.startswith("cuda")) if args.gpus_per_run is None else args.gpus_per_run
        return partial(engines.on_ray, device=device, form=args.form, gpus_per_run=share), "cpu"
    if args.gpus_per_run is not None:
        raise UserError("--gpus-per-run is for --engine ray.")
    device = _device(args)
    choose(args.form, device)  # a form that cannot run here is told before anything starts
    options = {"device": device, "form": args.form}
    if args.at_once > 1:
        together = engines.at_once if device.startswith("cuda") else engines.in_processes
        return partial(together, runs=args.at_once, **options), device
    return partial(engines.one_by_one, **options), device


def _device(args):
    """The device asked for, or the profile's; `UserError` if it is not there."""
    from .study.profiles import device_of
    from .training.forms import check_device

    return check_device(args.device or device_of(args.profile))


def status_command(args):
    """Print the state of every cell."""
    from .runs.store import local_store, recorded_store
    from .study import status

    planned = status.plan(args.experiments, args.profile, args.parameters, lenient=True)
    found = status.status(planned, [local_store(), recorded_store()], _device(args))
    print(json.dumps(found, indent=1) if args.json else status.as_text(found))


def why_command(args):
    """Print how runs differ, and why notebooks would be executed again."""
    from .book import build
    from .runs.store import local_store, recorded_store
    from .study import status

    pages = build.notebook_names()
    notebooks = [target for target in args.targets if target.removesuffix(".ipynb") in pages]
    for line in build.why(notebooks, args.profile, args.parameters, args.device) if notebooks else []:
        print(line)
    targets = [target for target in args.targets if target not in notebooks]
    if targets:
        planned = status.plan([], args.profile, args.parameters, lenient=True)
        print(status.why(targets, planned, [local_store(), recorded_store()], _device(args)))


def merge_command(args):
    """Merge other stores into one."""
    from .runs.store import local_store, recorded_store

    into, clean = recorded_store() if args.into == "recorded" else local_store(), True
    for path in args.paths:
        if not path.exists():
            raise UserError(f"there is no file or folder {path} to merge.")
    for path in args.paths:
        report = into.merge(path, weights=not args.no_weights, checkpoints=args.into == "local")
        print(f"{path}: {report}")
        clean = clean and report.clean
    return 0 if clean else 1


def migrate_command(args):
    """Bring a store to today's layout, and say what was found."""
    from .runs.migration import migrate
    from .runs.store import local_store, recorded_store

    named = {"local": local_store, "recorded": recorded_store}
    root = named[args.store]().root if args.store in named else given_path(args.store)
    if not root.is_dir():
        raise UserError(f"there is no folder {root} to migrate.")
    print("\n".join(migrate(root)))
