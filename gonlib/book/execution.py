"""Notebooks executed by papermill, several at a time on a CPU: its small models gain nothing from a second thread."""

import contextlib
import functools
import json
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import UserError, duration
from . import kernel, used
from .notebooks import Notebook, about_executed, save_executed, source_digest, without_error_notes
from .timings import Timings, progress_bar

AT_ONCE = 4  # at most: each kernel needs about a gigabyte of memory


class Execution:
    """Notebooks executed into a build folder: those that have changed, or what they use.

    Args:
        profile: The name of the profile that gave the notebooks their values.
        root: The repository's root, the kernels' working folder.
        out: The build folder.
    """

    def __init__(self, profile: str, root: Path, out: Path) -> None:
        self.profile, self.root, self.out = profile, root, out
        self.stopping = threading.Event()
        self.began: dict[str, float] = {}  # name -> value of time.monotonic
        self.executed: list[Notebook] = []
        self.failed: dict[str, str] = {}  # name -> what went wrong, in one sentence

    def run(self, notebooks: list[Notebook]) -> None:
        """Execute them in order, each when those that it comes `after` are done; whether it has changed is decided then.

        Interrupted, the kernels end and the notebooks that were finished are kept.
        """
        expected = [notebook for notebook in notebooks if self._changed(notebook)]
        if not expected:
            return
        import papermill  # noqa: F401 (here: it takes a while, and its first import must not happen in two threads)

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers, running = at_once(expected, cores), self.out / "running"
        shutil.rmtree(running, ignore_errors=True)  # of a build that was killed
        (running / "progress").mkdir(parents=True)
        variables = {"GONLIB_PROGRESS": str(running / "progress")}  # gonlib.runs.progress writes there, in the kernels
        if workers > 1:
            variables["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(cores // workers))
        timings = Timings(self.profile, [notebook.name for notebook in expected], workers,
                          [self.out / "timings.json", self.root / "book" / "profiles" / "timings.json"])
        try:
            with progress_bar(timings, self.began, running / "progress"):
                for notebook, result in in_order(notebooks, workers, functools.partial(self._execute, variables)):
                    if notebook.name in self.began:
                        self._finished(notebook, result, timings)
        except BaseException:
            self.stopping.set()
            _end_kernels()
            raise
        finally:
            shutil.rmtree(running, ignore_errors=True)

    def _changed(self, notebook: Notebook) -> list[str]:
        return used.changes(notebook, about_executed(self.out / "notebooks" / notebook.path.name), self.root)

    def _execute(self, variables: dict[str, str], notebook: Notebook) -> str | None:
        if not self._changed(notebook):
            return None
        self.began[notebook.name] = time.monotonic()
        return execute(notebook, self.profile, self.root, self.out, self.stopping, variables)

    def _finished(self, notebook: Notebook, result: Any, timings: Timings) -> None:
        fault = _in_words(result) if isinstance(result, Exception) else result
        seconds = time.monotonic() - self.began[notebook.name]
        tqdm.write(f"{notebook.name}: {duration(seconds)}{'' if fault is None else ', FAILED'}")
        timings.finished(notebook.name, seconds, keep=fault is None)
        self.executed.append(notebook)
        if fault is not None:
            self.failed[notebook.name] = fault


def at_once(notebooks: list[Notebook], cores: int) -> int:
    """How many notebooks are executed at a time: one per core, but one in all where they train on a GPU."""
    on_gpu = any(str(notebook.values.get("device", "cpu")).startswith("cuda") for notebook in notebooks)
    return 1 if on_gpu else max(1, min(cores, len(notebooks), AT_ONCE))


def in_order(notebooks: list[Notebook], workers: int, work: Callable[[Notebook], Any]) -> Iterator[tuple[Notebook, Any]]:
    """Call `work(notebook)` for each, in threads, and give (notebook, its result) as they end.

    A notebook begins only when all those that it comes `after` have ended, so that it never holds a worker while it
    waits. An exception in `work` is its result. Stopped in the middle, nothing waits for the threads.

    Raises:
        UserError: If notebooks wait for each other.
    """
    waiting, running = list(notebooks), set()
    ended: queue.Queue = queue.Queue()

    def call(notebook):
        try:
            ended.put((notebook, work(notebook)))
        except BaseException as fault:
            ended.put((notebook, fault))

    while waiting or running:
        unfinished = {notebook.name for notebook in waiting} | running
        ready = [notebook for notebook in waiting if unfinished.isdisjoint(notebook.after)]
        for notebook in ready[: workers - len(running)]:
            waiting.remove(notebook)
            running.add(notebook.name)
            threading.Thread(target=call, args=(notebook,), daemon=True).start()
        if not running:
            raise UserError(f"the notebooks {' and '.join(sorted(unfinished))} come after each other: see `after` in their "
                            "metadata.")
        notebook, result = ended.get()
        running.remove(notebook.name)
        yield notebook, result


def execute(notebook: Notebook, profile: str, root: Path, out: Path, stopping: threading.Event,
            variables: dict[str, str]) -> str | None:
    """Execute one notebook into `out`/notebooks; None, or what went wrong in one sentence.

    The finished file replaces the one of the last execution only when it is complete; it carries in its metadata what
    `pages` needs to know of the execution.
    """
    import papermill

    folder = out / "running" / notebook.name
    folder.mkdir(parents=True)
    made = folder / notebook.path.name
    fault, cell = None, None
    try:
        papermill.execute_notebook(
            str(notebook.path), str(made), parameters=notebook.values, kernel_name="python3", language="python",
            cwd=str(root), progress_bar=False, kernel_manager_class=kernel.manager_class(folder, **variables))
    except papermill.PapermillExecutionError as error:
        fault, cell = _last_line(error.ename, error.evalue), error.cell_index
    except Exception as error:  # of papermill, nbclient or the kernel's start: the other notebooks go on
        fault = _in_words(error)
    if stopping.is_set() or (fault or "").startswith("KeyboardInterrupt"):
        return "stopped."
    try:
        done = json.loads(made.read_text(encoding="utf-8"))
        if cell is not None:
            fault = f"code cell {code_cell_number(done, cell)} failed with {fault}"
        about = {"profile": profile, "values": notebook.values, "fault": fault, "source": source_digest(notebook.path),
                 "used": used.record(folder / "reads", root)}
        save_executed(done, about, made)
        (out / "notebooks").mkdir(exist_ok=True)
        os.replace(made, out / "notebooks" / made.name)
    except (OSError, ValueError) as error:
        fault = fault or _in_words(error)
    return fault


def code_cell_number(page: dict, index: int) -> int:
    """Which code cell of the notebook that was executed its cell `index` is, counted from 1."""
    cells = without_error_notes(page)[: index + 1]
    return sum(cell["cell_type"] == "code" and "injected-parameters" not in cell["metadata"].get("tags", [])
               for cell in cells)


def _in_words(error: Exception) -> str:
    """What a fault outside the notebook's own code means, in one sentence."""
    from nbclient.exceptions import DeadKernelError

    if isinstance(error, DeadKernelError):
        return "the kernel died, most likely for want of memory."
    if isinstance(error, OSError):
        return f"it could not be written: {error.strerror or error} ({error.filename})."
    return _last_line(type(error).__name__, error)


def _last_line(kind: str, text: object) -> str:
    """The last line of an error, as Python would print it."""
    lines = str(text).strip().splitlines()
    return f"{kind}: {lines[-1]}" if lines else kind


def _end_kernels() -> None:
    """Kill this process's kernels, those too that are just starting; a run loses at most what its checkpoint lacks."""
    import psutil

    for _ in range(3):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                if "gonlib.book.kernel" in child.cmdline():
                    child.kill()
        time.sleep(0.1)
