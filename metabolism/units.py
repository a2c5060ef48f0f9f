"""Units at the doors of the package: text or number in, one internal system (µmol, L, h) inside.

Text is read strictly and never evaluated: exactly one number and one unit. pint knows the units and nothing else; it is
used here and nowhere else. Solvers and tables work on plain floats in the model's own units.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from metabolism.errors import InvalidValue, UnitMismatch

if TYPE_CHECKING:
    import pint


#: Unit names used in ``models/`` (Antimony unit definitions) and the pint expression of each.
MODEL_UNITS = {
    "dimensionless": "dimensionless",
    "L": "liter",
    "h": "hour",
    "umol": "micromole",
    "uM": "micromole/liter",
    "per_h": "1/hour",
    "L_per_h": "liter/hour",
    "umol_per_h": "micromole/hour",
    "uM_per_h": "micromole/liter/hour",
    "per_uM": "liter/micromole",
    "per_uM_per_h": "liter/micromole/hour",
}

#: Abbreviations of the field that pint does not know, or takes for something else.
_WRITTEN = {"wk": "week", "wks": "week", "w": "week", "mo": "month", "mos": "month", "y": "year", "yrs": "year"}

_NUMBER = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:nan|inf(?:inity)?)\b"
)

_NAME = r"[A-Za-zµμ%_]+(?:(?:\^|\*\*)-?[0-9])?"

_UNIT = re.compile(rf"(?:1\s*/\s*)?{_NAME}(?:(?:\s*[*/·]\s*|\s+){_NAME})*")

_FACTOR = re.compile(r"(?P<how>[*/·])?\s*(?P<name>[A-Za-zµμ%_]+)(?:(?:\^|\*\*)(?P<power>-?[0-9]))?")

#: Factors of the units written most often, so that pint need not wake for them: times in hours, and masses over a molar
#: mass in micromoles. A test holds every one against pint.
_HOURS = {
    **dict.fromkeys(("h", "hour", "hours"), 1.0),
    **dict.fromkeys(("d", "day", "days"), 24.0),
    **dict.fromkeys(("week", "weeks"), 168.0),
    **dict.fromkeys(("month", "months"), 730.5),
}
_MASSES = {"g": 1e6, "mg": 1e3, "ug": 1.0, "mcg": 1.0}


def _plainly(size: float, written: str, unit: str, molar_mass: float | None) -> float | None:
    """Convert what needs no knowledge of units; None where it does."""
    if written in ("", unit, _say(unit)):
        return size
    if unit == "per_h" and written.startswith("1/") and written[2:] in _HOURS:
        return size * (1 / _HOURS[written[2:]])
    if unit == "h" and written in _HOURS:
        return size * _HOURS[written]
    return size / molar_mass * _MASSES[written] if unit == "umol" and molar_mass and written in _MASSES else None


@cache
def registry() -> pint.UnitRegistry[float]:
    """Return the one unit registry (month = 30.4375 d; points = ALSFRS-R points)."""
    import pint

    units: pint.UnitRegistry[float] = pint.UnitRegistry(cache_folder=None)
    units.define("month = 30.4375 * day")
    units.define("point = [] = points")
    return units


@cache
def read_unit(text: str) -> Any:
    """Read one unit, such as ``mg/kg/d`` or a name of `MODEL_UNITS`, as a pint unit.

    Raises
    ------
    UnitMismatch
        For a name that is no unit, or anything besides names, ``*``, ``/`` and small powers.
    """
    import pint

    spelled = re.sub(r"\s+per\s+", "/", MODEL_UNITS.get(text.strip(), text).strip())
    if spelled and not _UNIT.fullmatch(spelled):
        raise UnitMismatch(f"'{text}' is no unit; write one such as 'mg', 'uM' or 'umol/kg/h'.")
    unit: Any = registry().dimensionless
    for factor in _FACTOR.finditer(spelled):
        name = _WRITTEN.get(factor["name"], factor["name"]).replace("%", "percent")
        try:
            known = registry().parse_units(MODEL_UNITS.get(name, name)) ** int(factor["power"] or 1)
        except (pint.UndefinedUnitError, ValueError):
            raise UnitMismatch(f"'{factor['name']}' is no unit.") from None
        unit = unit / known if factor["how"] == "/" else unit * known
    return unit


def number(text: str, name: str = "value") -> float:
    """Read a text that is one number and nothing else.

    Raises
    ------
    InvalidValue
        If it is not, with the reading it suspects.

    Examples
    --------
    >>> number("1.5e3")
    1500.0
    """
    value, unit = split(text, name)
    if unit:
        raise InvalidValue(f"{name} = '{text}' is not a number.")
    return value


def split(text: str, name: str = "value") -> tuple[float, str]:
    """Split a text into its one number and its unit, which may be empty.

    Raises
    ------
    InvalidValue
        If it does not begin with exactly one number, with the reading it suspects.

    Examples
    --------
    >>> split("2.5 mg/kg")
    (2.5, 'mg/kg')
    """
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    start = _NUMBER.match(plain)
    rest = plain[start.end() :] if start else plain
    # a unit may begin with "1/" and hold small powers; no other digit, and no sign of arithmetic, may follow the number
    stray = re.search("[0-9]", re.sub(r"^\s+1\s*/|(?:\^|\*\*)-?[0-9](?![0-9])", "", rest))
    if start and not stray and not re.match(r"[.,'_]|\s*[-+*^·/]", rest):
        return float(start.group()), rest.strip()
    raise InvalidValue(f"{name} = '{text}' cannot be read as one number and one unit{suspect(plain)}.")


def suspect(text: str) -> str:
    """Say what a text that is no number may mean."""
    if comma := re.match(r"([-+]?[0-9]+),([0-9]+)(.*)", text):
        whole, part, rest = comma.groups()
        thousands = f", for thousands '{whole}{part}{rest}'" if len(part) == 3 else ""
        return f"; for a decimal comma write '{whole}.{part}{rest}'{thousands}"
    if zeros := re.match(r"([-+]?)0+([0-9].*)", text):
        return f"; it begins with 0: write '{zeros[1]}{zeros[2]}' or '{zeros[1]}0.{zeros[2]}'"
    if re.match(r"[-+]?[0-9]*\.[0-9]*\.", text):
        return "; it has two decimal points"
    if re.match(r"[-+]?[0-9.]+\s*[-+*^/]", text):
        return "; numbers are read, never calculated: write the result"
    if re.match(r"[-+]?[0-9]+[ '_][0-9]{3}\b", text):
        return "; write thousands without a gap"
    if re.match(r"[-+]?[0-9.]+.*[0-9]", text):
        return "; it seems to hold two numbers"
    return ""


def magnitude(value: float | str, unit: str, name: str = "value", molar_mass: float | None = None) -> float:
    """Convert a number or a text such as ``"50 mg"`` to a plain number in `unit`.

    Parameters
    ----------
    value : float or str
        A number is taken to be in `unit` already, and so is a text without a unit, except for times: '16' may be
        hours or weeks, and is refused.
    unit : str
        Target unit: a name of `MODEL_UNITS` or another unit such as ``kg``.
    name : str
        What the value is, for the error message.
    molar_mass : float, optional
        Molar mass [g/mol]; allows mass, or mass per volume or time, to be given where an amount is needed.

    Returns
    -------
    float
        The magnitude in `unit`.

    Raises
    ------
    UnitMismatch
        If the unit is unknown, missing or has another dimension.
    InvalidValue
        If the text is not one number and one unit, or the magnitude is not finite.

    Examples
    --------
    >>> magnitude("3.5 d", "h")
    84.0
    >>> magnitude("2 wk", "h")
    336.0
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        size = float(value)
    else:
        size, written = split(str(value), name)
        if not written and unit == "h" and size and math.isfinite(size):
            raise UnitMismatch(f"{name} = '{value}' has no unit; write '{value} h', '{value} d' or '{value} weeks'.")
        plain = _plainly(size, written, unit, molar_mass)
        size = _converted(size, written, unit, f"{name} = '{value}'", molar_mass) if plain is None else plain
    if not math.isfinite(size):
        raise InvalidValue(f"{name} = {value} is not a finite number.")
    return size


def _converted(size: float, written: str, unit: str, what: str, molar_mass: float | None) -> float:
    import pint

    try:
        given = read_unit(written)
        if molar_mass is not None and any(map(given.is_compatible_with, ("g", "g/L", "g/h"))):
            size, given = size / molar_mass, given / registry().Unit("g/mol")
        if re.search(r"\b(radian|bit|decibel|neper)\b", f"{registry().get_root_units(given)[1]} {given}"):
            # angles, information and levels have no dimension, and are no share of anything
            raise UnitMismatch(f"'{written}' is no unit of amounts or times")
        return float(registry().Quantity(size, given).to(read_unit(unit)).magnitude)
    except pint.DimensionalityError:
        raise UnitMismatch(f"{what} is not in {_say(unit)}; give it in {_say(unit)}.") from None
    except UnitMismatch as error:
        raise UnitMismatch(
            f"{what} cannot be read as a quantity ({str(error).rstrip('.')}); "
            f"write a number and a unit, e.g. '1.5 {_say(unit)}'."
        ) from None
    except OverflowError:
        return math.inf


def _say(unit: str) -> str:
    """Spell a model unit the way people write it."""
    text = unit.replace("_per_", "/")
    return "1/" + text.removeprefix("per_") if text.startswith("per_") else text


def output_unit(output: str, unit: str) -> str:
    """Return what people call the unit of an output: points of the ALSFRS-R, which SBML can only call dimensionless.

    >>> output_unit("alsfrs_bulbar", "dimensionless"), output_unit("hcy_plasma", "uM")
    ('points', 'uM')
    """
    rating = output.startswith("alsfrs_") and output != "alsfrs_linear" and unit == "dimensionless"
    return "points" if rating else unit


def label(unit: str) -> str:
    """Return the unit as printed on axes and in tables, e.g. ``uM_per_h`` -> ``µM/h``."""
    text = _say(unit)
    return "" if text == "dimensionless" else text.replace("u", "µ", 1) if text.startswith("u") else text


def written(value: float) -> str:
    """Write a number as people do: thousands apart, four digits, an exponent only where nothing else is short.

    Examples
    --------
    >>> [written(v) for v in (10140.2, 0.82566, -2.256, 3e-5, 1e-12)]
    ['10,140', '0.8257', '-2.256', '3e-05', '0']
    """
    size = abs(value)
    if 1000 <= size < 1e9:
        return f"{round(value, 4 - len(str(int(size)))):,.0f}"
    return "0" if size < 1e-9 else f"{value:.3g}" if size >= 1e9 or size < 1e-4 else f"{value:.4g}"


def minus(text: str) -> str:
    """Return a text with minus signs, not hyphens, before its negative numbers.

    >>> minus("-0.05 (-1.2 to -0.3), 5-95 %, E-07")
    '−0.05 (−1.2 to −0.3), 5-95 %, E-07'
    """
    return re.sub(r"(?<![\w./-])-(?=\d|\.\d)", "−", text)


#: Words of ids that are names.
_PROPER = {"kaji": "Kaji", "nfl": "NfL"} | {
    n.lower(): n
    for n in ("JETALS", "E0761", "CMAP", "CSF", "ITT", "HEALEY", "MND", "SMART", "MAGNET", "EXPERTS", "ALS", "FVC")
}


def in_words(key: str) -> str:
    """Return the id of an arm or a scenario as words, its amounts apart from their units.

    >>> in_words("methylcobalamin_50mg"), in_words("homocysteine_only")
    ('methylcobalamin 50 mg', 'homocysteine only')
    >>> in_words("without e0761_early_50")
    'without E0761 early 50'
    """
    words = re.sub(r"\b(\d+(?:\.\d+)?)(mg|ug|g)\b", r"\1 \2", key.replace("_", " "))
    return " ".join(_PROPER.get(word, word) for word in words.split(" "))
