"""``python -m metabolism``: the command line."""

import sys

from metabolism.cli import main

sys.exit(main())
