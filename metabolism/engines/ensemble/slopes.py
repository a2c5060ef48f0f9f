"""Derivatives of outputs and endpoints along the steps of the unperturbed patient.

Central differences over a step sequence that does not change with the parameter are smooth (internal numerical
differentiation, Bock 1981, doi:10.1007/978-3-642-68220-9_8): the error is that of the solution itself, and not
the tolerance divided by the step in the parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metabolism.engines.contract import Problem, Solution
from metabolism.engines.ensemble.compile import kernel
from metabolism.engines.ensemble.run import Request, Run
from metabolism.types import Array


@dataclass(frozen=True, eq=False)
class Direction:
    """A way to move every patient.

    Attributes
    ----------
    parameters : ndarray, shape (patients, parameters)
        Change of the parameters per unit.
    initial : ndarray, shape (patients, states)
        Change of the initial states per unit.
    step : ndarray, shape (patients,)
        How many units to move, up and down.
    """

    parameters: Array
    initial: Array
    step: Array


def slopes(
    problem: Problem, directions: Sequence[Direction], requests: Sequence[Request] | None = None, workers: int = 1
) -> tuple[Solution, Array]:
    """Differentiate outputs at the output times, or endpoints, by each direction.

    Parameters
    ----------
    problem : Problem
    directions : sequence of Direction
    requests : sequence of tuple, optional
        Endpoints as in `FastEngine.endpoints`; without them, the outputs of the problem.
    workers : int
        Threads.

    Returns
    -------
    solution : Solution
        Of the unperturbed patients.
    slopes : ndarray, shape (patients, directions, times, outputs)
        Derivatives [unit of the value / unit of the direction]; for endpoints there is one time.
    """
    compiled = kernel(problem.equations)
    patients, group = len(problem.initial), compiled.lanes
    # every group of lanes: the patient as it is, then moves up and down; spare lanes repeat the patient
    moves = [(k, sign) for k in range(len(directions)) for sign in (1.0, -1.0)]
    blocks = -(-len(moves) // (group - 1))
    own = np.arange(patients) * blocks * group
    rows = np.repeat(np.arange(patients), blocks * group)
    p, x = problem.parameters[rows], problem.initial[rows]
    place = {move: n // (group - 1) * group + 1 + n % (group - 1) for n, move in enumerate(moves)}
    for (k, sign), offset in place.items():
        move, change = directions[k], sign * directions[k].step[:, None]
        p[own + offset] += change * move.parameters
        x[own + offset] += change * move.initial
    wide = Run(replace(problem.take(rows), parameters=p, initial=x), compiled)
    solved = (
        wide.solve(None, workers, linked=True) if requests is None else wide.endpoints(requests, None, workers, True)
    )
    found = np.empty((patients, len(directions), *solved.values.shape[1:]))
    for k, move in enumerate(directions):
        width = (2 * move.step)[:, None, None]
        found[:, k] = (solved.values[own + place[k, 1.0]] - solved.values[own + place[k, -1.0]]) / width
    failures = {i: solved.failures[row] for i, row in enumerate(own.tolist()) if row in solved.failures}
    delivered = {target: amounts[own] for target, amounts in solved.delivered.items()}
    return Solution(solved.values[own], solved.pre_dose[own], delivered, solved.final[own], failures), found
