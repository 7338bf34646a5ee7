"""Where the runs are trained: here, one after another or several at once on one device, or on a Ray cluster.

An engine takes configs (it asks for the next only when it can start it) and gives pairs (config, finished `Run`) as
they come, until there are no more or the time is used up; in place of a run that cannot be trained, why (`UserError`).
All of them train through `Store.run`, so locks, checkpoints and failed runs are the store's in each.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from typing import Any

from ..errors import UserError
from ..training.config import Config
from ..training.loop import OutOfTime
from .run import Run
from .store import Store

Outcome = tuple[Config, Run | UserError]


def one_by_one(configs: Iterable[Config], store: Store, **options: Any) -> Iterator[Outcome]:
    """Train here; `options` are those of `Store.run`."""
    for config in configs:
        try:
            run: Run | UserError = store.run(config, **options)
        except OutOfTime:
            return
        except UserError as fault:
            run = fault
        yield config, run


# --- several on one device -------------------------------------------------------------------------------------------


class Stopped(Exception):
    """Raised in runs that wait for their turn when all are to stop, because one met wrong input or was interrupted."""


class Turns:
    """A lock that threads get in the order in which they asked for it, until `stop`.

    Only one run at a time uses Python and the state that torch shares between threads, for a few steps; what it
    launched on a GPU goes on while the others have their turns.
    """

    def __init__(self, runs: int):
        self.runs, self.stopped = runs, False
        self._queue, self._changed = deque[object](), threading.Condition()

    def __enter__(self) -> None:
        me = object()
        with self._changed:
            self._queue.append(me)
            self._changed.wait_for(lambda: self._queue[0] is me or self.stopped)
            if self.stopped:
                self._queue.remove(me)
                raise Stopped

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._queue.popleft()
            self._changed.notify_all()

    def stop(self) -> None:
        """Raise `Stopped` in every thread that waits for a turn or asks for one."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()


def at_once(configs: Iterable[Config], store: Store, runs: int, **options: Any) -> Iterator[Outcome]:
    """Train `runs` at a time on one device, each with its own random numbers, stream and graph, in turns.

    A run's result is that of the run made alone. Runs that keep snapshots are about time, so those are made alone.
    """
    turns, going = Turns(runs), dict[Future, Config]()
    options = options | {"turn": turns, "progress": _quiet}
    with ThreadPoolExecutor(runs) as pool:
        try:
            for config in _asked(iter(configs), turns):
                alone = bool(config.snapshots)
                while going and (alone or len(going) >= runs):
                    yield from _finished(going, turns)
                going[pool.submit(store.run, config, **options)] = config
                while going and alone:
                    yield from _finished(going, turns)
            while going:
                yield from _finished(going, turns)
        finally:
            turns.stop()


def _asked(configs, turns):
    """The configs; making the next one (it reads data) is a turn too, and so is what is done with a finished run."""
    while True:
        with turns:
            config = next(configs, None)
        if config is None:
            return
        yield config


def _finished(going, turns):
    """Wait for runs to end, and give those that are finished: none if their time was up."""
    for future in wait(going, return_when=FIRST_COMPLETED).done:
        config = going.pop(future)
        try:
            run = future.result()
        except OutOfTime:
            continue
        except UserError as fault:
            run = fault
        with turns:
            yield config, run


def _quiet(fraction, text=""):
    """No bar: several would be in each other's way."""


# --- several processes ----------------------------------------------------------------------------------------------


def in_processes(configs: Iterable[Config], store: Store, runs: int, **options: Any) -> Iterator[Outcome]:
    """Train `runs` at a time on the CPU, each in a process of its own with one thread.

    Stopped in the middle, it ends those processes: their runs go on from their checkpoints another time.
    """
    going: dict[Future, Config] = {}
    with ProcessPoolExecutor(runs, mp_context=get_context("spawn"), initializer=_begin) as pool:
        try:
            for config in configs:
                while len(going) >= runs:
                    yield from _ended(going, store)
                with _without_interrupts():
                    going[pool.submit(_task, config.to_dict(), _place(store), options)] = config
            while going:
                yield from _ended(going, store)
        except BaseException as fault:
            for process in active_children():
                process.terminate()
            if isinstance(fault, BrokenProcessPool):
                raise UserError("a process that was training was killed, most likely for want of memory: ask for fewer at "
                                "a time by --at-once; finished runs are kept, and the same command goes on.") from fault
            raise


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are begun in the block never see Ctrl-C: it is for the one that began them, which ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows lacks it
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Give this process one thread, and end it when the one that began it has died."""
    import torch

    torch.set_num_threads(1)
    if (parent := parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _ended(going, store):
    """Wait for processes to end their runs, and give those that are finished: none if their time was up."""
    for future in wait(going, return_when=FIRST_COMPLETED).done:
        config = going.pop(future)
        yield from _outcome(config, future.result(), store)


def _outcome(config, fault, store):
    """What came of a run in another process, which says what is wrong with its input; nothing if its time was up."""
    if fault:
        yield config, UserError(fault)
    elif (run := store.find(config)) and run.complete:
        yield config, run


def _place(store):
    """What a process elsewhere needs to find store and data."""
    return os.getcwd(), str(store.root.absolute()), os.environ.get("GONLIB_DATA")


# --- a cluster -------------------------------------------------------------------------------------------------------


def on_ray(configs: Iterable[Config], store: Store, gpus_per_run: float = 0.0, deadline: float | None = None,
           **options: Any) -> Iterator[Outcome]:
    """Train as tasks of a Ray cluster (RAY_ADDRESS, else one of this machine's own), `gpus_per_run` each.

    The store and the data must be in folders that all machines share. A run whose worker is lost goes on from its
    checkpoint on another. Raises `UserError` where Ray is not installed.
    """
    ray = load_ray()
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False)
    train = ray.remote(_task).options(num_cpus=1, num_gpus=gpus_per_run, max_retries=10)
    until = None if deadline is None else time.time() + deadline - time.monotonic()
    going = {train.remote(config.to_dict(), _place(store), options, until): config for config in configs}
    try:
        while going:
            (task,), _ = ray.wait(list(going), num_returns=1)
            config = going.pop(task)
            yield from _outcome(config, ray.get(task), store)
    finally:
        for task in going:
            ray.cancel(task, force=True)
        if ours:
            ray.shutdown()


def load_ray() -> Any:
    """The module ray, which is loaded only when asked for; `UserError` if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as fault:
        raise UserError("the engine ray is not installed: pip install gonlib[cluster].") from fault
    return ray


def _task(fields, place, options, until=None):
    """One run in another process; returns what is wrong with its input, if anything. `until` is a `time.time`."""
    folder, root, data = place
    os.chdir(folder)
    if data is not None:
        os.environ["GONLIB_DATA"] = data
    if until is not None:  # another machine has another monotonic clock
        options = options | {"deadline": time.monotonic() + until - time.time()}
    try:
        Store(root).run(Config.from_dict(fields), progress=_quiet, **options)
    except OutOfTime:
        return None
    except UserError as fault:
        return str(fault)
    return None
