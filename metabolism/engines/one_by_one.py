"""Shared by engines that integrate one patient at a time: segments, doses, the measured ledger, processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from metabolism.engines.contract import Failure, Problem, Solution, get_engine
from metabolism.errors import ModelError, SolverFailed
from metabolism.processes import following
from metabolism.types import Array


class Stepper(Protocol):
    """One patient in one engine: read and change its state, and integrate it forward."""

    def start(self, parameters: Array, initial: Array) -> None:
        """Load a patient afresh."""

    def advance(self, begin: float, times: Array) -> Array:
        """Integrate from `begin` through increasing `times` [h] and return outputs (times, outputs)."""

    def outputs(self) -> Array:
        """Return the outputs of the present state (outputs,)."""

    def state(self) -> Array:
        """Return the present state (states,)."""

    def add(self, species: str, amount: float) -> float:
        """Add an amount [µmol] and return the amount by which the species rose, read back from the engine."""

    def set(self, parameter: str, value: float) -> None:
        """Set a parameter from now on."""


def solve_one_by_one(
    problem: Problem, make: Callable[[Problem], Stepper], name: str, tick: Callable[[int], None] | None, workers: int
) -> Solution:
    """Integrate each patient in turn; a failure marks that patient and goes on with the next.

    Parameters
    ----------
    make : callable
        Builds the stepper of this engine.
    name : str
        Name of the engine, by which worker processes find it again.
    workers : int
        Processes among which patients are shared; no result depends on it.

    Raises
    ------
    ModelError
        For a model with events: they would be left out without a word.
    """
    system = problem.equations
    if system.events or (system.reading and name == "roadrunner"):
        what = "carries out no events of a file" if system.events else "takes no model that was read by this package"
        raise ModelError(f"engine='{name}' {what}; use engine='fast'.")
    if workers > 1 and len(problem.initial) >= 2 * workers:
        return _in_processes(problem, name, tick, workers)
    stepper, loaded = make(problem), problem.loaded
    patients, width = len(problem.initial), len(problem.outputs)
    solution = Solution(
        values=np.full((patients, len(problem.times), width), np.nan),
        pre_dose=np.full((patients, len(problem.bolus_times), width), np.nan),
        delivered={target: np.zeros(patients) for target in problem.plan.asked},
        final=np.full(problem.initial.shape, np.nan),
    )
    for patient in range(patients):
        try:
            _one(problem, loaded, stepper, patient, solution)
        except SolverFailed as error:
            solution.failures[patient] = Failure(error.time or problem.start, error.state or "", str(error))
        if tick:
            tick(1)
    return solution


def _one(problem: Problem, loaded: Array, stepper: Stepper, patient: int, solution: Solution) -> None:
    plan, own = problem.plan, problem.parameters[patient]
    position = {name: i for i, name in enumerate(problem.equations.parameters)}
    rates = plan.infused
    held: dict[str, tuple[float, float]] = {}
    stepper.start(loaded[patient], problem.initial[patient])
    jumps = problem.bolus_times
    stops = sorted({*plan.boundaries, problem.end})
    time = problem.start
    for stop in [problem.start, *stops]:
        if stop > time:
            inside = problem.times[(problem.times > time) & (problem.times < stop)]
            # a rounding step is too short to be integrated
            apart = inside[inside < np.nextafter(stop, -np.inf)]
            rows = stepper.advance(time, np.append(apart, stop))
            place = np.searchsorted(problem.times, inside)
            solution.values[patient, place] = rows[np.minimum(np.arange(len(inside)), len(apart))]
            time = stop
        for parameter, (since, rate) in held.items():
            if parameter in rates and rate:
                solution.delivered[rates[parameter]][patient] += rate * (time - since)
                held[parameter] = (time, rate)
        if time in jumps:
            solution.pre_dose[patient, jumps.index(time)] = stepper.outputs()
        for i, (when, species, amount) in enumerate(plan.boluses):
            if when == time:
                given = amount * problem.dose_scale[patient, i]
                solution.delivered[species][patient] += stepper.add(species, given)
        for when, parameter, factor, offset in plan.settings:
            if when == time:
                change = float(offset[patient]) if isinstance(offset, np.ndarray) else offset
                stepper.set(parameter, factor * float(own[position[parameter]]) + change)
                held[parameter] = (time, change if factor == 0.0 else 0.0)
        found = np.searchsorted(problem.times, time)
        if found < len(problem.times) and problem.times[found] == time:
            solution.values[patient, found] = stepper.outputs()
    solution.final[patient] = stepper.state()


def _in_processes(problem: Problem, name: str, tick: Callable[[int], None] | None, workers: int) -> Solution:
    from joblib import Parallel, delayed

    parts = [part for part in np.array_split(np.arange(len(problem.initial)), workers * 8) if len(part)]
    jobs = (delayed(_solve_part)(problem.take(part), name) for part in parts)
    solutions = []
    solved = Parallel(n_jobs=workers, return_as="generator", **following())(jobs)
    for part, solution in zip(parts, solved, strict=True):
        solutions.append(solution)
        if tick:
            tick(len(part))
    return _join(solutions, parts)


def _solve_part(problem: Problem, name: str) -> Solution:
    return get_engine(name).solve(problem)


def _join(solutions: Sequence[Solution], parts: Sequence[Any]) -> Solution:
    return Solution(
        np.concatenate([s.values for s in solutions]),
        np.concatenate([s.pre_dose for s in solutions]),
        {k: np.concatenate([s.delivered[k] for s in solutions]) for k in solutions[0].delivered},
        np.concatenate([s.final for s in solutions]),
        {int(part[i]): f for s, part in zip(solutions, parts, strict=True) for i, f in s.failures.items()},
    )
