"""Resting states: pseudo-transient continuation from integration to Newton, residual verified here.

The step of an implicit Euler integration grows as the state calms down, so the method is an integration
far from rest and Newton's method near it (Kelley and Keyes 1998, doi:10.1137/S0036142996304796).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metabolism.equations import Array, Equations, equations
from metabolism.errors import SolverFailed
from metabolism.model import Model

#: Largest accepted scaled residual max |dx/dt| / max(|x|, 1e-3 scale) [1/h].
RESIDUAL = 1e-9
#: A state this many times its physiological scale is running away, however slow it looks beside its size.
RUNAWAY = 1e5


@dataclass(frozen=True, eq=False)
class SteadyState:
    """A verified resting state.

    Attributes
    ----------
    values : dict of str to float
        Every state, rule and reaction at rest [model units]; states that never rest keep their start value.
    residual : float
        Largest scaled rate of change [1/h].
    eigenvalues : ndarray
        Eigenvalues of the Jacobian over the resting states [1/h].
    iterations : int
    """

    values: dict[str, float]
    residual: float
    eigenvalues: NDArray[np.complex128]
    iterations: int

    @property
    def stable(self) -> bool:
        """Whether every eigenvalue has a negative real part."""
        return bool(np.all(np.real(self.eigenvalues) < 0))


def steady_state(model: Model) -> SteadyState:
    """Find the resting state of a model.

    Parameters
    ----------
    model : Model
        States listed in ``model.not_at_rest`` (accumulators, motor units) are held.

    Raises
    ------
    SolverFailed
        If no non-negative state with a scaled residual below `RESIDUAL` is found.
    """
    system = equations(model)
    x, p = system.vectors(model.values)
    x, residual, iterations = rest(system, x, p, _scale(model, system), model.not_at_rest)
    names = [*system.states, *system.expanded]
    values = dict(zip(names, [*x.tolist(), *system.derived(x.tolist(), p.tolist())], strict=True))
    keep = [i for i, s in enumerate(system.states) if s not in model.not_at_rest]
    eigenvalues = np.linalg.eigvals(system.J(x, p)[np.ix_(keep, keep)]).astype(np.complex128)
    return SteadyState(values, residual, eigenvalues, iterations)


def _scale(model: Model, system: Equations) -> Array:
    return np.array([model.table[s].scale for s in system.states])


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
