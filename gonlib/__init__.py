"""gonlib: Gradient Origin Networks, a decoder without an encoder. See the book's chapter 2 for the idea.

The names below are loaded when they are first used, so that the command line starts without torch.
"""

import getpass
import importlib
import os
import tempfile
from pathlib import Path

__version__ = "0.1.0"
_HOMES = {
    "MODELS": "method.models", "Model": "method.model", "build": "method.models", "load": "data", "UserError": "errors",
    "Config": "training.config", "evaluate": "training.evaluation", "load_model": "training.saved", "train": "training.loop",
}
__all__ = sorted(_HOMES)


def _settle():
    """Give what PyTorch and Matplotlib ask for when they are imported, where a user has no name or no home."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid-{os.getuid()}"
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(Path(tempfile.gettempdir()) / f"gonlib-home-of-{os.getuid()}")
    if not os.access(Path.home(), os.W_OK):  # Matplotlib would say in each page that it cannot keep its fonts there
        os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / f"gonlib-fonts-of-{os.getuid()}"))


_settle()


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
