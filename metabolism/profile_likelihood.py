"""Profile likelihood of any problem given as a function of its residuals; those of a fit are in `metabolism.posterior`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue, SolverFailed, UnknownName
from metabolism.posterior import THRESHOLD, Profile

Array = NDArray[np.float64]


def profile(
    residuals: Callable[[Array], Array],
    best: Sequence[float],
    names: Sequence[str],
    parameter: str,
    *,
    low: Sequence[float],
    high: Sequence[float],
    points: int = 12,
) -> Profile:
    """Profile minus twice the log likelihood along one parameter of any problem, the others re-fitted.

    Parameters
    ----------
    residuals : callable
        Parameters (all above 0) to residuals in standard deviations.
    best : sequence of float
        The fit.
    low, high : sequence of float
        Bounds of all parameters.
    points : int
        Points on each side, evenly spaced on the log scale to the bound; each starts from its neighbour.

    Raises
    ------
    UnknownName, InvalidValue
    SolverFailed
        If the profile falls below the fit by more than 0.1: the fit was no minimum.
    """
    from scipy.optimize import least_squares

    if parameter not in names:
        raise UnknownName("parameter", parameter, names)
    x, a, b = (np.asarray(v, dtype=float) for v in (best, low, high))
    if not ((a > 0) & (a < b) & (a <= x) & (x <= b)).all():
        raise InvalidValue("bounds must be above 0, increasing, and hold the fit between them.")
    own = list(names).index(parameter)
    free = [i for i in range(len(x)) if i != own]
    base = float((residuals(x) ** 2).sum())
    found = [(x[own], base)]
    for bound in (a[own], b[own]):
        here = np.log(x)
        for value in np.linspace(np.log(x[own]), np.log(bound), points + 1)[1:]:
            here[own] = value
            if free:

                def others(z: Array, value: float = value) -> Array:
                    full = np.empty(len(x))
                    full[own], full[free] = value, z
                    return np.asarray(residuals(np.exp(full)))

                limits = (np.log(a[free]) - 1e-12, np.log(b[free]) + 1e-12)
                solved = least_squares(
                    others, np.clip(here[free], *limits), bounds=limits, xtol=1e-12, ftol=1e-12, gtol=1e-12
                )
                here[free], cost = solved.x, 2 * float(solved.cost)
            else:
                cost = float((residuals(np.exp(here)) ** 2).sum())
            if cost < base - 0.1:
                raise SolverFailed(
                    f"the profile of '{parameter}' falls {base - cost:.2g} below the fit at {np.exp(value):.4g}: the fit "
                    "was no minimum; fit again from there."
                )
            found.append((float(np.exp(value)), cost))
            if cost > base + 3 * THRESHOLD:
                break
    values, costs = (np.array(column) for column in zip(*sorted(found), strict=True))
    return Profile(parameter, values, np.maximum(costs - costs.min(), 0.0))
