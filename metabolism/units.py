"""Units at the doors of the package: text or number in, one internal system (µmol, L, h) inside.

pint is used here and nowhere else; solvers and tables work on plain floats in the model's own units.
"""

from __future__ import annotations

import math
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


@cache
def registry() -> pint.UnitRegistry[float]:
    """Return the one unit registry (month = 30.4375 d; points = ALSFRS-R points)."""
    import pint

    units: pint.UnitRegistry[float] = pint.UnitRegistry(cache_folder=None)
    units.define("month = 30.4375 * day")
    units.define("point = [] = points")
    return units


def magnitude(value: float | str, unit: str, name: str = "value", molar_mass: float | None = None) -> float:
    """Convert a number or a text such as ``"50 mg"`` to a plain number in `unit`.

    Parameters
    ----------
    value : float or str
        A bare number is taken to be in `unit` already.
    unit : str
        Target unit: a name of `MODEL_UNITS` or a pint expression.
    name : str
        What the value is, for the error message.
    molar_mass : float, optional
        Molar mass [g/mol]; allows mass to be given where an amount is needed.

    Returns
    -------
    float
        The magnitude in `unit`.

    Raises
    ------
    UnitMismatch
        If the unit is unknown or has another dimension.
    InvalidValue
        If the magnitude is not finite.

    Examples
    --------
    >>> magnitude("3.5 d", "h"), magnitude(84, "h")
    (84.0, 84.0)
    >>> round(magnitude("50 mg", "umol", molar_mass=1344.4), 2)
    37.19
    >>> magnitude("1.5 nM", "uM")
    0.0015
    """
    target = MODEL_UNITS.get(unit, unit)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    else:
        import pint

        text = str(value).strip()
        for ours, theirs in MODEL_UNITS.items():
            if text.endswith(" " + ours):
                text = text[: -len(ours)] + theirs
                break
        try:
            quantity: Any = registry().Quantity(text)
            if molar_mass is not None and quantity.check("[mass]"):
                quantity = quantity / registry().Quantity(molar_mass, "g/mol")
            if quantity.dimensionless and quantity.units == registry().dimensionless and not _has_unit(text):
                number = float(quantity.magnitude)
            else:
                number = float(quantity.to(target).magnitude)
        except pint.DimensionalityError:
            raise UnitMismatch(f"{name} = '{value}' is not in {_say(unit)}; give it in {_say(unit)}.") from None
        except (
            pint.UndefinedUnitError,
            pint.errors.DefinitionSyntaxError,
            ValueError,
            TypeError,
            SyntaxError,
            AssertionError,
            AttributeError,
            ZeroDivisionError,
            OverflowError,
        ) as error:
            raise UnitMismatch(
                f"{name} = '{value}' cannot be read as a quantity ({error}); write a number and a unit, "
                f"e.g. '1.5 {_say(unit)}'."
            ) from None
    if not math.isfinite(number):
        raise InvalidValue(f"{name} = {value} is not a finite number.")
    return number


def _has_unit(text: str) -> bool:
    return any(character.isalpha() for character in text.lower().replace("e-", "").replace("e+", ""))


def _say(unit: str) -> str:
    """Spell a model unit the way people write it."""
    return {
        "uM": "uM",
        "umol": "umol",
        "per_h": "1/h",
        "L_per_h": "L/h",
        "umol_per_h": "umol/h",
        "uM_per_h": "uM/h",
        "per_uM": "1/uM",
        "per_uM_per_h": "1/uM/h",
    }.get(unit, unit)


def label(unit: str) -> str:
    """Return the unit as printed on axes and in tables.

    >>> label("uM_per_h"), label("h"), label("dimensionless")
    ('µM/h', 'h', '')
    """
    text = _say(unit)
    return "" if text == "dimensionless" else text.replace("u", "µ", 1) if text.startswith("u") else text
