"""What a number may be: a limit is a short text, which one function reads, checks and says.

``[0, 1) per month`` takes 0 but not 1, ``whole [2, 100]`` whole numbers only. Nothing that is not a number passes, nor
one that is not finite; a share above one that would fit as a percentage is told so.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from functools import cache
from numbers import Integral, Real

from metabolism.errors import InvalidValue

#: Any time of a trial.
WEEKS = "(0, 1040] weeks"


def refuse(condition: bool, text: str) -> None:
    """Raise `InvalidValue` with a reason if a condition holds."""
    if condition:
        raise InvalidValue(text)


@cache
def _read(limit: str) -> tuple[bool, bool, float, float, bool]:
    found = re.fullmatch(r"(whole )?([\[(])(\S+), (\S+)([\])]).*", limit)
    assert found is not None, limit
    return bool(found[1]), found[2] == "(", float(found[3]), float(found[4]), found[5] == ")"


def inside(name: str, value: object, limit: str, where: str = "") -> None:
    """Refuse a value that is no number within a limit.

    Parameters
    ----------
    name : str
        What it is the value of.
    limit : str
        Such as ``(0, 48] points`` or ``whole [1, 100]``.
    where : str
        Words before the name, such as ``arm 'active': ``.

    Raises
    ------
    InvalidValue

    Examples
    --------
    >>> inside("drop_out", 0.05, "[0, 1) per month")
    >>> inside("drop_out", 5, "[0, 1) per month")
    Traceback (most recent call last):
        ...
    metabolism.errors.InvalidValue: drop_out = 5 must lie in [0, 1) per month; for 5 % write 0.05.
    """
    whole, above, low, high, below = _read(limit)

    def fits(number: float) -> bool:
        return (low < number if above else low <= number) and (number < high if below else number <= high)

    if isinstance(value, Integral if whole else Real) and type(value).__name__ not in ("bool", "bool_"):
        number = float(value)
        if math.isfinite(number) and fits(number):
            return
        share = not whole and high <= 1 and number >= 1 and fits(number / 100)
        hint = f"; for {number:g} % write {number / 100:g}" if share else ""
    else:
        hint = ""
    words = "be a" if whole else "lie in"
    shown = f"{value:g}" if isinstance(value, float) else value
    raise InvalidValue(f"{where}{name} = {shown} must {words} {limit.replace('whole [', 'whole number in [')}{hint}.")


def within(found: object, limits: Mapping[str, str], where: str = "") -> None:
    """Check attributes of a data class, and each member of a tuple; None passes where it is the default.

    Raises
    ------
    InvalidValue
    """
    defaults = {f.name: f.default for f in dataclasses.fields(found)}  # type: ignore[arg-type]
    for name, limit in limits.items():
        value = getattr(found, name)
        if value is None and defaults[name] is None:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            inside(name, one, limit, where)
