"""The kernel that executes a page: this interpreter, with nothing of the reader's own settings in it.

`manager_class` is the side of the build, `main` (python -m gonlib.book.kernel) that of the kernel itself, which notes what
the page reads.
"""

import importlib.util
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

PACKAGE = Path(__file__).resolve().parents[1]
RUN = re.compile("[0-9a-f]{16}")  # the name of a run's folder
# What changes with the run's metrics. Its table of other measurements grows beside them: the library says who asks for it.
OF_A_RUN = re.compile(r"(config|provenance)\.json|(history|measured)\.csv|(weights|interim|checkpoint).*")
# The reader's: they would change what a page shows, or keep a kernel from starting.
NOT_HANDED_ON = ("MPLBACKEND", "MATPLOTLIBRC", "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONIOENCODING", "PYTHONHOME",
                 "PYTHONPYCACHEPREFIX", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONDEVMODE", "PYTHONVERBOSE",
                 "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC", "IPYTHONDIR", "JUPYTER_PATH", "JUPYTER_CONFIG_DIR",
                 "JUPYTER_CONFIG_PATH", "JUPYTER_DATA_DIR")


def environment(**more: str) -> dict[str, str]:
    """The environment of the processes that make the book: the reader's without what would show in the pages."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
    # an empty DOCUTILSCONFIG: nor does Sphinx read ~/.docutils
    return kept | {"PYTHONUTF8": "1", "DOCUTILSCONFIG": "", "PYTHONPATH": str(PACKAGE.parent)} | more


def manager_class(folder: Path, **more: str) -> "type[AsyncKernelManager]":
    """The class of kernel managers whose kernel is this interpreter, keeps its files in `folder` and runs this gonlib.

    Args:
        folder: An existing folder for this kernel alone.
        more: Further environment variables of the kernel.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import Unicode

    matplotlib = importlib.util.find_spec("matplotlib")
    defaults = Path(matplotlib.origin).parent / "mpl-data" / "matplotlibrc" if matplotlib and matplotlib.origin else ""
    variables = environment(IPYTHONDIR=str(folder / "ipython"), JUPYTER_RUNTIME_DIR=str(folder),
                            MATPLOTLIBRC=str(defaults), MPLBACKEND="module://matplotlib_inline.backend_inline",
                            GONLIB_READS=str(folder / "reads"), **more)
    # -P: gonlib is the one that builds the book, not what happens to lie in the working folder
    command = [sys.executable, "-P", "-m", "gonlib.book.kernel", "-f", "{connection_file}",
               "--HistoryManager.enabled=False", "--log-level=CRITICAL"]

    class Manager(AsyncKernelManager):
        connection_file = Unicode(str(folder / "connection.json"))
        kernel_spec = KernelSpec(argv=command, display_name="Python 3", language="python")

        def start_kernel(self, **options):
            return super().start_kernel(**options | {"env": variables})

    return Manager


def note_reads(path: str) -> None:
    """From now on, write to the file `path` what this process reads: a line of JSON, [path, size, time, asked], each.

    That is each file that is opened to be read, gonlib's own when they are imported, and what the library asks for, there or
    not: it says so by `sys.audit("gonlib.look", path)` for a run and for a folder of images.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    package, passed = str(PACKAGE), (sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev")
    noted: dict[str, list] = {}

    def hook(event: str, arguments: tuple) -> None:
        if event == "gonlib.look":
            name = str(arguments[0])
        elif event == "open" and isinstance(arguments[0], str) and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            name = arguments[0]
        else:
            return
        name = os.path.abspath(name)
        if name.startswith(package) and name.endswith(".pyc"):
            name = importlib.util.source_from_cache(name)
        if name.startswith(passed) and not name.startswith(package):
            return
        asked = event == "gonlib.look"
        name = standing_for(name, asked)
        seen = [name, *stat(name), asked]
        if noted.get(name) != seen:
            noted[name] = seen
            os.write(file, (json.dumps(seen) + "\n").encode())

    sys.addaudithook(hook)


def standing_for(path: str, asked: bool) -> str:
    """The file whose change says that `path` has changed: of a run, and of its own files if only opened, its metrics."""
    folder, name = os.path.split(path)
    if RUN.fullmatch(name):
        return os.path.join(path, "metrics.json")
    if not asked and OF_A_RUN.fullmatch(name) and RUN.fullmatch(os.path.basename(folder)):
        return os.path.join(folder, "metrics.json")
    return path


def stat(path: str) -> tuple[int, int] | tuple[None, None]:
    """Size and time of a file or folder; None for both where there is nothing."""
    try:
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns
    except (OSError, ValueError):
        return None, None


def main() -> None:
    """Run the kernel until the build ends it; Ctrl-C is the build's, and changes nothing in a page that goes on."""
    if hasattr(signal, "pthread_sigmask"):  # Windows lacks it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    note_reads(os.environ["GONLIB_READS"])
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


if __name__ == "__main__":
    main()
