"""Predictive intervals: the spread of the parameters and a residual between studies, on the scale of a row's metric.

Levels, ratios and times are compared by their logarithm, changes in per cent by that of 1 + x/100, differences in half
bands. On these scales the distance between a study and what a fit that has not seen it predicts is taken as normal: its
variance is that of the parameters plus a residual one, estimated by penalised likelihood for each class of rows from
the left-out residuals (`metabolism fit`), and written to ``models/fits/<id>/residual_sd.csv``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from metabolism.cases.rows import Row
from metabolism.data import models_dir
from metabolism.dosing import measured_as
from metabolism.tables import Line, read_table
from metabolism.types import Array

#: Probability inside a predictive interval, and the shares of left-out rows that it should cover.
INTERVAL, COVERAGE = 0.9, (0.8, 0.97)

#: Normal quantile of the upper end of the interval.
QUANTILE = 1.6448536269514722

#: A class with fewer left-out rows takes the residual of all rows of its scale.
FEW = 8

_PERCENT = ("percent_change", "percent_difference", "increment_percent_change")

_LINEAR = ("change", "difference", "interaction", "ordering", "remaining")


def scale_of(row: Row) -> str:
    """Return the scale a row is compared on: ``level`` (logarithm), ``percent`` or ``change`` (half bands)."""
    metric = row.text["metric"]
    return "percent" if metric in _PERCENT else "change" if metric in _LINEAR else "level"


def class_of(row: Row) -> str:
    """Return the class whose residual a row shares: its scale and what it measures."""
    substance = measured_as(row.terms[0][1])
    return f"{scale_of(row)} of {substance.name if substance else 'others'}"


def to_scale(row: Row, values: Any) -> Array:
    """Values of a row on its scale; NaN where there is none (no logarithm, an open band)."""
    x, kind = np.asarray(values, dtype=float), scale_of(row)
    with np.errstate(invalid="ignore", divide="ignore"):
        if kind == "change":
            return np.asarray(x / _half(row))
        logs = np.log(x if kind == "level" else 1 + x / 100)
    return np.asarray(np.where(np.isfinite(logs), logs, np.nan))


def from_scale(row: Row, values: Any) -> Array:
    """Return the inverse of `to_scale`."""
    y, kind = np.asarray(values, dtype=float), scale_of(row)
    return np.asarray(y * _half(row) if kind == "change" else np.exp(y) if kind == "level" else 100 * np.expm1(y))


def _half(row: Row) -> float:
    half = (row.high - row.low) / 2
    return half if math.isfinite(half) and half > 0 else math.nan


def residual_sds(classes: Sequence[str], errors: Array, spreads: Array) -> dict[str, tuple[int, float]]:
    """Estimate the residual standard deviation of every class, by penalised maximum likelihood.

    Parameters
    ----------
    classes : sequence of str
        Class of each left-out row.
    errors : ndarray
        Published minus predicted value, on the scale of the row; NaN is left out.
    spreads : ndarray
        Standard deviation of the prediction from the parameters, on the same scale.

    Returns
    -------
    dict
        Class, or scale alone for all its rows, to (number of rows, standard deviation).
    """
    members: dict[str, list[int]] = {}
    for i, name in enumerate(classes):
        if np.isfinite(errors[i]) and np.isfinite(spreads[i]):
            members.setdefault(name, []).append(i)
            members.setdefault(name.split()[0], []).append(i)
    return {
        name: (len(rows), _likeliest(errors[rows], spreads[rows]))
        for name, rows in members.items()
        if len(rows) >= (FEW if " of " in name else 2)
    }


def _likeliest(errors: Array, spreads: Array) -> float:
    """Residual SD t at which independent normal errors of variance spread^2 + t^2 are likeliest.

    The likelihood is multiplied by t: of few rows, or where the parameters alone could explain the errors, it would
    have its maximum at 0, which no study deserves. With no spread this is the root mean square over n - 1.
    """
    from scipy.optimize import minimize_scalar

    def cost(log_sd: float) -> float:
        variance = spreads**2 + math.exp(2 * log_sd)
        return float((np.log(variance) + errors**2 / variance).sum()) - 2 * log_sd

    top = math.log(max(float(np.abs(errors).max()), float(spreads.max()), 1e-6)) + 2
    return math.exp(float(minimize_scalar(cost, bounds=(top - 12, top), method="bounded", options={"xatol": 1e-6}).x))


def sd_for(row: Row, sds: Mapping[str, tuple[int, float]]) -> float:
    """Residual SD of a row: of its class, else of its scale; NaN where nothing was estimated."""
    return sds.get(class_of(row), sds.get(scale_of(row), (0, math.nan)))[1]


def interval(row: Row, values: Array, sds: Mapping[str, tuple[int, float]]) -> tuple[float, float]:
    """Predictive interval of a row [its unit] from one value per draw of the parameters.

    Where `residual_sds` estimated no residual for such rows, it is that of the parameters alone.
    """
    from scipy.stats import norm

    scaled = to_scale(row, values)
    scaled, sd = scaled[np.isfinite(scaled)], sd_for(row, sds)
    if not len(scaled):
        return math.nan, math.nan
    # every draw with every one of 99 equally likely residuals
    noise = (0.0 if math.isnan(sd) else sd) * norm.ppf((np.arange(99) + 0.5) / 99)
    tail = (1 - INTERVAL) / 2
    low, high = np.quantile(scaled[:, None] + noise, [tail, 1 - tail])
    return float(from_scale(row, low)), float(from_scale(row, high))


def _tables(name: str) -> Iterator[tuple[str, list[Line]]]:
    for path in sorted((models_dir() / "fits").glob(f"*/{name}")):
        yield path.parent.name, read_table(path, (), more=True)


def shipped_sds() -> dict[str, tuple[int, float]]:
    """Residual SDs of the adopted fits; of a class in two of them, that from more rows."""
    lines = [line for _, table in _tables("residual_sd.csv") for line in table]
    lines.sort(key=lambda line: int(line["rows"]))
    return {line["class"]: (int(line["rows"]), float(line["sd"])) for line in lines}


def left_out_score() -> list[str]:
    """Say for each adopted fit how studies it had not seen were predicted: rows in their bands, and coverage."""
    scores = [score(name, table) for name, table in _tables("left_out.csv")]
    return scores or ["left-out studies: no adopted fit has predicted any yet (`metabolism fit`)"]


def score(name: str, table: Sequence[Mapping[Any, Any]]) -> str:
    """Say how the left-out rows of a fit were predicted, from its id and the rows of ``left_out.csv``."""
    moved = [t for t in table if str(t["put_in"]) != "True"]
    band, covered = (sum(str(t[k]) == "True" for t in moved) for k in ("in_band", "covered"))
    judged = [t for t in moved if str(t["covered"]) in ("True", "False")]
    studies = len({t["study"] for t in moved})
    rest = f" ({len(table) - len(moved)} more rest on no fitted parameter and are not counted)"
    return (
        f"left-out studies of fit {name}: {studies} studies, {share(band, len(moved))} rows in their band"
        f"{rest if len(moved) < len(table) else ''}; 90 % intervals cover {share(covered, len(judged))} published "
        f"values{judge(covered, len(judged))}"
    )


def share(part: int, whole: int) -> str:
    """Write ``part of whole (per cent)``."""
    return f"{part} of {whole}" + (f" ({100 * part / whole:.0f} %)" if whole else "")


def judge(covered: int, whole: int) -> str:
    """Say if a coverage lies outside what is wanted of 90 % intervals."""
    low, high = COVERAGE
    return "" if not whole or low <= covered / whole <= high else f", wanted {100 * low:.0f} to {100 * high:.0f} %"
