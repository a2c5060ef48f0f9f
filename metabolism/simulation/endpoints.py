"""Numbers read off a curve: change, peak, area, half-life. One table says what each is made of.

An endpoint is text such as ``percent_change(hcy_plasma)``, ``final(sam_liver / sah_liver)``, ``auc(cbl_plasma)``,
``time_above(cbl_free, 0.01)`` or ``change(alsfrs_r) vs untreated``, or one of the functions below on one output of a
`Result`. Its value is the same from every engine and, on the times that `metabolism.simulate` chooses, from a stored
curve: both are read from polynomials between the times at which something happens.

Every function accepts a DataArray with a ``time`` dimension [h], with or without a patient dimension, and returns one
number or one per patient. A curve at times of your own is a sample, and is read by the usual rules for samples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.sbml import KineticModel
from metabolism.simulation.curves import PANELS, Curve
from metabolism.types import Array
from metabolism.units import output_unit

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


#: What a run has to deliver: kind and output, with a level for ``time_above``.
Part = tuple[str, str] | tuple[str, str, float]


#: How each part is read off a curve; ``initial`` stands just before anything of time 0 happens.
PARTS: dict[str, Callable[[Curve, float], Array]] = {
    "initial": lambda curve, _: curve.values[..., 0],
    "final": lambda curve, _: curve.values[..., -1],
    "max": lambda curve, _: curve.top()[0],
    "min": lambda curve, _: -curve.mirrored().top()[0],
    "auc": lambda curve, _: curve.area(),
    "time_above": lambda curve, level: curve.above(level),
}


@dataclass(frozen=True)
class Kind:
    """What can be asked of an output.

    Attributes
    ----------
    parts : tuple of str
        Of `PARTS`.
    value : callable
        The number from the length of the run [h] and the parts.
    unit : str
        ``{}`` stands for the unit of the output.
    of_ratio : bool
        Whether it can be asked of a ratio of two outputs: only their values at the ends are known while integrating.
    """

    parts: tuple[str, ...]
    value: Callable[..., Any] = lambda span, part: part
    unit: str = "{}"
    of_ratio: bool = False


KINDS = {
    "initial": Kind(("initial",), of_ratio=True),
    "final": Kind(("final",), of_ratio=True),
    "change": Kind(("initial", "final"), lambda span, a, b: b - a, of_ratio=True),
    "percent_change": Kind(("initial", "final"), lambda span, a, b: 100.0 * (b / a - 1.0), "%", of_ratio=True),
    "max": Kind(("max",)),
    "min": Kind(("min",)),
    "mean": Kind(("auc",), lambda span, area: area / span),
    "auc": Kind(("auc",), unit="{} {time}"),
    "time_above": Kind(("time_above",), unit="{time}"),
}


def _curve(curve: xr.DataArray) -> Curve:
    if "time" not in curve.dims:
        raise InvalidValue("an endpoint needs a curve over time, e.g. result['hcy_plasma'].")
    ordered = curve.transpose(..., "time")
    panels = PANELS.items() <= ordered["time"].attrs.items()
    return Curve(ordered["time"].values.astype(float), ordered.values.astype(float), panels)


def _of(kind: str, curve: xr.DataArray, level: float = 0.0) -> Any:
    course, made_of = _curve(curve), KINDS[kind]
    span = course.times[-1] - course.times[0]
    return _plain(made_of.value(span, *(PARTS[part](course, level) for part in made_of.parts)))


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.asarray(value)


def change(curve: xr.DataArray) -> Any:
    """Last value minus first value [unit of the curve]."""
    return _of("change", curve)


def percent_change(curve: xr.DataArray) -> Any:
    """Change of the last value relative to the first [%]."""
    return _of("percent_change", curve)


def peak(curve: xr.DataArray) -> Any:
    """Largest value, Cmax [unit of the curve]."""
    return _of("max", curve)


def time_of_peak(curve: xr.DataArray) -> Any:
    """Time of the largest value, tmax [h]."""
    return _plain(_curve(curve).top()[1])


def mean(curve: xr.DataArray) -> Any:
    """Time average: `area` over the length of the run [unit of the curve]."""
    return _of("mean", curve)


def area(curve: xr.DataArray) -> Any:
    """Area under the curve [unit of the curve x h].

    Between samples the curve is taken as exponential where it falls and is positive, otherwise as linear, the usual
    rule of non-compartmental analysis (Gabrielsson and Weiner 2012, doi:10.1007/978-1-62703-050-2_16).
    """
    return _of("auc", curve)


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
    t, y = _curve(curve).times, _curve(curve).values
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
    slope = terminal_slope(_curve(curve).times, _curve(curve).values)
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
    if dose is not None and not (math.isfinite(dose) and dose > 0):
        raise InvalidValue(f"dose = {dose} must be finite and above 0 umol.")
    course = _curve(curve)
    y = np.atleast_2d(course.values)
    slope = np.atleast_1d(terminal_slope(course.times, course.values))
    last, (highest, when) = np.atleast_1d(course.area()), course.top()
    with np.errstate(invalid="ignore"):
        whole = last + np.maximum(y[:, -1], 0) / slope
    unit = str(curve.attrs.get("units", ""))
    rows = [
        ("Cmax", unit, highest),
        ("Tmax", "h", when),
        ("AUClast", f"{unit} h".strip(), last),
        ("AUCinf", f"{unit} h".strip(), whole),
        ("lambda_z", "1/h", slope),
        ("half_life", "h", math.log(2) / slope),
    ]
    if dose is not None:
        rows += [("CL_F", "L/h", dose / whole), ("Vz_F", "L", dose / whole / slope)]
    return summary(rows, interval)


def summary(rows: Iterable[tuple[str, str, Array]], interval: float) -> pd.DataFrame:
    """Return numbers of one or many patients as a table: rows of name, unit and values -> as `nca`."""
    import pandas as pd

    if not 0 < interval < 1:
        raise InvalidValue(f"interval = {interval} must lie between 0 and 1, e.g. 0.9.")
    tail, made = (1 - interval) / 2, []
    for name, unit, values in rows:
        good = np.atleast_1d(values)[np.isfinite(np.atleast_1d(values))]
        low, middle, high = np.quantile(good, [tail, 0.5, 1 - tail]) if len(good) else [math.nan] * 3
        spread = (low, high) if np.size(values) > 1 else (math.nan, math.nan)
        made.append(
            {"endpoint": name, "unit": unit, "median": middle, "low": spread[0], "high": spread[1], "n": len(good)}
        )
    return pd.DataFrame(made).set_index("endpoint")


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


#: Endpoints with a name of their own.
NAMED = {
    "hcy_change": "percent_change(hcy_plasma)",
    "sam_sah": "final(sam_liver / sah_liver)",
    "mma": "final(mma_plasma)",
    "cobalamin_auc": "auc(cbl_plasma)",
    "alsfrs_change": "change(alsfrs_r)",
    "treatment_difference": "change(alsfrs_r) vs untreated",
}


_TEXT = re.compile(r"^(\w+)\(\s*(\w+)\s*(?:/\s*(\w+)\s*)?(?:,\s*([^)]+))?\)(\s+vs\s+untreated)?$")


#: Step of a complex difference: small enough to be exact.
_TINY = 1e-30


@dataclass(frozen=True)
class Endpoint:
    """One number per run.

    Attributes
    ----------
    text : str
        As asked; it names the column.
    kind : str
        One of `KINDS`.
    output, over : str
        The output, and what it is divided by (empty: nothing).
    level : float or None
        Of ``time_above`` [unit of the output].
    versus : bool
        Whether the same number without any dose or exposure is subtracted.
    """

    text: str
    kind: str
    output: str
    over: str = ""
    level: float | None = None
    versus: bool = False

    @classmethod
    def parse(cls, text: str, ids: Sequence[str] = ()) -> Endpoint:
        """Read an endpoint; `ids` are the outputs of a model from a file, which knows none of `NAMED`.

        Raises
        ------
        UsageError, UnknownName, InvalidValue
            For text that is no endpoint, a kind that does not exist, or a level where none belongs.

        Examples
        --------
        >>> Endpoint.parse("time_above(cbl_free, 0.01)").parts
        [('time_above', 'cbl_free', 0.01)]
        >>> Endpoint.parse("hcy_change").outputs
        ('hcy_plasma',)
        """
        named = {} if ids else NAMED
        match = _TEXT.match(named.get(text, text).strip())
        if match is None:
            if ids:
                own = text if text in ids else ids[0]
                raise UsageError(f"endpoint '{text}' cannot be read; write e.g. 'final({own})' or 'auc({own})'.")
            if re.fullmatch(r"\w+", text):
                raise UnknownName("endpoint", text, NAMED, "Or write one, e.g. 'percent_change(hcy_plasma)'.")
            raise UsageError(
                f"endpoint '{text}' cannot be read; write e.g. 'percent_change(hcy_plasma)', "
                "'final(sam_liver / sah_liver)' or 'change(alsfrs_r) vs untreated'."
            )
        kind, output, over, level, versus = match.groups()
        try:
            number = float(level) if level else None
        except ValueError:
            raise InvalidValue(f"endpoint '{text}': level '{level}' is not a number.") from None
        return cls(text, kind, output, over or "", number, bool(versus))._checked()

    @classmethod
    def of(cls, wanted: str | Part, name: str = "", ids: Sequence[str] = ()) -> Endpoint:
        """Make an endpoint of text, or of a tuple such as ``("max", "cbl_free")`` with a column name."""
        if isinstance(wanted, str):
            return cls.parse(wanted, ids)
        kind, output, *level = wanted
        return cls(name or str(wanted), kind, output, "", float(level[0]) if level else None)._checked()

    def _checked(self) -> Endpoint:
        if self.kind not in KINDS:
            raise UnknownName("endpoint", self.kind, KINDS)
        if (self.kind == "time_above") != (self.level is not None):
            raise InvalidValue(f"endpoint '{self.text}': 'time_above' needs a level, and nothing else takes one.")
        if self.over and not KINDS[self.kind].of_ratio:
            possible = ", ".join(k for k, kind in KINDS.items() if kind.of_ratio)
            raise InvalidValue(f"endpoint '{self.text}': of a ratio only {possible} can be asked.")
        return self

    @property
    def outputs(self) -> tuple[str, ...]:
        """Ids of the outputs it needs."""
        return (self.output, self.over) if self.over else (self.output,)

    def unit(self, model: KineticModel) -> str:
        """Return the unit of the number."""
        own = "dimensionless" if self.over else output_unit(self.output, model.units.get(self.output, ""))
        return KINDS[self.kind].unit.format(own, time=model.time_unit).strip()

    @property
    def parts(self) -> list[Part]:
        """What a run has to deliver."""
        level = () if self.level is None else (self.level,)
        return [(part, output, *level) for part in KINDS[self.kind].parts for output in self.outputs]

    def value(self, parts: Mapping[Part, Array], span: float) -> Array:
        """Return the number of each run from what the runs delivered."""
        level = () if self.level is None else (self.level,)
        read = [
            parts[part, self.output, *level] / (parts[part, self.over] if self.over else 1.0)
            for part in KINDS[self.kind].parts
        ]
        return np.asarray(KINDS[self.kind].value(span, *read))

    def slope(self, parts: Mapping[Part, Array], slopes: Mapping[Part, Array], span: float) -> Array:
        """Return the derivative of the number from those of its parts, by the chain rule."""
        moved = {part: parts[part] + 1j * _TINY * slopes[part] for part in self.parts}
        return np.asarray(self.value(moved, span).imag / _TINY)
