"""libRoadRunner (CVODE, just-in-time compiled): the default engine for single runs."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from metabolism.engines.contract import Problem, Solution
from metabolism.engines.one_by_one import solve_one_by_one
from metabolism.errors import SolverFailed, needs
from metabolism.types import Array

#: The library crashes, or mixes up curves without a word, where two threads are in it at once.
_ONE = threading.RLock()


@lru_cache(maxsize=4)
def _loaded(sbml: str) -> Any:
    # CVODE's own logger writes to stderr for every failed step; failures are reported by us instead
    os.environ.setdefault("SUNLOGGER_ERROR_FILENAME", os.devnull)
    os.environ.setdefault("SUNLOGGER_WARNING_FILENAME", os.devnull)
    with needs("referee", "engine='roadrunner'"):
        import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_CRITICAL)
    runner = roadrunner.RoadRunner(sbml)
    # long gaps between doses need many internal steps
    runner.integrator.setValue("maximum_num_steps", 200_000)
    return runner


class RoadRunnerEngine:
    """libRoadRunner with a tolerance per state and one call per dose interval."""

    name = "roadrunner"

    def solve(self, problem: Problem, tick: Callable[[int], None] | None = None, workers: int = 1) -> Solution:
        """Integrate every patient in turn, in `workers` processes; threads wait for each other."""
        with _ONE:
            return solve_one_by_one(problem, _Stepper, self.name, tick, workers)


class _Stepper:
    def __init__(self, problem: Problem) -> None:
        self.equations = problem.equations
        self.atol, self.parameters = problem.atol, problem.parameters[0].copy()
        self.runner = _loaded(problem.equations.sbml)
        model = self.runner.model
        order = [model.getStateVectorId(i) for i in range(len(self.equations.states))]
        # CVODE works on amounts: a tolerance on a concentration is multiplied by its compartment size
        size = dict(zip(self.equations.parameters, problem.parameters[0], strict=True))
        tolerance = dict(zip(self.equations.states, problem.atol, strict=True))
        amounts = [tolerance[s] * size.get(self.equations.volume.get(s, ""), 1.0) for s in order]
        integrator = self.runner.integrator
        integrator.setValue("relative_tolerance", problem.rtol)
        # the list form: a scalar would be re-derived from the state at every call
        integrator.setValue("absolute_tolerance", amounts)
        self.runner.timeCourseSelections = [self._selection(o) for o in problem.outputs]
        self.selected = [self._selection(o) for o in problem.outputs]
        self.readable = [self._selection(s) for s in self.equations.states]

    def _selection(self, name: str) -> str:
        return f"[{name}]" if name in self.equations.volume else name

    def start(self, parameters: Array, initial: Array) -> None:
        runner = self.runner
        runner.resetToOrigin()
        self.parameters = parameters.copy()
        for name, value in zip(self.equations.parameters, parameters, strict=True):
            runner.setValue(name, float(value))
        for name, value in zip(self.readable, initial, strict=True):
            runner.setValue(name, float(value))
        if not np.allclose(self.state(), initial, rtol=1e-12, atol=0):
            raise SolverFailed("libRoadRunner did not take over the initial state.")

    def advance(self, begin: float, times: Array) -> Array:
        try:
            rows = self.runner.simulate(times=[begin, *times.tolist()])
        except RuntimeError as error:
            found = re.search(r"[Aa]t t = ([-+.\de]+)", str(error))
            reached = float(found.group(1)) if found else float(self.runner.model.getTime())
            rates = np.abs(self.equations.f(self.state(), self.parameters)) / self.atol
            worst = self.equations.states[int(np.nanargmax(rates))]
            raise SolverFailed(
                f"libRoadRunner stopped at t = {reached:.6g} h in '{worst}' ({str(error).splitlines()[0]}); "
                "try engine='scipy' or a looser rtol.",
                reached,
                worst,
            ) from None
        values = np.array(rows)[1:]
        if not np.isfinite(values).all():
            raise SolverFailed(f"libRoadRunner returned values that are not finite after t = {begin:.6g} h.", begin)
        return values

    def outputs(self) -> Array:
        return np.array([self.runner.getValue(s) for s in self.selected])

    def state(self) -> Array:
        return np.array([self.runner.getValue(s) for s in self.readable])

    def add(self, species: str, amount: float) -> float:
        before = self.runner.getValue(species)
        self.runner.setValue(species, before + amount)
        return float(self.runner.getValue(species) - before)

    def set(self, parameter: str, value: float) -> None:
        self.runner.setValue(parameter, value)
        self.parameters[self.equations.parameters.index(parameter)] = value
