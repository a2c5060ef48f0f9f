"""Stored curves as panels of five points, so that what is read off them is what the solver's dense output says.

Between two times at which something happens a curve is smooth. It is kept on panels of four equal intervals that
begin short and grow with the time since, because what a dose starts is fast at first and slow later. A panel is read
as the quartic through its points, as the compiled engine reads its own steps. Where something happens the curve has
two points: the value just before stands one rounding step earlier. Points that were chosen by hand are samples, and
are read by the usual rules for samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metabolism.types import Array

#: Width of the first panel after a change [h]; of later ones as a share of the time since, until they are as wide as
#: `LONG` [h] or `PART` of the run; after that again as a share. Carriers of cobalamin fill and empty within an hour, at
#: some time in the days after a dose: wider panels would miss the bend (tests hold numbers read off to 1e-4).
FIRST, SHARE, LONG, PART, LATE = 0.004, 0.25, 4.0, 0.01, 0.025


#: Mark of a time axis that consists of panels, kept in its attributes.
PANELS = {"points": "panels of five"}


#: Intervals per panel, and the weights of an integral over one (Boole's rule).
NODES = 4
_BOOLE = np.array([7, 32, 12, 32, 7]) / 90


#: Halvings that locate a crossing to rounding.
_HALVINGS = 52


def panel_times(start: float, changes: Sequence[float], end: float) -> Array:
    """Return the points of panels from `start` to `end` that begin anew at every change [h].

    One rounding step before every change inside the span there is a point for the value just before it.

    Examples
    --------
    >>> panel_times(0.0, [], 0.008)
    array([0.   , 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008])
    """
    edges = np.array(sorted({start, *(t for t in changes if start < t < end), end}))
    longest = max(FIRST, min(LONG, PART * (end - start)))
    shapes: dict[float, Array] = {}
    pieces = [np.nextafter(edges[1:-1], -np.inf), [end]]
    for begin, gap in zip(edges, np.diff(edges).tolist(), strict=False):
        if gap not in shapes:
            shapes[gap] = _offsets(gap, longest)
        pieces.append(begin + shapes[gap])
    return np.unique(np.concatenate(pieces))


#: Equal steps of a run whose clock is not known.
STEPS = 200


def plain_times(start: float, changes: Sequence[float], end: float) -> Array:
    """Return `STEPS` equal steps, and around every change the point just before it and its own.

    >>> plain_times(0.0, [0.25], 100.0)[[0, 1, 2, 3, -1]]
    array([  0.  ,   0.25,   0.25,   0.5 , 100.  ])
    """
    inner = np.array([t for t in changes if start < t < end])
    return np.unique(np.concatenate([np.linspace(start, end, STEPS + 1), inner, np.nextafter(inner, -np.inf)]))


def _offsets(gap: float, longest: float) -> Array:
    """Points of the panels of one stretch, without its end [h]."""
    knots = [0.0]
    while (left := gap - knots[-1]) > 0:
        width = max(min(max(FIRST, SHARE * knots[-1]), longest), LATE * knots[-1])
        # a rest too short for a panel of its own is shared between two
        knots.append(gap if left <= width else knots[-1] + (left / 2 if left < 2 * width else width))
    return np.concatenate([np.linspace(a, b, NODES, endpoint=False) for a, b in pairwise(knots)])


class Curve:
    """Curves over one time axis, read as panels where they are panels and as samples elsewhere.

    Parameters
    ----------
    times : ndarray, shape (times,)
    values : ndarray, shape (..., times)
    panels : bool
        Whether to look for panels: groups of four equal intervals.
    """

    def __init__(self, times: Array, values: Array, panels: bool) -> None:
        self.times, self.values = times, values
        first: NDArray[np.int64]
        self._single: NDArray[np.int64]
        first, self._single = _panels_of(times) if panels else (np.empty(0, np.int64), np.arange(len(times) - 1))
        self._first, self._width = first, times[first + NODES] - times[first]
        self._points = values[..., first[:, None] + np.arange(NODES + 1)]
        d1, d2, d3, d4 = (np.diff(self._points, n, axis=-1)[..., 0] for n in range(1, NODES + 1))
        # Newton's forward differences written in powers of 0 to 4
        self._powers: tuple[Array, ...] = (
            self._points[..., 0],
            d1 - d2 / 2 + d3 / 3 - d4 / 4,
            d2 / 2 - d3 / 2 + 11 / 24 * d4,
            d3 / 6 - d4 / 4,
            d4 / 24,
        )

    def _quartic(self, s: Array, derivative: int = 0) -> Array:
        powers = self._powers
        for _ in range(derivative):
            powers = tuple(n * c for n, c in enumerate(powers) if n)
        total = powers[-1]
        for c in reversed(powers[:-1]):
            total = total * s + c
        return np.asarray(total)

    def at(self, times: Array) -> Array:
        """Values at any times of the span [h], right after what happens then; between samples along a straight line."""
        place = np.clip(np.searchsorted(self.times, times, "right") - 1, 0, len(self.times) - 2)
        share = (times - self.times[place]) / (self.times[place + 1] - self.times[place])
        line = self.values[..., place] * (1 - share) + self.values[..., place + 1] * share
        if not len(self._first):
            return np.asarray(line)
        panel = np.maximum(np.searchsorted(self._first, place, "right") - 1, 0)
        s = (times - self.times[self._first[panel]]) / self._width[panel] * NODES
        total = np.zeros_like(line)
        for c in reversed(self._powers):
            total = total * s + c[..., panel]
        return np.where((place >= self._first[panel]) & (place < self._first[panel] + NODES), total, line)

    def between(self, begin: float, end: float) -> Curve:
        """Return the curves over a part of the span [h]; at its end stands the value just before what happens then."""
        inside = (self.times >= begin) & (self.times < end)
        times = np.concatenate([[] if begin in self.times else [begin], self.times[inside], [end]])
        last = self.at(np.array([np.nextafter(end, -np.inf)]))
        values = np.concatenate([self.at(times[:-1]), last], axis=-1)
        return Curve(times, values, bool(len(self._first)))

    def mirrored(self) -> Curve:
        """Return the curves with their sign changed."""
        return Curve(self.times, -self.values, bool(len(self._first)))

    def area(self) -> Array:
        """Area under each curve; between samples linear up and logarithmic down [unit of the curve x h]."""
        pieces = _pieces(self.times, self.values)[..., self._single].sum(axis=-1)
        return np.asarray(pieces + ((self._points @ _BOOLE) * self._width).sum(axis=-1))

    def top(self) -> tuple[Array, Array]:
        """Largest value of each curve, and its time [h]."""
        place = self.values.argmax(axis=-1)
        best, when = np.take_along_axis(self.values, place[..., None], -1)[..., 0], self.times[place]
        if len(self._first):
            start = self._points.argmax(axis=-1).astype(float)
            low, high, s = np.maximum(start - 1, 0), np.minimum(start + 1, NODES), start
            for _ in range(3):
                slope, bend = self._quartic(s, 1), self._quartic(s, 2)
                s = np.where(bend < 0, np.clip(s - slope / np.where(bend < 0, bend, -1.0), low, high), s)
            inner = self._quartic(s)
            panel = inner.argmax(axis=-1)[..., None]
            other = np.take_along_axis(inner, panel, -1)[..., 0]
            share = np.take_along_axis(s, panel, -1)[..., 0] / NODES
            there = self.times[self._first[panel[..., 0]]] + share * self._width[panel[..., 0]]
            best, when = np.where(other > best, other, best), np.where(other > best, there, when)
        return best, when

    def above(self, level: float) -> Array:
        """Time each curve spends above a level [h]; between samples along a straight line."""
        a, b = self.values[..., self._single] - level, self.values[..., self._single + 1] - level
        crossing = (a > 0) != (b > 0)
        share = np.where(crossing, np.maximum(a, b) / np.where(crossing, np.abs(b - a), 1.0), a > 0)
        total = (share * np.diff(self.times)[self._single]).sum(axis=-1)
        for n in range(NODES):
            left, right = self._points[..., n] > level, self._points[..., n + 1] > level
            low, high = np.zeros(left.shape), np.ones(left.shape)
            for _ in range(_HALVINGS if (left != right).any() else 0):
                middle = (low + high) / 2
                same = (self._quartic(middle + n) > level) == left
                low, high = np.where(same, middle, low), np.where(same, high, middle)
            share = np.where(left != right, np.where(left, low, 1 - low), left)
            total = total + (share * self._width / NODES).sum(axis=-1)
        return np.asarray(total)


def _panels_of(times: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first points of the panels, and of the intervals that belong to none."""
    widths = np.diff(times)
    fours = np.lib.stride_tricks.sliding_window_view(widths, NODES) if len(widths) >= NODES else np.empty((0, NODES))
    # a jump is no interval, and a part of a panel that was cut off is none
    good = (np.ptp(fours, axis=1) <= 1e-6 * fours[:, 0]) & (fours[:, 0] > 1e-12 * np.abs(times[: len(fours)]))
    whole: list[int] = []
    single: list[int] = []
    i = 0
    while i < len(widths):
        panel = i < len(good) and bool(good[i])
        (whole if panel else single).append(i)
        i += NODES if panel else 1
    return np.array(whole, dtype=np.int64), np.array(single, dtype=np.int64)


def _pieces(times: Array, values: Array) -> Array:
    """Area of each interval: exponential between falling positive points, otherwise linear."""
    a, b, width = values[..., :-1], values[..., 1:], np.diff(times)
    falls = (b < a) & (b > 0)
    ratio = np.where(falls, a / np.where(falls, b, 1.0), np.e)
    # nearly equal neighbours: the logarithmic rule loses digits and equals the linear one
    log = falls & (ratio > 1 + 1e-6)
    return np.asarray(np.where(log, (a - b) / np.log(np.where(log, ratio, np.e)), (a + b) / 2) * width)


def area_of(times: Array, values: Array) -> Array:
    """Linear-up log-down area of samples: shapes (times,), (..., times) -> (...) [unit of the values x h]."""
    return np.asarray(_pieces(times, values).sum(axis=-1))
