"""Resting states: pseudo-transient continuation from integration to Newton, residual verified here.

The step of an implicit Euler integration grows as the state calms down, so the method is an integration
far from rest and Newton's method near it (Kelley and Keyes 1998, doi:10.1137/S0036142996304796).
"""

from __future__ import annotations

import numpy as np

from metabolism.errors import SolverFailed
from metabolism.sbml.equations import Equations
from metabolism.types import Array

#: Largest accepted scaled residual max |dx/dt| / max(|x|, 1e-3 scale) [1/h].
RESIDUAL = 1e-9


#: A state this many times its physiological scale is running away, however slow it looks beside its size.
RUNAWAY = 1e5


def rest(
    system: Equations, x: Array, p: Array, scale: Array, held: tuple[str, ...], limit: int = 400
) -> tuple[Array, float, int]:
    """Bring one state vector to rest.

    Parameters
    ----------
    x, p : ndarray
        Start state and parameters in solver order.
    scale : ndarray
        Physiological size of each state, so that an empty depot does not stop the search.
    held : tuple of str
        States left out.

    Returns
    -------
    x : ndarray
    residual : float
        Scaled residual [1/h].
    iterations : int
    """
    keep = np.array([i for i, s in enumerate(system.states) if s not in held])
    floor = 1e-3 * scale[keep]
    x, step, identity = x.copy(), 1.0, np.eye(len(keep))
    best, worst = np.inf, 0
    for iteration in range(limit):
        f = system.f(x, p)[keep]
        scaled = np.abs(f) / np.maximum(np.abs(x[keep]), floor)
        residual = float(scaled.max())
        if residual < best:
            best, worst = residual, int(scaled.argmax())
        # near rest, polish until rounding stops the fall
        if residual < 1e-3 * RESIDUAL or (residual < RESIDUAL and residual > 0.5 * best and step > 1e10):
            return x, residual, iteration
        try:
            move = np.linalg.solve(identity / step - system.J(x, p)[np.ix_(keep, keep)], f)
        except np.linalg.LinAlgError:
            step /= 4
            continue
        target = x[keep] + move
        if not np.isfinite(move).all() or (target < -floor).any() or (np.abs(move) > 2 * (x[keep] + floor)).any():
            step /= 4
            if step < 1e-12:
                break
            continue
        x[keep] = np.maximum(target, 0.0)
        if (x[keep] > RUNAWAY * scale[keep]).any():
            state = system.states[keep[int((x[keep] / scale[keep]).argmax())]]
            raise SolverFailed(
                f"no resting state: '{state}' runs away; its supply exceeds what can remove it.", None, state
            )
        step = min(step * 3, 1e13)
    if best < RESIDUAL:
        return x, best, limit
    state = system.states[keep[worst]]
    raise SolverFailed(
        f"no resting state found: '{state}' still moves at {best:.1e} of its size per hour; "
        "bring inputs nearer to reference or look for a runaway with simulate(until='2 years').",
        None,
        state,
    )
