"""The kernel that executes a page: this interpreter, with nothing of the reader's own settings in it.

`manager_class` is the side of the build, `main` (python -m gonlib.book.kernel) that of the kernel itself.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

PACKAGE = Path(__file__).resolve().parents[1]
# The reader's: they would change what a page shows, or keep a kernel from starting.
NOT_HANDED_ON = ("MPLBACKEND", "MATPLOTLIBRC", "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONIOENCODING", "PYTHONHOME",
                 "IPYTHONDIR", "JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_DATA_DIR")


def environment(**more: str) -> dict[str, str]:
    """The environment of the processes that make the book: the reader's without what would show in the pages."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
    return kept | {"PYTHONUTF8": "1", "PYTHONPATH": str(PACKAGE.parent)} | more


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
                            MATPLOTLIBRC=str(defaults), MPLBACKEND="module://matplotlib_inline.backend_inline", **more)
    # -P: gonlib is the one that builds the book, not what happens to lie in the working folder
    command = [sys.executable, "-P", "-m", "gonlib.book.kernel", "-f", "{connection_file}",
               "--HistoryManager.enabled=False", "--log-level=CRITICAL"]

    class Manager(AsyncKernelManager):
        connection_file = Unicode(str(folder / "connection.json"))
        kernel_spec = KernelSpec(argv=command, display_name="Python 3", language="python")

        def start_kernel(self, **options):
            return super().start_kernel(**options | {"env": variables})

    return Manager


def main() -> None:
    """Run the kernel until the build ends it."""
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


if __name__ == "__main__":
    main()
