"""Numbers read off a curve: change, peak, area, half-life. Each takes one output of a `Result`.

Every function accepts a DataArray with a ``time`` dimension [h], with or without a patient dimension, and
returns one number or one per patient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]


def _unpack(curve: xr.DataArray) -> tuple[Array, Array]:
    if "time" not in curve.dims:
        raise InvalidValue("an endpoint needs a curve over time, e.g. result['hcy_plasma'].")
    ordered = curve.transpose(..., "time")
    return ordered["time"].values.astype(float), ordered.values.astype(float)


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.asarray(value)


def change(curve: xr.DataArray) -> Any:
    """Last value minus first value [unit of the curve]."""
    _, y = _unpack(curve)
    return _plain(y[..., -1] - y[..., 0])


def percent_change(curve: xr.DataArray) -> Any:
    """Change of the last value relative to the first [%]."""
    _, y = _unpack(curve)
    return _plain(100.0 * (y[..., -1] / y[..., 0] - 1.0))


def peak(curve: xr.DataArray) -> Any:
    """Largest value, Cmax [unit of the curve]."""
    _, y = _unpack(curve)
    return _plain(y.max(axis=-1))


def time_of_peak(curve: xr.DataArray) -> Any:
    """Time of the largest value, tmax [h]."""
    t, y = _unpack(curve)
    return _plain(t[y.argmax(axis=-1)])


def mean(curve: xr.DataArray) -> Any:
    """Time average, by the trapezoidal rule [unit of the curve]."""
    t, y = _unpack(curve)
    return _plain(np.trapezoid(y, t, axis=-1) / (t[-1] - t[0]))


def area(curve: xr.DataArray) -> Any:
    """Area under the curve, linear up and logarithmic down [unit of the curve x h].

    Between falling positive points the curve is taken as exponential, otherwise as linear, the usual rule of
    non-compartmental analysis (Gabrielsson and Weiner 2012, doi:10.1007/978-1-62703-050-2_16).
    """
    t, y = _unpack(curve)
    a, b, width = y[..., :-1], y[..., 1:], np.diff(t)
    falls = (b < a) & (b > 0)
    ratio = np.where(falls, a / np.where(falls, b, 1.0), np.e)
    # nearly equal neighbours: the logarithmic rule loses digits and equals the linear one
    log = falls & (ratio > 1 + 1e-6)
    pieces = np.where(log, (a - b) / np.log(np.where(log, ratio, np.e)), (a + b) / 2) * width
    return _plain(pieces.sum(axis=-1))


def half_life(curve: xr.DataArray, begin: float, end: float) -> Any:
    """Terminal half-life by log-linear regression over a stated window [h].

    Parameters
    ----------
    begin, end : float
        Window of the regression [h]; needs at least three points with positive values.

    Raises
    ------
    InvalidValue
        If the window holds fewer than three points or a value that is not positive.
    """
    t, y = _unpack(curve)
    inside = (t >= begin) & (t <= end)
    if inside.sum() < 3 or (y[..., inside] <= 0).any():
        raise InvalidValue(f"half-life needs three or more positive points between {begin:g} and {end:g} h.")
    centred = t[inside] - t[inside].mean()
    slope = (np.log(y[..., inside]) * centred).sum(axis=-1) / (centred**2).sum()
    return _plain(-np.log(2) / slope)
