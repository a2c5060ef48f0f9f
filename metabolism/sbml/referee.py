"""Run an SBML file from its text alone, events included, with sympy and scipy: the referee of the exports.

Events as SBML Level 3 defines them, but for delays, which are refused by name: triggers on time and on states,
persistent or not, values of the trigger's or of the execution's time, priorities, and cascades at one time.
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
    persistent: bool
    early: bool


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
        expression = sbml_math_to_sympy(element, ignore_units=True)
        return expression.xreplace(
            {s: time if isinstance(s, TimeSymbol) else sp.Symbol(s.name) for s in expression.free_symbols}
        )

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
                trigger.getPersistent() if trigger.isSetPersistent() else True,
                event.getUseValuesFromTriggerTime(),
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
        self.clock = _moments([e.trigger for e in events], {sp.Symbol(n) for n in system.parameters}, known)
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
        """Integrate to the end or to the first trigger that changes; return that time, and states at output times."""
        from scipy.integrate import LSODA

        system, p = self.system, self.p
        scale = np.maximum(np.abs(self.x), _TRACE)
        stop = min([end, *(s for s in self.moments() if t < s < end)])
        solver = LSODA(
            lambda _, x: system.f(x, p),
            t,
            self.x,
            stop,
            rtol=self.rtol,
            atol=1e-2 * self.rtol * scale,
            jac=lambda _, x: system.J(x, p),
        )
        columns: list[Array] = []
        read_at: list[float] = []
        while solver.status == "running":
            message = solver.step()
            if str(solver.status) == "failed" or not np.isfinite(solver.y).all():
                raise SolverFailed(f"LSODA stopped at t = {solver.t:.6g} h ({message}).", solver.t)
            course, begin, now = solver.dense_output(), solver.t_old, solver.t
            # a trigger may turn and turn back within a step
            points = np.linspace(begin, now, 9)[1:] if self.events else np.array([now])
            turned = next((m for m in points if self.conditions(m, course(m)) != self.holds), None)
            if turned is not None:
                now = self.switch(course, begin, float(turned))
            for moment in waiting[(waiting > begin) & (waiting < now)]:
                columns.append(course(moment))
                read_at.append(float(moment))
            if turned is not None:
                nearest = self.times[np.abs(self.times - now) < 1e-9 * max(1.0, now)]
                if len(nearest) and self.conditions(float(nearest[0]), course(nearest[0])) != self.holds:
                    now = float(nearest[0])
                return now, [*columns, course(now)], [*read_at, now]
        # a trigger that is true after a moment, not at it
        later = float(np.nextafter(stop, np.inf))
        if stop < end and self.conditions(stop, solver.y) == self.holds != self.conditions(later, solver.y):
            stop = later
        return stop, [*columns, solver.y], [*read_at, stop]

    def switch(self, course: Any, before: float, after: float) -> float:
        """Return the first time, to the last digit, at which a trigger differs from what it was."""
        while (middle := (before + after) / 2) not in (before, after):
            if self.conditions(middle, course(middle)) != self.holds:
                after = middle
            else:
                before = middle
        return after

    def moments(self) -> list[float]:
        """Times at which a trigger on time alone may turn, with the constants as they are now."""
        values = dict(zip(map(sp.Symbol, self.system.parameters), self.p.tolist(), strict=True))
        return [float(m.xreplace(values)) for m in self.clock]

    def execute(self, t: float) -> None:
        """Execute what is due, highest priority first, until no trigger turns true."""
        pending: dict[int, list[float] | None] = {}
        for _ in range(_CASCADE):
            now = self.conditions(t, self.x)
            for i, (new, old) in enumerate(zip(now, self.holds, strict=True)):
                if new and not old:
                    event = self.events[i]
                    pending[i] = self.assigned[event.id](t, self.x.tolist(), self.p.tolist()) if event.early else None
                elif not new and not self.events[i].persistent:
                    pending.pop(i, None)
            self.holds = now
            if not pending:
                return
            ranks = self.priorities(t, self.x.tolist(), self.p.tolist())
            first = max(pending, key=lambda i: (ranks[i], -i))
            self.fire(self.events[first], t, pending.pop(first))
        raise ModelError(f"events at t = {t:g} h trigger each other without end.")

    def fire(self, event: _Event, t: float, early: list[float] | None) -> None:
        new = self.assigned[event.id](t, self.x.tolist(), self.p.tolist()) if early is None else early
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


def _moments(triggers: list[Any], constants: set[Any], known: dict[Any, Any]) -> list[Any]:
    """Solve the comparisons of triggers for the time, where nothing but constants stands beside it."""
    time, moments = sp.Symbol("time"), []
    for trigger in triggers:
        for comparison in sp.sympify(trigger).xreplace(known).atoms(sp.core.relational.Relational):
            gap = comparison.lhs - comparison.rhs
            slope = sp.diff(gap, time)
            if slope != 0 and slope.free_symbols | gap.free_symbols <= constants | {time} and not slope.has(time):
                moments.append(-gap.xreplace({time: sp.Integer(0)}) / slope)
    return moments
