"""The interface every solver implements, and the list of solvers.

An engine receives a `Problem` (one model structure, one dosing plan, any number of patients that differ in
parameters and initial states) and returns a `Solution`. It never changes units, names or defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from metabolism.errors import UnknownName
from metabolism.sbml import Equations
from metabolism.types import Array

#: A parameter from a time on: (time [h], parameter, factor, offset [its unit]); its value is factor x own + offset,
#: where own is the patient's. (1, 0) gives it back. An offset may differ between patients: then it is an array.
Setting = tuple[float, str, float, "float | Array"]


@dataclass(frozen=True)
class Plan:
    """What an engine has to do, in time order.

    Attributes
    ----------
    boluses : tuple of (time [h], species, amount [µmol])
        Same-time doses to one species are already summed.
    settings : tuple of Setting
        Those at minus infinity are in force before the run starts, and at rest.
    asked : dict of str to float
        Total amount per species, infusions included [µmol].
    infused : dict of str to str
        Infusion-rate parameter to the species it feeds.
    boundaries : tuple of float
        Times inside the span at which something happens [h].
    """

    boluses: tuple[tuple[float, str, float], ...] = ()
    settings: tuple[Setting, ...] = ()
    asked: dict[str, float] = field(default_factory=dict)
    infused: dict[str, str] = field(default_factory=dict)
    boundaries: tuple[float, ...] = ()

    def lasting(self, names: Sequence[str], parameters: Array) -> Array:
        """Return parameters (patients, names) with what is changed for life."""
        changed = parameters.copy()
        for time, name, factor, offset in self.settings:
            if time == -math.inf and name in names:
                column = list(names).index(name)
                changed[:, column] = factor * parameters[:, column] + offset
        return changed

    def take(self, rows: Any) -> Plan:
        """Return the plan of some patients, by index."""
        return replace(
            self, settings=tuple((*s[:3], s[3][rows] if isinstance(s[3], np.ndarray) else s[3]) for s in self.settings)
        )

    def snapped(self, times: Array) -> Array:
        """Return times [h] with those within one part in 1e12 of an event moved onto it."""
        events = np.array([b[0] for b in self.boluses] + [s[0] for s in self.settings if s[0] > -math.inf])
        moved = times.copy()
        for event in np.unique(events):
            moved[np.isclose(times, event, rtol=1e-12, atol=1e-12)] = event
        return moved


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
        Increasing output times within the span [h]. One rounding step before a jump stands for the value before it.
    outputs : tuple of str
        Ids of states, rules, reactions or parameters to report.
    parameters : ndarray, shape (patients, parameters)
        The patients' own constants in the order of ``equations.parameters``.
    initial : ndarray, shape (patients, states)
        States at `start`, before any dose, in the order of ``equations.states``.
    dose_scale : ndarray, shape (patients, boluses)
        Factor on each bolus of the plan: 1 given, 0 missed.
    rtol : float
        Relative tolerance.
    atol : ndarray, shape (states,)
        Absolute tolerance of each state [state unit].
    chance : int
        Which of the orders that events of equal priority may have, where a file leaves that to chance.
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
    chance: int = 0

    @property
    def bolus_times(self) -> list[float]:
        """Distinct times from `start` on at which something jumps, by a bolus or a setting [h]."""
        happens = {bolus[0] for bolus in self.plan.boluses} | {setting[0] for setting in self.plan.settings}
        return sorted(time for time in happens if self.start <= time)

    @property
    def loaded(self) -> Array:
        """Parameters in force just before the start: the patients' own, and what is changed for life."""
        return self.plan.lasting(self.equations.parameters, self.parameters)

    def take(self, rows: Any) -> Problem:
        """Return the problem of some patients, by index."""
        return replace(
            self,
            plan=self.plan.take(rows),
            parameters=self.parameters[rows],
            initial=self.initial[rows],
            dose_scale=self.dose_scale[rows],
        )


@dataclass(frozen=True)
class Failure:
    """Why one patient's integration stopped: time reached [h], the state that moved fastest; and if it always would."""

    time: float
    state: str
    message: str
    lasting: bool = False


@dataclass(eq=False)
class Solution:
    """What an engine returns.

    Attributes
    ----------
    values : ndarray, shape (patients, times, outputs)
        Outputs after any dose at the same time; NaN from the time of a failure on.
    pre_dose : ndarray, shape (patients, bolus times, outputs)
        Outputs just before each of `Problem.bolus_times`.
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
