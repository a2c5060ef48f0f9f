"""Stored curves as panels of five points, so that what is read off them is what the solver's dense output says.

Between two times at which something happens a curve is smooth. It is kept on panels of four equal intervals that
begin short and grow with the time since, because what a dose starts is fast at first and slow later. A panel is read
as the quartic through its points, as the compiled engine reads its own steps. Where something happens the curve has
two points: the value just before stands one rounding step earlier.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metabolism.types import Array

#: Width of the first panel after a change [h]; of later ones as a share of the time since the change, until they are as
#: wide as `LONG` [h]; and of those after that again as a share. Cobalamin carriers run out within an hour, at some time
#: in the days after a dose: wider panels would miss the bend.
FIRST, SHARE, LONG, LATE = 0.004, 0.5, 4.0, 0.05


#: Intervals per panel, and the weights of an integral over one (Boole's rule).
NODES = 4
_BOOLE = np.array([7, 32, 12, 32, 7]) / 90


def panel_times(start: float, changes: Sequence[float], end: float) -> Array:
    """Return the points of panels from `start` to `end` that begin anew at every change [h]."""
    edges = np.array(sorted({start, *(t for t in changes if start < t < end), end}))
    shapes: dict[float, Array] = {}
    pieces = []
    for begin, gap in zip(edges, np.diff(edges).tolist(), strict=False):
        if gap not in shapes:
            shapes[gap] = _offsets(gap)
        pieces.append(begin + shapes[gap])
    return np.append(np.concatenate(pieces), end)


def _offsets(gap: float) -> Array:
    """Points of the panels of one stretch, without its end [h]."""
    knots = [0.0]
    while (left := gap - knots[-1]) > 0:
        width = max(min(max(FIRST, SHARE * knots[-1]), LONG), LATE * knots[-1])
        # a rest too short for a panel of its own is shared between two
        knots.append(gap if left <= width else knots[-1] + (left / 2 if left < 2 * width else width))
    return np.concatenate([np.linspace(a, b, NODES, endpoint=False) for a, b in zip(knots, knots[1:], strict=False)])


def panels_of(times: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first points of the panels, and of the intervals that belong to none."""
    widths = np.diff(times)
    whole, single, i = [], [], 0
    tidy = widths > 1e-9 * np.maximum(1.0, np.abs(times[1:]))
    while i < len(widths):
        four = widths[i : i + NODES]
        if len(four) == NODES and tidy[i : i + NODES].all() and np.ptp(four) <= 1e-6 * four[0]:
            whole.append(i)
            i += NODES
        else:
            single.append(i)
            i += 1
    return np.array(whole, dtype=np.int64), np.array(single, dtype=np.int64)


class Quartics:
    """The panels of some curves as polynomials of s from 0 to 4.

    Parameters
    ----------
    times : ndarray, shape (times,)
    curves : ndarray, shape (..., times)
    """

    def __init__(self, times: Array, curves: Array) -> None:
        self.first, self.single = panels_of(times)
        self.width = times[self.first + NODES] - times[self.first]
        q = self.points = curves[..., self.first[:, None] + np.arange(NODES + 1)]
        d1, d2, d3, d4 = (np.diff(q, n, axis=-1)[..., 0] for n in range(1, NODES + 1))
        # Newton's forward differences written in powers
        self._powers = (
            q[..., 0],
            d1 - d2 / 2 + d3 / 3 - d4 / 4,
            d2 / 2 - d3 / 2 + 11 / 24 * d4,
            d3 / 6 - d4 / 4,
            d4 / 24,
        )

    def value(self, s: Array, derivative: int = 0) -> Array:
        """Value or derivative at 0 <= s <= 4 of each panel."""
        powers = self._powers
        for _ in range(derivative):
            powers = tuple(n * c for n, c in enumerate(powers) if n)
        total = powers[-1]
        for c in reversed(powers[:-1]):
            total = total * s + c
        return np.asarray(total)

    def area(self) -> Array:
        """Integral over each panel."""
        return np.asarray((self.points @ _BOOLE) * self.width)

    def top(self) -> tuple[Array, Array]:
        """Largest value of each panel, and where it lies: 0 to 4."""
        start = self.points.argmax(axis=-1).astype(float)
        low, high, s = np.maximum(start - 1, 0), np.minimum(start + 1, NODES), start
        for _ in range(3):
            slope, bend = self.value(s, 1), self.value(s, 2)
            curved = bend < 0
            s = np.where(curved, np.clip(s - slope / np.where(curved, bend, -1.0), low, high), s)
        best, other = self.points.max(axis=-1), self.value(s)
        return np.maximum(best, other), np.where(other > best, s, start)

    def above(self, level: float) -> Array:
        """Time each panel spends above a level."""
        total = np.zeros(self.points.shape[:-1])
        for n in range(NODES):
            left, right = self.points[..., n] > level, self.points[..., n + 1] > level
            low, high = np.zeros(total.shape), np.ones(total.shape)
            for _ in range(52 if (left != right).any() else 0):
                middle = (low + high) / 2
                same = (self.value(middle + n) > level) == left
                low, high = np.where(same, middle, low), np.where(same, high, middle)
            total += np.where(left != right, np.where(left, low, 1 - low), left)
        return np.asarray(total * self.width / NODES)
