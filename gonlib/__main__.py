"""python -m gonlib: see gonlib.cli."""

import sys

try:
    from .cli import main

    code = main()
except KeyboardInterrupt:  # in the first moments, or while it is ending
    code = 130
sys.exit(code)
