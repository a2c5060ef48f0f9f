"""The resting state of one patient or many, and the outputs there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import SolverFailed
from metabolism.model import Model, equations
from metabolism.sbml import Equations, rest
from metabolism.types import Array


@dataclass(eq=False)
class Patients:
    """Parameters, resting states, and why a patient has none.

    Attributes
    ----------
    parameters : ndarray, shape (patients, parameters)
    states : ndarray, shape (patients, states)
        NaN where there is no resting state.
    failures : dict of int to str
    """

    parameters: Array
    states: Array
    failures: dict[int, str]


def rest_patients(model: Model, parameters: Array, start: Array, failures: dict[int, str] | None = None) -> Patients:
    """Bring many patients to rest; those that cannot get NaN states and a reason.

    Parameters
    ----------
    parameters, start : ndarray, shape (patients, parameters), (patients, states)
    failures : dict, optional
        Patients that have failed before; they are left out.
    """
    reasons = dict(failures or {})
    alive = np.array([i for i in range(len(parameters)) if i not in reasons], dtype=int)
    states = np.full(start.shape, np.nan)
    if len(alive):
        states[alive], why = bring_to_rest(model, parameters[alive], start[alive])
        reasons |= {int(alive[i]): reason for i, reason in why.items()}
    return Patients(parameters, states, reasons)


def outputs_of(system: Equations, names: Sequence[str], states: Array, parameters: Array) -> Array:
    """Evaluate outputs at one state per patient: shape (patients, names); NaN where the state is."""
    values = np.full((len(states), len(names)), np.nan)
    place = {n: i for i, n in enumerate(system.states)}
    fixed = {n: i for i, n in enumerate(system.parameters)}
    rules = {n: i for i, n in enumerate(system.expanded)}
    for i in np.flatnonzero(np.isfinite(states).all(axis=1)).tolist():
        x, p = states[i].tolist(), parameters[i].tolist()
        derived = system.derived(x, p) if any(n in rules for n in names) else []
        values[i] = [x[place[n]] if n in place else derived[rules[n]] if n in rules else p[fixed[n]] for n in names]
    return values


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


def bring_to_rest(
    model: Model, parameters: Array, start: Array, batch: bool = True, workers: int = 1
) -> tuple[Array, dict[int, str]]:
    """Return the resting state of each patient, NaN where there is none, and why.

    Parameters
    ----------
    parameters, start : ndarray, shape (patients, parameters), (patients, states)
    batch : bool
        Search for all at once on the fast engine before trying one by one.
    workers : int
        Threads of the search for all at once.
    """
    system = equations(model)
    scale = np.array([model.table[s].scale for s in system.states])
    states, waiting = start.copy(), np.arange(len(start))
    failures: dict[int, str] = {}
    if batch:
        from metabolism.engines import rest_many

        found, _, ok = rest_many(system, parameters, start, scale, model.not_at_rest, workers=workers)
        states[ok] = found[ok]
        waiting = np.flatnonzero(~ok)
    # one by one where the batch found no rest: a second try, or the reason
    for i in waiting.tolist():
        try:
            states[i], _, _ = rest(system, start[i], parameters[i], scale, model.not_at_rest)
        except SolverFailed as error:
            failures[i] = str(error)
            states[i] = np.nan
    return states, failures


def values_of(system: Equations, names: Sequence[str], x: Array, p: Array) -> list[float]:
    """Evaluate states, parameters, rules or reactions at one point: shapes (states,), (parameters,)."""
    known = dict(zip(system.states, x.tolist(), strict=True)) | dict(zip(system.parameters, p.tolist(), strict=True))
    if not known.keys() >= set(names):
        known |= dict(zip(system.expanded, system.derived(x.tolist(), p.tolist()), strict=True))
    return [float(known[name]) for name in names]
