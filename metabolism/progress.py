"""Progress of long work: a bar with the time left in a terminal or a notebook, a line now and then in a log file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, TextIO

#: Called with the number of steps done since its last call.
Tick = Callable[[int], None]

#: ``progress(label, total)`` begins a piece of work and returns its `Tick`.
Progress = Callable[[str, int], Tick]

#: Shortest time between two lines of a log file [s].
_LOG_EVERY = 30.0


@contextmanager
def show(stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """Show pieces of work on stderr, or a stream, until the block ends, however it ends.

    Parameters
    ----------
    stream : text stream, optional
    clock : callable
        Seconds, for tests.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(file=stream or sys.stderr)
    if not console.is_terminal and not (console.is_jupyter and find_spec("ipywidgets")):
        yield partial(_lines, console, clock)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, get_time=clock, redirect_stdout=False) as bars:

        def begin(label: str, total: int) -> Tick:
            return partial(bars.advance, bars.add_task(label, total=total))

        yield begin


def _lines(console: Any, clock: Callable[[], float], label: str, total: int) -> Tick:
    """Write a line at the first step, one every half minute, and one at the end."""
    begun, done, last = clock(), 0, -_LOG_EVERY

    def tick(steps: int) -> None:
        nonlocal done, last
        now, done = clock() - begun, done + steps
        if done >= total or now - last >= _LOG_EVERY:
            last = now
            left = f", {(total - done) * now / done:.0f} s left" if 0 < done < total else ""
            console.file.write(f"{label}: {done:,} of {total:,}{left}\n")
            console.file.flush()

    return tick


def unseen(steps: int) -> None:
    """Take no notice of steps."""


def silent(label: str, total: int) -> Tick:
    """Say nothing."""
    return unseen
