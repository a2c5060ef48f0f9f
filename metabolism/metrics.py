"""Metrics of a study row: one number per patient out of the curves of its arms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from metabolism.endpoints import area_of, half_life_of, terminal_slope
from metabolism.engines import Array


@dataclass(frozen=True, eq=False)
class Reading:
    """One arm as a metric sees it.

    Attributes
    ----------
    baseline : ndarray, shape (patients,)
        The observable just before time 0 [row unit].
    values : ndarray, shape (patients, readings)
        At the reading times, just before a dose at the same time [row unit].
    times, curve : ndarray, shape (times,), (patients, times)
        Over the reading window, just after doses [h], [row unit].
    """

    baseline: Array
    values: Array
    times: Array
    curve: Array


@dataclass(frozen=True)
class Metric:
    """How a number is computed, and what it needs.

    Attributes
    ----------
    compute : callable
        From the readings of the arms to shape (patients, readings).
    needs : {"times", "window"}
        Reading times, or a window ``a to b``.
    arms : int
        How many arms the metric compares; 0 for two or more.
    unit : str
        Unit of the result in terms of the observable: ``""`` the row's unit, else this unit.
    """

    compute: Callable[[list[Reading]], Array]
    needs: str
    arms: int
    unit: str
    says: str


def _increment(reading: Reading) -> Array:
    return np.asarray(reading.curve - reading.baseline[:, None])


def _time_of_peak(arms: list[Reading]) -> Array:
    """Vertex of the parabola through the largest value and its neighbours; the end of the window if it lies there."""
    times, curve = arms[0].times, arms[0].curve
    top = curve.argmax(axis=1)
    inner = np.clip(top, 1, len(times) - 2)
    t, y = times[inner[:, None] + [-1, 0, 1]], np.take_along_axis(curve, inner[:, None] + [-1, 0, 1], axis=1)
    rise, fall = (np.diff(y, axis=1) / np.diff(t, axis=1)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        vertex = (t[:, 0] + t[:, 1]) / 2 + rise * (t[:, 2] - t[:, 0]) / 2 / (rise - fall)
    return np.asarray(np.where((top == inner) & (rise > fall), vertex, times[top]))[:, None]


def _half_life(arms: list[Reading]) -> Array:
    found = half_life_of(arms[0].times, _increment(arms[0]))
    return np.asarray(np.where(found > 0, found, np.nan))[:, None]


def _remaining(arms: list[Reading]) -> Array:
    """Share of the largest increment in the window that is left at its end [%]."""
    rise = _increment(arms[0])
    return np.asarray(100 * rise[:, -1:] / rise.max(axis=1, keepdims=True))


def _ordering(arms: list[Reading]) -> Array:
    """Smallest ratio of an arm to the next one: above 1 when they fall in the order written."""
    ratios = [a.values / b.values for a, b in pairwise(arms)]
    return np.asarray(np.min(ratios, axis=0))


def _area_to_infinity(arms: list[Reading]) -> Array:
    rise = _increment(arms[0])
    slope = terminal_slope(arms[0].times, rise)
    return np.asarray(area_of(arms[0].times, rise) + np.maximum(rise[:, -1], 0) / slope)[:, None]


METRICS: dict[str, Metric] = {
    "value": Metric(lambda a: a[0].values, "times", 1, "", "the observable at the reading time"),
    "change": Metric(
        lambda a: a[0].values - a[0].baseline[:, None], "times", 1, "", "value minus the value just before time 0"
    ),
    "percent_change": Metric(
        lambda a: 100 * (a[0].values / a[0].baseline[:, None] - 1), "times", 1, "%", "change in % of the value before time 0"
    ),
    "fold": Metric(
        lambda a: a[0].values / a[0].baseline[:, None], "times", 1, "dimensionless", "value over the value before time 0"
    ),
    "peak": Metric(lambda a: a[0].curve.max(axis=1)[:, None], "window", 1, "", "largest value in the window"),
    "peak_increment": Metric(
        lambda a: _increment(a[0]).max(axis=1)[:, None], "window", 1, "", "largest value in the window minus the value before time 0"
    ),
    "time_of_peak": Metric(
        _time_of_peak, "window", 1, "h", "time of the largest value in the window, by a parabola through its neighbours"
    ),
    "half_life": Metric(
        _half_life, "window", 1, "h", "half-life of one exponential through the increment over baseline in the window"
    ),
    "area": Metric(
        lambda a: area_of(a[0].times, _increment(a[0]))[:, None], "window", 1, "x h",
        "area of the increment over baseline in the window, linear up and logarithmic down",
    ),
    "area_to_infinity": Metric(
        _area_to_infinity, "window", 1, "x h", "area in the window plus the last increment over the terminal slope"
    ),
    "remaining": Metric(
        _remaining, "window", 1, "%", "not yet back to baseline: share of the largest increment left at the end of the window"
    ),
    "difference": Metric(lambda a: a[0].values - a[1].values, "times", 2, "", "value minus that of the other arm"),
    "percent_difference": Metric(
        lambda a: 100 * (a[0].values / a[1].values - 1), "times", 2, "%", "difference in % of the other arm"
    ),
    "ratio": Metric(lambda a: a[0].values / a[1].values, "times", 2, "dimensionless", "value over that of the other arm"),
    "interaction": Metric(
        lambda a: (a[0].values - a[1].values) / (a[2].values - a[3].values), "times", 4, "dimensionless",
        "(arm - first other) / (second other - third other): how much larger one difference is than another",
    ),
    "ordering": Metric(
        _ordering, "times", 0, "dimensionless", "smallest ratio of each arm to the next: above 1 if they fall in this order"
    ),
}  # fmt: skip
