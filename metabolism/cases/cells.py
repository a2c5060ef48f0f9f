"""Cells of a case file: sources, numbers, splits, readings and units, each refused with what to write instead."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from metabolism.cases.metrics import Metric
from metabolism.dosing import measured_as
from metabolism.errors import InvalidValue, UnitMismatch, UnknownName
from metabolism.model import bibliography
from metabolism.units import magnitude, number, read_unit, registry

#: What a study is used for, and the role its rows have then. ``cross-validation``: fitted, and predicted by a fit that
#: has not seen it. ``check in view``: never fitted, but known while structure and cases were chosen.
SPLITS = {"fit": "calibration", "cross-validation": "calibration", "check": "check", "check in view": "check"}

_FAST = r"\bfasting\b(?:\s+for\s+([^\s,]+(?:\s*[a-zA-Z]+)?))?"

_TIME = r"\d+(?:\.\d+)?(?:e[-+]?\d+)?\s*[a-zA-Z]+"


def read_sources(text: str) -> tuple[str, ...]:
    """Split a source into BibTeX keys and references with DOI, PMID or address; refuse a key that does not exist."""
    cited = tuple(filter(None, (s.strip() for s in text.split(";"))))
    for source in cited:
        outside = re.match(r"(doi:\s*10\.|10\.\d|pmid:?\s*\d|https?://)", source, re.IGNORECASE)
        if not outside and source not in bibliography():
            remedy = "Give a key of models/references.bib, or doi:..., PMID:..., https://..."
            raise UnknownName("reference", source, bibliography(), remedy)
    return cited


def one_from(kind: str, known: Mapping[str, Any], name: str) -> Any:
    """Look up a name in a mapping; an unknown one is answered with all of them."""
    if name not in known:
        raise UnknownName(kind, name, known, f"Known: {', '.join(known)}.")
    return known[name]


def one_of(kind: str, known: Sequence[str], name: str) -> str:
    """Return the name if it is one of a few."""
    if name not in known:
        raise InvalidValue(f"'{name}' is no {kind}; write {' or '.join(known)}.")
    return name


def bounded(text: str, infinite: bool = True) -> float:
    """Read a number; NaN is refused, infinity where it makes no sense."""
    value = number(text)
    if math.isnan(value) or (not infinite and math.isinf(value)):
        raise InvalidValue(f"'{text}' is not allowed; give a number{', inf or -inf' if infinite else ''}.")
    return value


def read_split(text: str, role: str) -> tuple[str, str]:
    """Read ``cross-validation 2026-11-29``: what a study is used for, and the day that was fixed."""
    if not text:
        return "", ""
    split, _, day = text.rpartition(" ")
    if split not in SPLITS:
        raise InvalidValue(
            f"'{text}' is no split; write {', '.join(SPLITS)}, and the day it was fixed: 'fit 2026-11-29'."
        )
    try:
        fixed = date.fromisoformat(day)
    except ValueError:
        raise InvalidValue(f"'{day}' is no day; write year-month-day, e.g. '{split} 2026-11-29'.") from None
    if role and SPLITS[split] != role:
        raise InvalidValue(f"a study to '{split}' has rows of role {SPLITS[split]}, and this one says {role}.")
    return split, fixed.isoformat()


def read_reading(text: str, metric: Metric) -> tuple[tuple[float, ...], float | None]:
    """Read times [h], or begin and end of a window; and the fast [h] (0: given elsewhere, None: none)."""
    plain = re.sub(rf"[,\s]*{_FAST}[,\s]*", "", text).strip() or "rest"
    stated = re.search(_FAST, text)
    fast = None if not stated else magnitude(stated[1], "h", "fasting") if stated[1] else 0.0
    if metric.needs == "window":
        parts = re.split(r"\s+to\s+", plain)
        if len(parts) != 2 or stated:
            raise InvalidValue(f"this metric reads a window; write e.g. '0 h to 24 h', not '{text}'.")
        begin, end = map(_time, parts)
        if not 0 <= begin < end:
            raise InvalidValue(f"the window '{text}' must begin at 0 h or later and end after it begins.")
        return (begin, end), None
    if re.search(r"\sto\s", plain):
        raise InvalidValue(f"this metric reads single times; write e.g. '12 weeks' or '0 h, 3 h, 6 h', not '{text}'.")
    times = tuple(0.0 if p.strip() == "rest" else _time(p) for p in plain.split(","))
    if any(t < 0 for t in times):
        raise InvalidValue(f"the reading '{text}' lies before time 0.")
    return times, fast


def _time(text: str) -> float:
    if not re.fullmatch(rf"[-+]?{_TIME}", text.strip()):
        raise InvalidValue(
            f"cannot read the time '{text.strip()}'; write a number and its unit, e.g. '1.5 h' or '12 weeks'."
        )
    return magnitude(text.strip(), "h", "reading")


def _one(unit: str) -> Any:
    return registry().Quantity(1.0, read_unit(unit))


def unit_factor(
    unit: str,
    metric: Metric,
    units: Mapping[str, str],
    terms: Sequence[tuple[float, str]],
    below: Sequence[tuple[float, str]],
    weight: float,
) -> float:
    """Return the factor from a metric in model units to the row's unit; NaN for ``% of dose``.

    The observable is a sum of `terms` (sign, id), whose model units are in `units`, over that of `below` if there are
    any; `weight` is for units per kg [kg].
    """
    model_unit = units[terms[0][1]]
    if unit == "% of dose":
        if metric.unit or model_unit != "umol":
            raise UnitMismatch(
                "'% of dose' needs an amount such as cbl_urine, and a metric with the unit of the observable."
            )
        return math.nan
    source = _one(model_unit)
    if below:
        source = source / _one(units[below[0][1]])
    if metric.unit == "x h":
        source = source * registry().Quantity(1.0, "hour")
    elif metric.unit:
        source = _one(metric.unit)
    plain = "dimensionless" if below else f"{model_unit} (or that per kg body weight)"
    said = f"{model_unit} x h" if metric.unit == "x h" else metric.unit or plain
    try:
        target = _one(unit)
    except UnitMismatch:
        raise UnitMismatch(f"the unit '{unit}' cannot be read; this number is in {said}.") from None
    readable = [source, source / registry().Quantity(weight, "kg")]
    masses = {weighed.molar_mass if (weighed := measured_as(n)) and not below else math.nan for _, n in terms}
    if len(masses) == 1 and not math.isnan(mass := masses.pop()):
        readable.append(source * registry().Quantity(mass, "g/mol"))
    for quantity in readable:
        if quantity.is_compatible_with(target.units):
            return float(quantity.to(target.units).magnitude)
    raise UnitMismatch(f"'{unit}' does not fit: this number is in {said}.")
