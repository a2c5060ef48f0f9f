"""``python -m metabolism``: the command line."""

import sys
from pathlib import Path

# python -m puts the current folder first, and a downloaded folder may hold a numpy.py; the package's own may stay
if Path(sys.path[0] or ".").resolve() == Path.cwd() != Path(__file__).resolve().parents[1]:
    del sys.path[0]

from metabolism.cli import main

sys.exit(main())
