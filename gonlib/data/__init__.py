"""Images as uint8 tensors, and what is known of the sets they come from: built in, official, or your own folder.

One idea: a data set is one line of `registry.DATASETS`; `load` gives its images at the size asked for. It may import
`gonlib.errors`, `gonlib.files` and `gonlib.method`.
"""

from .datasets import Dataset, load
from .images import as_bytes, as_float

__all__ = ["Dataset", "as_bytes", "as_float", "load"]
