"""The independent referee: sympy-generated rates and Jacobian, integrated by scipy's LSODA."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metabolism.engines.contract import Problem, Solution
from metabolism.engines.one_by_one import solve_one_by_one
from metabolism.errors import SolverFailed
from metabolism.types import Array


class ScipyEngine:
    """scipy LSODA on the symbolic reading of the SBML; slow, and shares no code with libRoadRunner."""

    name = "scipy"

    def solve(self, problem: Problem, tick: Callable[[int], None] | None = None, workers: int = 1) -> Solution:
        """Integrate every patient in turn, in `workers` processes."""
        return solve_one_by_one(problem, _Stepper, self.name, tick, workers)


class _Stepper:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.equations = problem.equations
        self.parameters = problem.parameters[0].copy()
        self.x = problem.initial[0].copy()

    def start(self, parameters: Array, initial: Array) -> None:
        self.parameters, self.x = parameters.copy(), initial.copy()

    def advance(self, begin: float, times: Array) -> Array:
        from scipy.integrate import solve_ivp

        equations, p = self.equations, self.parameters
        solved = solve_ivp(
            lambda _, x: equations.f(x, p),
            (begin, float(times[-1])),
            self.x,
            method="LSODA",
            t_eval=times,
            jac=lambda _, x: equations.J(x, p),
            rtol=self.problem.rtol,
            atol=self.problem.atol,
        )
        if not solved.success or not np.isfinite(solved.y).all():
            reached = float(solved.t[-1]) if len(solved.t) else begin
            rates = np.abs(equations.f(self.x, p)) / self.problem.atol
            worst = equations.states[int(np.argmax(rates))]
            raise SolverFailed(
                f"LSODA stopped at t = {reached:.6g} h in '{worst}' ({solved.message}); "
                "try engine='roadrunner' or a looser rtol.",
                reached,
                worst,
            )
        self.x = solved.y[:, -1].copy()
        return equations.evaluate(self.problem.outputs, solved.y.T, p)

    def outputs(self) -> Array:
        return self.equations.evaluate(self.problem.outputs, self.x, self.parameters)

    def state(self) -> Array:
        return np.array(self.x)

    def add(self, species: str, amount: float) -> float:
        index = self.equations.states.index(species)
        compartment = self.equations.volume.get(species)
        size = self.parameters[self.equations.parameters.index(compartment)] if compartment else 1.0
        before = self.x[index]
        self.x[index] = before + amount / size
        return float((self.x[index] - before) * size)

    def set(self, parameter: str, value: float) -> None:
        self.parameters[self.equations.parameters.index(parameter)] = value
