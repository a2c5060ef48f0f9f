"""The interface every solver implements, and the list of solvers.

An engine receives a `Problem` (one model structure, one dosing plan, any number of patients that differ in
parameters and initial states) and returns a `Solution`. It never changes units, names or defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

from metabolism.errors import UnknownName
from metabolism.sbml import Equations
from metabolism.types import Array


@dataclass(frozen=True, eq=False)
class Problem:
    """What to integrate.

    Attributes
    ----------
    equations : Equations
        The SBML document at nominal values (``equations.sbml``) and its symbols, which fix the order of
        states and parameters.
    plan : Plan
        Boluses and parameter settings in time order [h, µmol, model units].
    start, end : float
        Time span [h].
    times : ndarray, shape (times,)
        Increasing output times within the span [h].
    outputs : tuple of str
        Ids of states, rules, reactions or parameters to report.
    parameters : ndarray, shape (patients, parameters)
        Constants in the order of ``equations.parameters``.
    initial : ndarray, shape (patients, states)
        States at `start`, before any dose, in the order of ``equations.states``.
    dose_scale : ndarray, shape (patients, boluses)
        Factor on each bolus of the plan: 1 given, 0 missed.
    rtol : float
        Relative tolerance.
    atol : ndarray, shape (states,)
        Absolute tolerance of each state [state unit].
    """

    equations: Equations
    plan: Plan
    start: float
    end: float
    times: Array
    outputs: tuple[str, ...]
    parameters: Array
    initial: Array
    dose_scale: Array
    rtol: float
    atol: Array

    @property
    def bolus_times(self) -> list[float]:
        """Distinct times of boluses [h]."""
        return sorted({time for time, _, _ in self.plan.boluses})


@dataclass(frozen=True)
class Failure:
    """Why one patient's integration stopped: time reached [h] and the state that moved fastest."""

    time: float
    state: str
    message: str


@dataclass(eq=False)
class Solution:
    """What an engine returns.

    Attributes
    ----------
    values : ndarray, shape (patients, times, outputs)
        Outputs after any dose at the same time; NaN from the time of a failure on.
    pre_dose : ndarray, shape (patients, bolus times, outputs)
        Outputs just before the boluses of each distinct bolus time.
    delivered : dict of str to ndarray, shape (patients,)
        Amount each dose target received, measured by the engine [µmol].
    final : ndarray, shape (patients, states)
        States at the end.
    failures : dict of int to Failure
        Failed patients by index.
    """

    values: Array
    pre_dose: Array
    delivered: dict[str, Array]
    final: Array
    failures: dict[int, Failure] = field(default_factory=dict)


class Engine(Protocol):
    """A solver: a name, and a function from problem to solution."""

    name: str

    def solve(self, problem: Problem, tick: Callable[[int], None] | None = None, workers: int = 1) -> Solution:
        """Integrate every patient; `tick` is called with the number of patients done since its last call."""


_ENGINES = {
    "roadrunner": "roadrunner:RoadRunnerEngine",
    "scipy": "lsoda:ScipyEngine",
    "fast": "ensemble.engine:FastEngine",
}


def engine_names() -> list[str]:
    """Return the names of all engines."""
    return list(_ENGINES)


def check_engine(name: str) -> None:
    """Refuse a name that is neither an engine nor ``"auto"``.

    Raises
    ------
    UnknownName
    """
    if name not in ("auto", *_ENGINES):
        raise UnknownName("engine", name, ["auto", *_ENGINES])


def get_engine(name: str) -> Engine:
    """Return an engine by name; its library is imported now, not before.

    Raises
    ------
    UnknownName
        If there is no such engine.
    """
    if name not in _ENGINES:
        raise UnknownName("engine", name, _ENGINES)
    module, attribute = _ENGINES[name].split(":")
    engine: Engine = getattr(import_module(f"metabolism.engines.{module}"), attribute)()
    return engine


@dataclass(frozen=True)
class Plan:
    """What an engine has to do, in time order.

    Attributes
    ----------
    boluses : tuple of (time [h], species, amount [µmol])
        Same-time doses to one species are already summed.
    settings : tuple of (time [h], parameter, value or None)
        Parameter values from that time on [model units]; None gives the patient's own value back.
    asked : dict of str to float
        Total amount per species, infusions included [µmol].
    infused : dict of str to str
        Infusion-rate parameter to the species it feeds.
    boundaries : tuple of float
        Times inside the span at which something happens [h].
    """

    boluses: tuple[tuple[float, str, float], ...] = ()
    settings: tuple[tuple[float, str, float | None], ...] = ()
    asked: dict[str, float] = field(default_factory=dict)
    infused: dict[str, str] = field(default_factory=dict)
    boundaries: tuple[float, ...] = ()
