"""Derivatives of curves and endpoints by parameters, resting state and own baselines included."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metabolism.engines import Direction, Failure, Problem, slopes
from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.sbml import FileModel
from metabolism.simulation.endpoints import Part
from metabolism.simulation.ledger import verify_doses
from metabolism.simulation.study import Study
from metabolism.tables import column
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.simulation.patients import Columns

#: Relative step of a sensitivity: its square is the truncation error, rounding over it the noise.
NUDGE = 1e-4


def slopes_of(
    study: Study,
    parameters: Sequence[str],
    patients: Columns | None = None,
    *,
    outputs: Sequence[str] = (),
    times: ArrayLike | None = None,
    workers: int = 1,
) -> tuple[Problem, Array, Array, dict[int, Failure]]:
    """Differentiate the endpoints, or outputs over time if there are none, by parameters.

    Parameters
    ----------
    study : Study
    parameters : sequence of str
    patients, outputs, times, workers
        As in `metabolism.simulate`.

    Returns
    -------
    problem : Problem
    values : ndarray, shape (patients, times, outputs) or (patients, endpoints)
    slopes : ndarray, shape (patients, parameters, ...)
    failures : dict of int to Failure
        Their values are NaN.
    """
    asked: ArrayLike | None = [study.until] if study.endpoints else times
    problem, failures = study.lay_out(patients, outputs=outputs, times=asked, workers=workers)
    known = {*problem.equations.parameters, *problem.equations.states}
    given = {} if patients is None else {str(k): column(patients[k], str(k)) for k in patients if k in known}
    directions = [_direction(study, problem, name, failures, given) for name in parameters]
    if not study.endpoints:
        solution, derivatives = slopes(problem, directions, None, workers)
        verify_doses(problem, solution)
        values, failures = solution.values, solution.failures | failures
    else:
        values = np.zeros((len(problem.initial), len(study.endpoints)))
        derivatives = np.zeros((len(values), len(parameters), len(study.endpoints)))
        for sign, arm, wanted in study.arms(problem):
            before, running = study.parts_of(wanted)
            parts, moved = _before(arm, directions, before)
            if running:
                solution, own = slopes(arm, directions, running, workers)
                verify_doses(arm, solution)
                failures = solution.failures | failures
                parts |= {p: solution.values[:, 0, i, None] for i, p in enumerate(running)}
                moved |= {p: own[:, :, 0, i] for i, p in enumerate(running)}
            for i in wanted:
                values[:, i] += sign * study.endpoints[i].value(parts, arm.end - arm.start)[:, 0]
                derivatives[:, :, i] += sign * study.endpoints[i].slope(parts, moved, arm.end - arm.start)
    values[list(failures)] = derivatives[list(failures)] = np.nan
    return problem, values, derivatives, failures


def _direction(
    study: Study, problem: Problem, name: str, failures: Collection[int], given: Mapping[str, Array]
) -> Direction:
    """How parameters and start of every patient move with one parameter."""
    system = problem.equations
    if name not in system.parameters:
        raise UnknownName("parameter", name, system.parameters)
    if name in study.own_baseline:
        raise InvalidValue(f"'{name}' is set by own_baseline, so nothing can be differentiated by it.")
    column = system.parameters.index(name)
    nominal = problem.parameters[:, column]
    if (nominal == 0).any():
        raise InvalidValue(f"a sensitivity needs values other than 0, and '{name}' is 0: a relative step has no size.")
    parameters, initial = np.zeros_like(problem.parameters), np.zeros_like(problem.initial)
    parameters[:, column] = 1.0
    step = NUDGE * np.abs(nominal)
    if isinstance(study.model, FileModel):
        # what the file computes at the start moves, too
        up, down = (study.model.starts({**given, name: nominal + s}, len(nominal)) for s in (step, -step))
        parameters, initial = ((a - b) / (2 * step[:, None]) for a, b in zip(up, down, strict=True))
        if study.start == "rest":
            raise UsageError("sensitivities of a model from a file start at its initial values.")
    keep = np.array([system.states.index(s) for s in study.model.resting])
    loaded = problem.loaded
    # a change for life has a share of the own value
    share = problem.plan.lasting([name], np.ones((1, 1))) - problem.plan.lasting([name], np.zeros((1, 1)))
    for i in sorted(set(range(len(nominal))) - set(failures)) if study.start == "rest" else ():
        # implicit function theorem: J dx + df/dp = 0
        x, p = problem.initial[i], loaded[i]
        moved = share[0, 0] * np.array(system.parameter_slope(name)(x.tolist(), p.tolist()))
        initial[i, keep] = np.linalg.solve(system.J(x, p)[np.ix_(keep, keep)], -moved[keep])
    for target, source in study.own_baseline.items():
        move = Direction(parameters, initial, step)
        parameters[:, system.parameters.index(target)] = _difference(problem, move, [source])[:, 0]
    return Direction(parameters, initial, step)


def _difference(problem: Problem, move: Direction, outputs: Sequence[str]) -> Array:
    """Derivative of outputs before anything happens, per patient, by central differences: (patients, outputs)."""
    step, names = move.step[:, None], problem.equations.parameters
    up, down = (
        problem.equations.evaluate(
            outputs,
            problem.initial + s * move.initial,
            problem.plan.lasting(names, problem.parameters + s * move.parameters),
        )
        for s in (step, -step)
    )
    return np.asarray((up - down) / (2 * step))


def _before(
    problem: Problem, directions: Sequence[Direction], parts: Sequence[Part]
) -> tuple[dict[Part, Array], dict[Part, Array]]:
    """Values (patients, 1) and slopes (patients, directions) of outputs before anything happens."""
    outputs = [p[1] for p in parts]
    first = problem.equations.evaluate(outputs, problem.initial, problem.loaded)
    moved = np.stack([_difference(problem, d, outputs) for d in directions], axis=1)
    return {p: first[:, i, None] for i, p in enumerate(parts)}, {p: moved[:, :, i] for i, p in enumerate(parts)}
