"""What the commands share: the options that choose a model, and a progress bar."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from metabolism.errors import UsageError
from metabolism.progress import Progress, show, silent

if TYPE_CHECKING:
    from metabolism.model import Model


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--set`` and ``--param``."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME", dest="sets", help="apply a parameter set; may be repeated"
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="ID=VALUE",
        help="change one value, with or without unit; may be repeated",
    )


def chosen_model(arguments: argparse.Namespace) -> Model:
    """Return the model that ``--set`` and ``--param`` describe.

    Raises
    ------
    UsageError, UnknownName, InvalidValue, UnitMismatch
    """
    from metabolism.model import load

    model = load()
    for name in arguments.sets:
        model = model.with_set(name)
    for text in arguments.param:
        key, separator, value = text.partition("=")
        if not separator or not value.strip():
            raise UsageError(f"--param '{text}' must read ID=VALUE, e.g. --param GFR_rel=0.5.")
        model = model.with_values({key.strip(): value.strip()})
    return model


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a progress bar on stderr, silent when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    try:
        yield show
    finally:
        # a bar that did not reach its end leaves a line without one
        sys.stderr.write("\r\x1b[K")


def options(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--json`` to a subcommand."""
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors; the exit code says the rest")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="print JSON in place of text, or write it to FILE"
    )


def carry_out(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a subcommand in the mode asked for and return its exit code."""
    from metabolism.files import write_text

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
