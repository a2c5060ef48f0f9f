"""Single fields of a case file: what the text of a source, a reading, a number or a unit means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from metabolism.errors import InvalidValue, UnitMismatch, UnknownName
from metabolism.metrics import Metric
from metabolism.provenance import bibliography
from metabolism.substances import substance
from metabolism.units import MODEL_UNITS, magnitude, registry

#: A mass concentration is turned into an amount with this substance (the only one measured by mass).
WEIGHED = "methylcobalamin"


def sources(text: str) -> tuple[str, ...]:
    """Split a source into BibTeX keys and references with DOI, PMID or address; refuse a key that does not exist."""
    found = tuple(filter(None, (s.strip() for s in text.split(";"))))
    for source in found:
        outside = re.match(r"(doi:\s*10\.|10\.\d|pmid:?\s*\d|https?://)", source, re.IGNORECASE)
        if not outside and source not in bibliography():
            raise UnknownName(
                "reference",
                source,
                bibliography(),
                "Give a key of models/references.bib, or doi:..., PMID:..., https://...",
            )
    return found


def choice(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Look up a name in a mapping; an unknown one is answered with all of them."""
    if name not in known:
        raise UnknownName(kind, name, known, f"Known: {', '.join(known)}.")
    return known[name]


def one_of(kind: str, name: str, known: Sequence[str]) -> str:
    """Return the name if it is one of a few."""
    if name not in known:
        raise InvalidValue(f"'{name}' is no {kind}; write {' or '.join(known)}.")
    return name


def number(text: str, infinite: bool = True) -> float:
    """Read a number; NaN is refused, infinity where it makes no sense."""
    try:
        value = float(text)
    except ValueError:
        raise InvalidValue(f"'{text}' is not a number.") from None
    if math.isnan(value) or (not infinite and math.isinf(value)):
        raise InvalidValue(f"'{text}' is not allowed; give a number{', inf or -inf' if infinite else ''}.")
    return value


def reading(text: str, metric: Metric) -> tuple[float, ...]:
    """Read the times of single readings, or begin and end of a window [h]."""
    if metric.needs == "window":
        parts = re.split(r"\s+to\s+", text)
        if len(parts) != 2:
            raise InvalidValue(f"this metric reads a window; write e.g. '0 h to 24 h', not '{text}'.")
        begin, end = (magnitude(p, "h", "reading") for p in parts)
        if not 0 <= begin < end:
            raise InvalidValue(f"the window '{text}' must begin at 0 h or later and end after it begins.")
        return begin, end
    if re.search(r"\sto\s", text):
        raise InvalidValue(f"this metric reads single times; write e.g. '12 weeks' or '0 h, 3 h, 6 h', not '{text}'.")
    times = tuple(0.0 if p.strip() == "rest" else magnitude(p, "h", "reading") for p in text.split(","))
    if any(t < 0 for t in times):
        raise InvalidValue(f"the reading '{text}' lies before time 0.")
    return times


@cache
def _pint(unit: str) -> Any:
    text = MODEL_UNITS.get(unit, unit)
    try:
        return registry().Quantity(1.0, registry().parse_units(text.replace("%", "percent")))
    except Exception:
        raise UnitMismatch(f"the unit '{unit}' cannot be read.") from None


def factor(
    unit: str, metric: Metric, units: Mapping[str, str], terms: Sequence[tuple[float, str]], weight: float
) -> float:
    """Return the factor from a metric in model units to the row's unit; NaN for ``% of dose``.

    Parameters
    ----------
    units : mapping of str to str
        Model unit of every output.
    terms : sequence of (sign, id)
        The observable.
    weight : float
        Body weight for units per kg [kg].

    Raises
    ------
    UnitMismatch
    """
    model_unit = units[terms[0][1]]
    if unit == "% of dose":
        if metric.unit or model_unit != "umol":
            raise UnitMismatch(
                "'% of dose' needs an amount such as cbl_urine, and a metric with the unit of the observable."
            )
        return math.nan
    source = _pint(model_unit)
    if metric.unit == "x h":
        source = source * registry().Quantity(1.0, "hour")
    elif metric.unit:
        source = _pint(metric.unit)
    target = _pint(unit)
    kg = registry().Quantity(weight, "kg")
    mass = registry().Quantity(substance(WEIGHED).molar_mass, "g/mol")
    weighed = all(name.startswith(("cbl_", "holo_")) for _, name in terms)
    for quantity in (source, source / kg, *([source * mass] if weighed else [])):
        if quantity.is_compatible_with(target.units):
            return float(quantity.to(target.units).magnitude)
    said = f"{model_unit} x h" if metric.unit == "x h" else metric.unit or f"{model_unit} (or that per kg body weight)"
    raise UnitMismatch(f"'{unit}' does not fit: this number is in {said}.")
