"""Output for scripts: ``--quiet`` says nothing but errors, ``--json`` says everything once, as JSON.

A command leaves what it found as ``arguments.payload``; its printed text is then for people alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any


def options(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--json`` to a subcommand."""
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors; the exit code says the rest")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="print JSON in place of text, or write it to FILE"
    )


def carry_out(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a subcommand in the mode asked for and return its exit code."""
    from metabolism.result import write_text

    quiet, target = getattr(arguments, "quiet", False), getattr(arguments, "json", None)
    if not quiet and target is None:
        return command(arguments)
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere if quiet or target == "-" else sys.stdout),
    ):
        code = command(arguments)
    if target is None:
        return code
    text = json.dumps(plain(arguments.payload), indent=1, ensure_ascii=False, allow_nan=False)
    if target == "-":
        print(text)
    else:
        path = write_text(target, text + "\n")
        if not quiet:
            print(f"JSON written to {path}")
    return code


def plain(value: Any) -> Any:
    """Return a value with numpy types as Python ones and numbers that are not finite as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
