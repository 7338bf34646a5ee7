"""gonlib: Gradient Origin Networks, a decoder without an encoder. See the book's chapter 2 for the idea."""

from .config import Config
from .errors import UserError
from .models import MODELS, Model, build
from .training import evaluate, train

__all__ = ["MODELS", "Config", "Model", "UserError", "build", "evaluate", "train"]
__version__ = "0.1.0"
