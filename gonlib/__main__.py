"""python -m gonlib: see gonlib.cli."""

import sys

from .cli import main

sys.exit(main())
