"""Progress of long work in a terminal, a notebook or a log file, with an estimate that says how sure it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from shutil import get_terminal_size
from typing import TextIO

#: ``progress(label, total)`` returns a function that is called with the number of steps done since its last call.
Progress = Callable[[str, int], Callable[[int], None]]


#: Shortest time between two lines of a log file [s].
_LOG_EVERY = 30.0


class Pace:
    """How fast work goes, and when it will end.

    The time before the first report holds start-up costs (compiling, starting processes) and is left out of the
    rate as soon as there is a second report.

    Parameters
    ----------
    total : int
        Steps to do.
    now : float
        Clock at the start [s].
    """

    def __init__(self, total: int, now: float) -> None:
        self.total, self.done = total, 0
        self._begin, self._marks = now, [(now, 0)]

    def tick(self, steps: int, now: float) -> None:
        """Note that more steps are done."""
        self.done += steps
        self._marks.append((now, self.done))

    @property
    def rate(self) -> float:
        """Steps per second; 0 before anything is done."""
        (begin, first), (end, last) = self._marks[1 if len(self._marks) > 2 else 0], self._marks[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    def left(self) -> tuple[float, float, float] | None:
        """Return the time left and its likely range [s], or None before the second report.

        The range is two standard errors of the time per step between reports.
        """
        if len(self._marks) < 3 or self.rate == 0:
            return None
        steps = self.total - self.done
        middle = steps / self.rate
        pairs = list(zip(self._marks[1:], self._marks[2:], strict=False))
        costs = [((b[0] - a[0]) / (b[1] - a[1]), b[1] - a[1]) for a, b in pairs if b[1] > a[1]]
        if len(costs) < 2:
            return middle, middle / 2, middle * 2
        weight = sum(n for _, n in costs)
        mean = sum(c * n for c, n in costs) / weight
        variance = sum(n * (c - mean) ** 2 for c, n in costs) / weight / (len(costs) - 1)
        spread = 2 * variance**0.5 * steps
        return middle, max(middle - spread, 0.0), middle + spread


def duration(seconds: float) -> str:
    """Write a time span for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def show(
    label: str, total: int, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """Report progress on stderr: one line rewritten in place, or new lines now and then in a log file.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        Steps to do.
    stream : text stream, optional
        Where to write.
    clock : callable
        Seconds, for tests.
    """
    out = stream or sys.stderr
    in_place = out.isatty() or "ipykernel" in sys.modules
    # a line that wraps could not be rewritten in place
    width = max(min(90, get_terminal_size().columns - 24), 20) if out.isatty() else 90
    pace, shown = Pace(total, clock()), [-1e9]

    def draw() -> None:
        finished = pace.done >= total
        share = pace.done / max(total, 1)
        text = f"{label}: {pace.done:,} of {total:,} ({share:.0%})"
        if pace.done:
            text += f", {pace.rate:,.0f}/s" if pace.rate >= 1 else f", {pace.rate * 60:,.0f}/min"
        left = pace.left()
        if left and not finished:
            middle, low, high = left
            wide = high - low > 0.2 * middle
            text += f", {duration(middle)} left" + (f" ({duration(low)} to {duration(high)})" if wide else "")
        if in_place:
            bar = "#" * round(20 * share)
            out.write(f"\r[{bar:<20}] {text[:width]:<{width}}" + ("\n" if finished else ""))
        else:
            out.write(text + "\n")
        out.flush()

    def tick(steps: int) -> None:
        now = clock()
        pace.tick(steps, now)
        if pace.done >= total or now - shown[0] >= (0.2 if in_place else _LOG_EVERY):
            shown[0] = now
            draw()

    if in_place:
        # the first step may take long
        draw()
    return tick


def silent(label: str, total: int) -> Callable[[int], None]:
    """Say nothing."""
    return lambda steps: None
