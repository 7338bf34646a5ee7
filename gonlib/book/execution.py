"""Notebooks executed by papermill, several at a time on a CPU: its small models gain nothing from a second thread."""

import contextlib
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed, wait

from tqdm import tqdm

from . import pages

AT_ONCE = 4  # at most: each kernel needs about a gigabyte of memory


def execute_all(notebooks, profile, root, out):
    """Execute the notebooks; name -> what went wrong, in one sentence, for those that failed.

    They start in the book's order, each when those that it comes `after` are done. Interrupted, the kernels end and the
    notebooks that were finished are kept.
    """
    import papermill  # noqa: F401 (here: it takes a while, and its first import must not happen in two threads)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = at_once(notebooks, cores)
    failed, began, futures = {}, {}, {}
    stopping = threading.Event()

    def work(notebook):
        wait([futures[name] for name in notebook.after if name in futures])
        began[notebook.name] = time.monotonic()
        return execute(notebook, profile, root, out, stopping)

    environment = {"JUPYTER_PREFER_ENV_PATH": "1",  # this interpreter's kernel, not a namesake in the home folder
                   "GONLIB_PROGRESS": str(out / "progress")}  # gonlib.progress writes there, in the kernels
    if workers > 1:
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(cores // workers))
    timings = Timings(profile, notebooks, workers, [out / "timings.json", root / "book" / "profiles" / "timings.json"])
    with _environment(environment), contextlib.chdir(root), _bar(timings, began, out / "progress"), \
            ThreadPoolExecutor(workers) as pool:
        try:
            for notebook in notebooks:  # in order, so that what a notebook waits for has always begun
                futures[notebook.name] = pool.submit(work, notebook)
            names = {future: name for name, future in futures.items()}
            for future in as_completed(names):
                name, fault = names[future], future.result()
                seconds = time.monotonic() - began[name]
                tqdm.write(f"{name}: {duration(seconds)}{'' if fault is None else ', FAILED'}")
                timings.finished(name, seconds, keep=fault is None)
                if fault is not None:
                    failed[name] = fault
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            _end_kernels(futures.values())
            raise
    return failed


def at_once(notebooks, cores):
    """How many notebooks are executed at a time: one per core, but one in all where they train on a GPU."""
    on_gpu = any(str(notebook.values.get("device", "cpu")).startswith("cuda") for notebook in notebooks)
    return 1 if on_gpu else max(1, min(cores, len(notebooks), AT_ONCE))


def execute(notebook, profile, root, out, stopping):
    """Execute one notebook into `out`/notebooks; None, or what went wrong in one sentence.

    The kernel is this interpreter's, working in the repository's root. The finished file replaces the one of the last
    execution only when it is complete; it carries in its metadata what `pages` needs to know of the execution.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    target = out / "notebooks" / notebook.path.name
    running = out / "notebooks" / "running" / notebook.path.name
    running.parent.mkdir(parents=True, exist_ok=True)
    running.unlink(missing_ok=True)
    fault, cell = None, None
    try:
        papermill.execute_notebook(str(notebook.path), str(running), parameters=notebook.values, kernel_name="python3",
                                   language="python", cwd=str(root), progress_bar=False,
                                   extra_arguments=["--log-level=CRITICAL"])
    except papermill.PapermillExecutionError as error:
        fault, cell = _last_line(error.ename, error.evalue), error.cell_index
    except DeadKernelError:
        fault = "the kernel died, most likely for want of memory."
    if stopping.is_set():
        return fault
    done = json.loads(running.read_text())
    if cell is not None:
        fault = f"code cell {pages.code_cell_number(done, cell)} failed with {fault}"
    done["metadata"]["gonlib"] = {"profile": profile, "values": notebook.values, "fault": fault,
                                  "source": pages.source_digest(notebook.path)}
    running.write_text(json.dumps(done, indent=1))
    os.replace(running, target)
    return fault


def _last_line(kind, text):
    """The last line of an error, as Python would print it."""
    lines = str(text).strip().splitlines()
    return f"{kind}: {lines[-1]}" if lines else kind


def _end_kernels(futures):
    """Kill this process's kernels until nothing is executed any more; a run loses at most what its checkpoint lacks."""
    import psutil

    while not all(future.done() for future in futures):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        time.sleep(0.2)


@contextlib.contextmanager
def _environment(values):
    """Environment variables, set for a while: kernels inherit them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _bar(timings, began, folder):
    """A bar that shows which notebooks and which runs are going on, and the time left."""
    # tqdm shows no bar where there is no terminal; the line per notebook is then enough.
    bar = tqdm(total=100, bar_format="{desc} {percentage:3.0f}% |{bar:20}| {elapsed}{postfix}", dynamic_ncols=True,
               disable=None, leave=False)
    stop = threading.Event()

    def show():
        while not stop.wait(0.3):
            running = {name: time.monotonic() - start for name, start in dict(began).items() if name not in timings.done}
            left = timings.left(running)
            bar.set_description_str(f"{len(timings.done)}/{len(timings.expected)} notebooks", refresh=False)
            known = f"about {duration(left)} left" if left is not None else "time left unknown"
            bar.set_postfix_str("; ".join([known, ", ".join(running), *_reports(folder)]), refresh=False)
            bar.n = timings.percent(running)
            bar.refresh()

    folder.mkdir(exist_ok=True)
    watcher = threading.Thread(target=show, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        bar.close()
        for file in folder.glob("*"):
            file.unlink()
        folder.rmdir()


def _reports(folder):
    """What the kernels' runs report: "digits, seed 0 45%"."""
    recent = [file for file in folder.glob("*.json") if time.time() - _changed(file) < 3]
    return [f"{report['run']} {report['fraction']:.0%}" for report in map(_read_json, recent) if report]


def _changed(file):
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


class Timings:
    """How long each notebook took the last time, kept in the first of `files`; read from the first that knows it."""

    def __init__(self, profile, notebooks, workers, files):
        self.profile, self.workers, self.file = profile, workers, files[0]
        known = {}
        for file in reversed(files):
            known |= (_read_json(file) or {}).get(profile, {})
        self.expected = {notebook.name: known.get(notebook.name) for notebook in notebooks}
        self.done = set()

    def left(self, running):
        """Seconds left in all, given those that running notebooks have taken; None if not known."""
        coming = {name: seconds for name, seconds in self.expected.items() if name not in self.done}
        if None in coming.values():
            return None
        for name, spent in running.items():
            coming[name] = max(coming[name] - spent, spent / 10)  # longer than the last time: still some to go
        return self._shared(coming.values())

    def _shared(self, seconds):
        return max(sum(seconds) / self.workers, max(seconds, default=0.0))

    def percent(self, running):
        """How much of the work is done."""
        left = self.left(running)
        if left is None:
            return 100 * len(self.done) / len(self.expected)
        return 100 * (1 - min(left / max(self._shared(self.expected.values()), 1e-9), 1))

    def finished(self, name, seconds, keep):
        """Take note of a notebook's time; to `keep` it for the next build, too."""
        self.expected[name] = seconds
        self.done.add(name)
        if keep:
            everything = _read_json(self.file) or {}
            everything.setdefault(self.profile, {})[name] = round(seconds, 1)
            self.file.write_text(json.dumps(everything, indent=1) + "\n")


def _read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # not there, or half-written: it only guides a progress bar
        return None


def duration(seconds):
    """12 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
