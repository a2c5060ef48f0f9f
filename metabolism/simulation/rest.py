"""The resting state of one patient or many, and the outputs there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import SolverFailed
from metabolism.model import equations
from metabolism.sbml import Equations, KineticModel, rest
from metabolism.types import Array, in_brief


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


def rest_patients(
    model: KineticModel,
    parameters: Array,
    start: Array,
    failures: dict[int, str] | None = None,
    *,
    batch: bool = True,
    workers: int = 1,
) -> Patients:
    """Bring many patients to rest; those that cannot get NaN states and a reason.

    Parameters
    ----------
    model : KineticModel
    parameters, start : ndarray, shape (patients, parameters), (patients, states)
    failures : dict, optional
        Patients that have failed before; they are left out.
    batch : bool
        Search for all at once in compiled code before trying one by one.
    workers : int
        Threads of the search for all at once.

    Returns
    -------
    Patients
    """
    system, reasons = equations(model), dict(failures or {})
    waiting = np.array([i for i in range(len(parameters)) if i not in reasons], dtype=int)
    states = np.full(start.shape, np.nan)
    if batch and len(waiting):
        from metabolism.engines import rest_many

        x, _, ok = rest_many(
            system, parameters[waiting], start[waiting], model.scale, model.not_at_rest, workers=workers
        )
        states[waiting[ok]], waiting = x[ok], waiting[~ok]
    # one by one where the batch found no rest: a second try, or the reason
    for i in waiting.tolist():
        try:
            states[i], _, _ = rest(system, start[i], parameters[i], model.scale, model.not_at_rest)
        except SolverFailed as error:
            reasons[i] = str(error)
    return Patients(parameters, states, reasons)


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

    def __repr__(self) -> str:
        return in_brief(
            self,
            f"{len(self.values)} values at rest by id in .values",
            f"slowest half-life {np.log(2) / -self.eigenvalues.real.max():.3g} h" if len(self.eigenvalues) else "",
            f"residual {self.residual:.1g} per h after {self.iterations} iterations",
        )

    @property
    def stable(self) -> bool:
        """Whether small changes die away: `dies_away` of the eigenvalues."""
        return dies_away(self.eigenvalues)


def eigenvalues_at(system: Equations, x: Array, p: Array, resting: Sequence[str]) -> NDArray[np.complex128]:
    """Eigenvalues of the Jacobian over the resting states [1/h]."""
    keep = [system.states.index(s) for s in resting]
    return np.linalg.eigvals(system.J(x, p)[np.ix_(keep, keep)]).astype(np.complex128)


def dies_away(eigenvalues: NDArray[np.complex128]) -> bool:
    """Whether small changes die away, an eigenvalue of 0 is something conserved, one that turns is not."""
    rounding = 1e-11 * np.abs(eigenvalues).max(initial=0.0)
    return bool(np.all(eigenvalues.real[np.abs(eigenvalues) > rounding] < -rounding))


def steady_state(model: KineticModel) -> SteadyState:
    """Find the resting state of a model.

    Parameters
    ----------
    model : KineticModel
        States listed in ``model.not_at_rest`` (accumulators, motor units) are held.

    Raises
    ------
    SolverFailed
        If no non-negative state with a scaled residual below `RESIDUAL` is found.
    """
    system = equations(model)
    x, p = system.vectors(model.values)
    x, residual, iterations = rest(system, x, p, model.scale, model.not_at_rest)
    names = [*system.states, *system.expanded]
    values = dict(zip(names, system.evaluate(names, x, p).tolist(), strict=True))
    return SteadyState(values, residual, eigenvalues_at(system, x, p, model.resting), iterations)
