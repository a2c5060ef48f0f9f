"""Metrics: what a row of a study reads off the simulated arms. What each means to a reader is in ``docs/cases.md``."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from metabolism.simulation import area_of, half_life_of, terminal_slope
from metabolism.types import Array


@dataclass(frozen=True, eq=False)
class Reading:
    """One arm as a metric sees it [row unit].

    Attributes
    ----------
    baseline : ndarray, shape (patients,)
        The observable just before time 0.
    values : ndarray, shape (patients, readings)
        At the reading times, just before a dose at the same time.
    times, curve : ndarray, shape (times,), (patients, times)
        Over the reading window [h], just after doses.
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
    arms: int = 1
    unit: str = ""


def _before(reading: Reading) -> Array:
    return reading.baseline[:, None]


def _increment(reading: Reading) -> Array:
    return np.asarray(reading.curve - _before(reading))


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
    time = half_life_of(arms[0].times, _increment(arms[0]))
    return np.asarray(np.where(time > 0, time, np.nan))[:, None]


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


def _increment_percent_change(arms: list[Reading]) -> Array:
    """NaN where the other arm has no increment to speak of."""
    own, other = (a.values - _before(a) for a in arms)
    other = np.where(np.abs(other) > 1e-6 * np.abs(_before(arms[1])), other, np.nan)
    return np.asarray(100 * (own / other - 1))


#: What a case row may read off its arms, by name.
METRICS: dict[str, Metric] = {
    "value": Metric(lambda a: a[0].values, "times"),
    "change": Metric(lambda a: a[0].values - _before(a[0]), "times"),
    "percent_change": Metric(lambda a: 100 * (a[0].values / _before(a[0]) - 1), "times", 1, "%"),
    "fold": Metric(lambda a: a[0].values / _before(a[0]), "times", 1, "dimensionless"),
    "peak": Metric(lambda a: a[0].curve.max(axis=1)[:, None], "window"),
    "peak_increment": Metric(lambda a: _increment(a[0]).max(axis=1)[:, None], "window"),
    "time_of_peak": Metric(_time_of_peak, "window", 1, "h"),
    "half_life": Metric(_half_life, "window", 1, "h"),
    "area": Metric(lambda a: area_of(a[0].times, _increment(a[0]))[:, None], "window", 1, "x h"),
    "area_to_infinity": Metric(_area_to_infinity, "window", 1, "x h"),
    "remaining": Metric(_remaining, "window", 1, "%"),
    "difference": Metric(lambda a: a[0].values - a[1].values, "times", 2),
    "percent_difference": Metric(lambda a: 100 * (a[0].values / a[1].values - 1), "times", 2, "%"),
    "ratio": Metric(lambda a: a[0].values / a[1].values, "times", 2, "dimensionless"),
    "increment_percent_change": Metric(_increment_percent_change, "times", 2, "%"),
    "interaction": Metric(
        lambda a: (a[0].values - a[1].values) / (a[2].values - a[3].values), "times", 4, "dimensionless"
    ),
    "ordering": Metric(_ordering, "times", 0, "dimensionless"),
}
