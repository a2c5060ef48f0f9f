"""Run an SBML file from its text alone, events included, with sympy and scipy: the referee of the exports.

Covers what our exports use: events without delay, whose triggers turn true once and stay true until the event itself
turns them false. Other constructs are refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from metabolism.errors import ModelError, SolverFailed, UnknownName
from metabolism.sbml.equations import Equations, read_equations
from metabolism.types import Array

#: Events at one time beyond which they are taken to trigger each other without end.
_CASCADE = 1000


#: Size below which a state is a trace [its unit]: free cobalamin at rest is 2e-6 uM.
_TRACE = 1e-6


@dataclass(frozen=True)
class Firing:
    """One execution of an event: when [h], and by how much each variable changed [its unit; amounts for species]."""

    event: str
    time: float
    changes: dict[str, float]


@dataclass(frozen=True)
class Replay:
    """Outputs over time, shape (times, outputs) [units of the file], and every firing in order."""

    outputs: tuple[str, ...]
    times: Array
    values: Array = field(repr=False)
    firings: tuple[Firing, ...] = field(repr=False)


@dataclass(frozen=True)
class _Event:
    id: str
    trigger: Any
    priority: Any
    assignments: dict[str, Any]
    initial: bool


def read_file(sbml: str) -> tuple[Equations, dict[str, float], list[Any]]:
    """Return the equations, the initial values and the events of an SBML text.

    Raises
    ------
    ModelError
        For constructs that are not covered.
    """
    import libsbml
    from sbmlmath import TimeSymbol, sbml_math_to_sympy

    document = libsbml.readSBMLFromString(sbml)
    content = document.getModel()
    if content is None or document.getNumErrors(libsbml.LIBSBML_SEV_ERROR):
        raise ModelError("this SBML cannot be read.")
    time = sp.Symbol("time")

    def plain(element: Any) -> Any:
        found = sbml_math_to_sympy(element, ignore_units=True)
        return found.xreplace({s: time if isinstance(s, TimeSymbol) else sp.Symbol(s.name) for s in found.free_symbols})

    events = []
    for event in content.getListOfEvents():
        if event.isSetDelay():
            raise ModelError(f"event '{event.getId()}' has a delay, which is not covered.")
        trigger = event.getTrigger()
        events.append(
            _Event(
                event.getId(),
                plain(trigger),
                plain(event.getPriority()) if event.isSetPriority() else sp.Integer(0),
                {a.getVariable(): plain(a) for a in event.getListOfEventAssignments()},
                trigger.getInitialValue() if trigger.isSetInitialValue() else True,
            )
        )
    while content.getNumEvents():
        content.removeEvent(0)
    values = {p.getId(): p.getValue() for p in content.getListOfParameters()}
    values |= {c.getId(): c.getSize() for c in content.getListOfCompartments()}
    for species in content.getListOfSpecies():
        size = values[species.getCompartment()]
        if species.getHasOnlySubstanceUnits():
            amount = (
                species.getInitialAmount() if species.isSetInitialAmount() else species.getInitialConcentration() * size
            )
            values[species.getId()] = amount
        else:
            values[species.getId()] = (
                species.getInitialConcentration()
                if species.isSetInitialConcentration()
                else species.getInitialAmount() / size
            )
    return read_equations(libsbml.writeSBMLToString(document)), values, events


def replay(sbml: str, times: Sequence[float] | Array, outputs: Sequence[str], rtol: float = 1e-9) -> Replay:
    """Integrate an SBML text with LSODA, executing its events, and read outputs at given times.

    Parameters
    ----------
    times : array_like, shape (n,)
        Increasing output times [h], from 0; values at the time of an event are after it.
    outputs : sequence of str
        States, rules, reactions or constants.
    rtol : float
        Relative tolerance; the absolute one is ``1e-2 rtol`` of the state, or of `_TRACE`.

    Raises
    ------
    ModelError, UnknownName
        For a file or an output that is not covered.
    SolverFailed
        If the integration stops.
    """
    system, values, events = read_file(sbml)
    known = {*system.states, *system.expanded, *system.parameters}
    for name in outputs:
        if name not in known:
            raise UnknownName("output", name, known)
    return _Run(system, values, events, np.asarray(times, dtype=float), tuple(outputs), rtol).go()


class _Run:
    def __init__(
        self,
        system: Equations,
        values: dict[str, float],
        events: list[_Event],
        times: Array,
        outputs: tuple[str, ...],
        rtol: float,
    ) -> None:
        self.system, self.events, self.times, self.outputs, self.rtol = system, events, times, outputs, rtol
        self.x, self.p = system.vectors(values)
        names = [*system.states, *system.parameters]
        known = {sp.Symbol(n): e for n, e in system.expanded.items()}
        arguments = [sp.Symbol("time"), sp.symbols(system.states), sp.symbols(system.parameters)]

        def compiled(expressions: list[Any]) -> Any:
            return sp.lambdify(arguments, [sp.sympify(e).xreplace(known) for e in expressions], modules="math")

        self.triggers = compiled([e.trigger for e in events])
        self.priorities = compiled([e.priority for e in events])
        self.assigned = {e.id: compiled(list(e.assignments.values())) for e in events}
        self.holds = [e.initial for e in events]
        self.firings: list[Firing] = []
        unknown = {v for e in events for v in e.assignments} - {*names}
        if unknown:
            raise ModelError(f"events assign {', '.join(sorted(unknown))}, which a rule determines.")

    def conditions(self, t: float, x: Array) -> list[bool]:
        return [bool(c) for c in self.triggers(t, x.tolist(), self.p.tolist())]

    def go(self) -> Replay:
        t, end = 0.0, float(self.times[-1])
        rows = np.full((len(self.times), len(self.outputs)), np.nan)
        self.execute(t)
        while True:
            upcoming = np.flatnonzero(np.isnan(rows[:, 0])) if len(self.outputs) else np.array([], dtype=int)
            here = [i for i in upcoming if self.times[i] <= t]
            for i in here:
                rows[i] = self.read()
            if t >= end:
                break
            waiting = self.times[np.array([i for i in upcoming if self.times[i] > t], dtype=int)]
            t, columns, read_at = self.advance(t, end, waiting)
            for moment, x in zip(read_at, columns, strict=True):
                if moment < t:
                    self.x = x
                    rows[int(np.searchsorted(self.times, moment))] = self.read()
            self.x = columns[-1]
            self.execute(t)
        return Replay(self.outputs, self.times, rows, tuple(self.firings))

    def advance(self, t: float, end: float, waiting: Array) -> tuple[float, list[Array], list[float]]:
        from scipy.integrate import solve_ivp

        system, p = self.system, self.p

        def changed(moment: float, x: Array) -> float:
            return 1.0 if self.conditions(moment, x) != self.holds else -1.0

        changed.terminal = True  # type: ignore[attr-defined]
        scale = np.maximum(np.abs(self.x), _TRACE)
        solved = solve_ivp(
            lambda _, x: system.f(x, p),
            (t, end),
            self.x,
            method="LSODA",
            t_eval=np.append(waiting[waiting < end], end),
            jac=lambda _, x: system.J(x, p),
            rtol=self.rtol,
            atol=1e-2 * self.rtol * scale,
            events=[changed] if self.events else None,
        )
        if not solved.success:
            raise SolverFailed(
                f"LSODA stopped at t = {solved.t[-1] if len(solved.t) else t:.6g} h ({solved.message}).", t
            )
        read_at = [float(moment) for moment in solved.t]
        columns = list(np.asarray(solved.y).T) if read_at else []
        if solved.t_events and solved.y_events and solved.status == 1:
            moment, x = float(solved.t_events[0][-1]), solved.y_events[0][-1]
            # bisection ends on either side of the switch: step over it
            for doubling in range(40):
                if self.conditions(moment, x) != self.holds:
                    break
                moment += 2.0**doubling * np.spacing(max(1.0, moment))
            nearest = self.times[np.abs(self.times - moment) < 1e-9 * max(1.0, moment)]
            if len(nearest) and self.conditions(float(nearest[0]), x) != self.holds:
                moment = float(nearest[0])
            return moment, [*columns, x], [*read_at, moment]
        return end, columns, read_at

    def execute(self, t: float) -> None:
        """Execute what is due, highest priority first, until no trigger turns true."""
        for _ in range(_CASCADE):
            now = self.conditions(t, self.x)
            due = [i for i, (new, old) in enumerate(zip(now, self.holds, strict=True)) if new and not old]
            if not due:
                self.holds = now
                return
            ranks = self.priorities(t, self.x.tolist(), self.p.tolist())
            first = max(due, key=lambda i: (ranks[i], -i))
            self.holds = [
                new if i == first or not (new and not old) else old
                for i, (new, old) in enumerate(zip(now, self.holds, strict=True))
            ]
            self.fire(self.events[first], t)
        raise ModelError(f"events at t = {t:g} h trigger each other without end.")

    def fire(self, event: _Event, t: float) -> None:
        new = self.assigned[event.id](t, self.x.tolist(), self.p.tolist())
        changes = {}
        for variable, value in zip(event.assignments, new, strict=True):
            vector, names = (
                (self.x, self.system.states) if variable in self.system.states else (self.p, self.system.parameters)
            )
            index = names.index(variable)
            size = (
                self.p[self.system.parameters.index(self.system.volume[variable])]
                if variable in self.system.volume
                else 1.0
            )
            vector = vector.copy()
            changes[variable] = float((value - vector[index]) * size)
            vector[index] = value
            if variable in self.system.states:
                self.x = vector
            else:
                self.p = vector
        self.firings.append(Firing(event.id, t, changes))

    def read(self) -> Array:
        derived = dict(zip(self.system.expanded, self.system.derived(self.x.tolist(), self.p.tolist()), strict=True))
        values = {
            **derived,
            **dict(zip(self.system.states, self.x, strict=True)),
            **dict(zip(self.system.parameters, self.p, strict=True)),
        }
        return np.array([values[name] for name in self.outputs])
