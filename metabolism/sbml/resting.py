"""Resting states: pseudo-transient continuation from integration to Newton, residual verified here.

The step of an implicit Euler integration grows as the state calms down, so the method is an integration
far from rest and Newton's method near it (Kelley and Keyes 1998, doi:10.1137/S0036142996304796).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import SolverFailed
from metabolism.sbml.equations import Equations
from metabolism.types import Array

#: Largest accepted scaled residual max |dx/dt| / max(|x|, 1e-3 scale) [1/h].
RESIDUAL = 1e-9


#: A state this many times its physiological scale is running away, however slow it looks beside its size.
RUNAWAY = 1e5


#: ``linear(states, parameters, step)`` returns the rates and the moves ``(I / step - J)^-1 rates`` of some patients.
Linear = Callable[[Array, Array, Array], tuple[Array, Array]]


@dataclass(eq=False)
class Search:
    """Where the search for rest ended, one entry per patient.

    Attributes
    ----------
    states : ndarray, shape (patients, states)
    residuals : ndarray, shape (patients,)
        Smallest scaled residual met [1/h]; infinite for a patient that ran away.
    worst : ndarray of int, shape (patients,)
        The state that moved most at that point, or that ran away.
    away : ndarray of bool, shape (patients,)
        Whether a state ran away.
    iterations : int
    """

    states: Array
    residuals: Array
    worst: NDArray[np.int64]
    away: NDArray[np.bool_]
    iterations: int

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether each patient came to rest."""
        return np.asarray(self.residuals < RESIDUAL)


def search(
    linear: Linear, initial: Array, parameters: Array, scale: Array, keep: NDArray[np.bool_], limit: int = 400
) -> Search:
    """Bring many patients to rest at once, each with a step of its own.

    Parameters
    ----------
    linear : callable
        The linear step: dense, or compiled for many patients.
    initial : ndarray, shape (patients, states)
    parameters : ndarray, shape (patients, parameters)
    scale : ndarray, shape (states,)
        Physiological size of each state, so that an empty depot does not stop the search.
    keep : ndarray of bool, shape (states,)
        False for states that are held.
    limit : int
        Largest number of steps.

    Returns
    -------
    Search
    """
    x, floor, iterations = initial.copy(), 1e-3 * scale, 0
    step, best = np.ones(len(x)), np.full(len(x), np.inf)
    worst, away = np.zeros(len(x), dtype=np.int64), np.zeros(len(x), dtype=bool)
    active = np.flatnonzero(np.isfinite(x).all(axis=1) & np.isfinite(parameters).all(axis=1))
    while len(active) and iterations < limit:
        iterations += 1
        here = x[active]
        rates, moves = linear(here, parameters[active], step[active])
        scaled = np.where(keep, np.abs(rates) / np.maximum(np.abs(here), floor), 0.0)
        residual = scaled.max(axis=1)
        # a rate that is not a number is the one to name
        worst[active] = np.where(residual < best[active], scaled.argmax(axis=1), worst[active])
        worst[active] = np.where(np.isnan(residual), np.isnan(scaled).argmax(axis=1), worst[active])
        best[active] = np.fmin(best[active], residual)
        # near rest, polish until rounding stops the fall
        done = (residual < 1e-3 * RESIDUAL) | ((residual < RESIDUAL) & (step[active] > 1e10))
        target = here + moves
        wild = ~np.isfinite(moves) | (target < -floor) | (np.abs(moves) > 2 * (here + floor))
        bad = np.any(wild[:, keep], axis=1)
        # the last move is known already: at rest it polishes the slowest stores from 1e-9 to rounding
        go, back = active[~bad], active[~done & bad]
        x[go] = np.where(keep, np.maximum(target, 0.0), here)[~bad]
        step[go] = np.minimum(step[go] * 3, 1e13)
        step[back] /= 4
        far = np.where(keep, x / scale, 0.0)
        away = np.any(far > RUNAWAY, axis=1)
        worst[away], best[away] = far[away].argmax(axis=1), np.inf
        active = active[~done & (step[active] >= 1e-12) & ~away[active]]
    # a linear solve leaves some 1e-34 in an empty state; left there, it would pass for a flux with a logarithm
    emptied = np.where(keep & (np.abs(x) < np.finfo(float).eps * floor), 0.0, x)
    rows = np.flatnonzero((emptied != x).any(axis=1))
    if len(rows):
        # what is a share of nothing where states are exactly empty keeps its trace
        _, moves = linear(emptied[rows], parameters[rows], np.ones(len(rows)))
        undefined = rows[~np.isfinite(moves[:, keep]).all(axis=1)]
        emptied[undefined] = x[undefined]
    return Search(emptied, best, worst, away, iterations)


def rest(
    system: Equations, x: Array, p: Array, scale: Array, held: tuple[str, ...], limit: int = 400
) -> tuple[Array, float, int]:
    """Bring one state vector to rest.

    Parameters
    ----------
    system : Equations
    x, p : ndarray
        Start state and parameters in solver order.
    scale : ndarray
        Physiological size of each state, so that an empty depot does not stop the search.
    held : tuple of str
        States left out.
    limit : int
        Largest number of steps.

    Returns
    -------
    x : ndarray
    residual : float
        Scaled residual [1/h].
    iterations : int

    Raises
    ------
    SolverFailed
        If no resting state is found; it says which state moves, runs away, or has no rate.
    """
    keep = np.array([s not in held for s in system.states])
    inner, identity = np.ix_(keep, keep), np.eye(int(keep.sum()))

    def linear(states: Array, parameters: Array, step: Array) -> tuple[Array, Array]:
        rates, moves = np.zeros(states.shape), np.zeros(states.shape)
        for i, (own, constants) in enumerate(zip(states, parameters, strict=True)):
            rates[i] = system.f(own, constants)
            try:
                moves[i, keep] = np.linalg.solve(identity / step[i] - system.J(own, constants)[inner], rates[i, keep])
            except np.linalg.LinAlgError:
                moves[i, keep] = np.nan
        return rates, moves

    end = search(linear, x[None], p[None], scale, keep, limit)
    if end.found[0]:
        return end.states[0], float(end.residuals[0]), end.iterations
    state, residual = system.states[int(end.worst[0])], float(end.residuals[0])
    if end.away[0] and system.reading is None:
        reason = f"no resting state: '{state}' runs away; its supply exceeds what can remove it."
    elif end.away[0]:
        # what is small in a file from elsewhere is only guessed from where it begins
        reason = (
            f"no resting state found: in the search '{state}' grew to {RUNAWAY:g} times its size; "
            "simulate(until=...) shows whether it settles."
        )
    elif not np.isfinite(residual):
        reason = f"no resting state: the rate of '{state}' is not a finite number{_divided(system, x, p)}."
    else:
        reason = (
            f"no resting state found: '{state}' still moves at {residual:.1e} of its size per hour; "
            "bring inputs nearer to reference or look for a runaway with simulate(until='2 years')."
        )
    raise SolverFailed(reason, None, state)


def _divided(system: Equations, x: Array, p: Array) -> str:
    """Name the constants of 0 that the model divides by."""
    names = []
    for i in np.flatnonzero(p == 0).tolist():
        other = p.copy()
        other[i] = 1.0
        if np.isfinite(system.f(x, other)).all():
            names.append(system.parameters[i])
    return f": the model divides by {', '.join(names)} = 0; give a value above 0" if names else ""
