"""``python -m metabolism`` and the command ``metabolism``."""

import sys
from pathlib import Path

# python -m puts the current folder first, and a downloaded folder may hold a numpy.py; the package's own may stay
if Path(sys.path[0] or ".").resolve() == Path.cwd() != Path(__file__).resolve().parents[1]:
    del sys.path[0]


def start() -> int:
    """Run the command line, and answer an interrupt in one line from its first import on; return the exit code."""
    try:
        from metabolism.cli import main

        return main()
    except KeyboardInterrupt:
        print("metabolism: interrupted; nothing half-written was kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(start())
