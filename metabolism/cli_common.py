"""What the commands share: the options that choose a model, and a progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
        try:
            number: float | str = float(value)
        except ValueError:
            number = value
        model = model.with_values({key.strip(): number})
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
