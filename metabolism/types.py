"""Types that every room speaks of."""

import numpy as np
from numpy.typing import NDArray

#: Floating-point numbers in an array of any shape.
Array = NDArray[np.float64]


def in_brief(what: object, *facts: str) -> str:
    """Return one line that stands for an object where it is looked at, in a notebook or a debugger.

    >>> in_brief(1.5, "half of three", "")
    '<float: half of three>'
    """
    return f"<{type(what).__name__}: {'; '.join(fact for fact in facts if fact)}>"
