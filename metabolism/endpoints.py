"""Numbers read off a curve: change, peak, area, half-life. Each takes one output of a `Result`.

Every function accepts a DataArray with a ``time`` dimension [h], with or without a patient dimension, and
returns one number or one per patient.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue

if TYPE_CHECKING:
    import pandas as pd
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
    return _plain(area_of(*_unpack(curve)))


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
    return _plain(half_life_of(t[inside], y[..., inside]))


def lambda_z(curve: xr.DataArray) -> Any:
    """Terminal rate constant [1/h], by the rule of `terminal_slope`.

    Raises
    ------
    InvalidValue
        If fewer than three positive points follow the peak.
    """
    slope = terminal_slope(*_unpack(curve))
    if not np.isfinite(slope).all():
        raise InvalidValue("lambda-z needs three or more positive falling points after the peak; run or sample longer.")
    return _plain(slope)


def nca(curve: xr.DataArray, dose: float | None = None, interval: float = 0.9) -> pd.DataFrame:
    """Non-compartmental analysis of a curve above its baseline.

    Parameters
    ----------
    curve : DataArray
        Over ``time`` [h], with or without patients (or draws of uncertain parameters); subtract a baseline first.
    dose : float, optional
        Amount given [umol]; adds apparent clearance and volume for a curve in uM.
    interval : float
        Probability between `low` and `high` over the patients.

    Returns
    -------
    DataFrame
        One row per endpoint: ``unit``, ``median``, ``low``, ``high`` (NaN for a single curve) and ``n``, the patients
        that have a value. Area and slope follow `area` and `lambda_z`.

    Raises
    ------
    InvalidValue
        If the dose or the interval cannot be.
    """
    import pandas as pd

    if dose is not None and not (math.isfinite(dose) and dose > 0):
        raise InvalidValue(f"dose = {dose} must be finite and above 0 umol.")
    if not 0 < interval < 1:
        raise InvalidValue(f"interval = {interval} must lie between 0 and 1, e.g. 0.9.")
    t, y = _unpack(curve)
    y = np.atleast_2d(y)
    slope = terminal_slope(t, y)
    last = area_of(t, y)
    with np.errstate(invalid="ignore"):
        whole = last + np.maximum(y[:, -1], 0) / slope
    unit = str(curve.attrs.get("units", ""))
    rows: dict[str, tuple[str, Array]] = {
        "Cmax": (unit, y.max(axis=-1)),
        "Tmax": ("h", t[y.argmax(axis=-1)]),
        "AUClast": (f"{unit} h".strip(), last),
        "AUCinf": (f"{unit} h".strip(), whole),
        "lambda_z": ("1/h", slope),
        "half_life": ("h", math.log(2) / slope),
    }
    if dose is not None:
        rows |= {"CL_F": ("L/h", dose / whole), "Vz_F": ("L", dose / whole / slope)}
    tail = (1 - interval) / 2
    table = []
    for name, (own, values) in rows.items():
        good = values[np.isfinite(values)]
        low, middle, high = np.quantile(good, [tail, 0.5, 1 - tail]) if len(good) else [math.nan] * 3
        spread = (low, high) if len(y) > 1 else (math.nan, math.nan)
        table.append(
            {"endpoint": name, "unit": own, "median": middle, "low": spread[0], "high": spread[1], "n": len(good)}
        )
    return pd.DataFrame(table).set_index("endpoint")


def area_of(t: Array, y: Array) -> Array:
    """Linear-up log-down area of `y` over `t`: shapes (times,), (..., times) -> (...) [unit of y x h]."""
    a, b, width = y[..., :-1], y[..., 1:], np.diff(t)
    falls = (b < a) & (b > 0)
    ratio = np.where(falls, a / np.where(falls, b, 1.0), math.e)
    # nearly equal neighbours: the logarithmic rule loses digits and equals the linear one
    log = falls & (ratio > 1 + 1e-6)
    pieces = np.where(log, (a - b) / np.log(np.where(log, ratio, math.e)), (a + b) / 2) * width
    return np.asarray(pieces.sum(axis=-1))


def half_life_of(t: Array, y: Array) -> Array:
    """Half-life of one exponential through all points [h]: shapes (times,), (..., times) -> (...).

    NaN where a point is not positive.
    """
    centred = t - t.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (np.log(y) * centred).sum(axis=-1) / (centred**2).sum()
        return np.asarray(np.where((y > 0).all(axis=-1), -np.log(2) / slope, np.nan))


def terminal_slope(t: Array, y: Array) -> Array:
    """Terminal rate constant lambda-z [1/h]: shapes (times,), (..., times) -> (...).

    The rule of common software for non-compartmental analysis: log-linear regression over the last three or more
    points after the peak, as many as give the best adjusted R2, or come within 1e-4 of it (Gabrielsson and Weiner
    2012, doi:10.1007/978-1-62703-050-2_16). NaN where no falling line through three positive points exists.
    """
    flat = y.reshape(-1, len(t))
    return np.array([_terminal_slope(t, row) for row in flat]).reshape(y.shape[:-1])


def _terminal_slope(t: Array, y: Array) -> float:
    if not np.isfinite(y).all():
        return float("nan")
    first = int(y.argmax()) + 1
    bad = np.flatnonzero(y[first:] <= 0)
    first += int(bad[-1]) + 1 if len(bad) else 0
    if len(t) - first < 3:
        return float("nan")
    x, z = t[first:][::-1], np.log(y[first:][::-1])
    x, z = x - x.mean(), z - z.mean()
    n = np.arange(1.0, len(x) + 1)
    sx, sz = np.cumsum(x), np.cumsum(z)
    xx, zz, xz = np.cumsum(x * x) - sx**2 / n, np.cumsum(z * z) - sz**2 / n, np.cumsum(x * z) - sx * sz / n
    with np.errstate(invalid="ignore", divide="ignore"):
        slope, fit = xz / xx, xz**2 / (xx * zz)
        adjusted = 1 - (1 - fit) * (n - 1) / (n - 2)
    adjusted = np.where((n >= 3) & (slope < 0) & np.isfinite(adjusted), adjusted, -np.inf)
    if not np.isfinite(adjusted).any():
        return float("nan")
    return float(-slope[np.flatnonzero(adjusted >= adjusted.max() - 1e-4)[-1]])
