"""What happens to members where something turns: modes set anew, and events of SBML carried out.

Triggers are functions of the compiled code, so that the moment found and the decision taken there rest on the same
digits. Assignments, delays and priorities are formulas evaluated here, for the members that need them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from metabolism.engines.contract import Problem
from metabolism.engines.ensemble.code.switches import switches
from metabolism.engines.ensemble.compile import Kernel
from metabolism.engines.ensemble.layout import ENDLESS, SETTLE_FIELDS, WAITING
from metabolism.sbml import trees
from metabolism.types import Array

#: Events at one time, and turns at one time or in one run, beyond which they are taken to follow each other without end.
_CASCADE, _STUCK, _TURNS = 1000, 200, 100_000


@dataclass
class _Due:
    """An event that waits to be carried out: when, which, and its values if they were taken before."""

    time: float
    event: int
    values: dict[str, float] | None


class Course:
    """The members of a problem whose model has events or rates that jump.

    Attributes
    ----------
    states, parameters : ndarray, shape (members, ...)
        Where each member is; behind its parameters stand modes and what triggers were.
    horizon : ndarray, shape (members,)
        Time at which each member has to be attended to again.
    status : ndarray of int, shape (members,)
        Below 0 for members that have to be integrated.
    """

    def __init__(self, problem: Problem, kernel: Kernel) -> None:
        self.kernel, self.system = kernel, problem.equations
        found = switches(self.system)
        self.events, self.modes, members = self.system.events, len(found.modes), len(problem.initial)
        self.states = np.ascontiguousarray(problem.initial, dtype=float).copy()
        loaded = problem.loaded
        self.own = loaded.shape[1]
        self.parameters = np.ascontiguousarray(np.pad(loaded, ((0, 0), (0, kernel.held))))
        self.names = [*self.system.states, *self.system.parameters, *found.held]
        self.horizon, self.status = np.full(members, np.inf), np.full(members, WAITING)
        self.true = np.tile(np.array([e["initial"] for e in self.events], dtype=bool), (members, 1))
        self.due: list[list[_Due]] = [[] for _ in range(members)]
        self.last, self.stuck, self.turns = np.full(members, -np.inf), np.zeros(members, int), np.zeros(members, int)
        self.clock = self.system.states.index(self.system.time) if self.system.time else None
        self.moments = _moments(found.guards, self.system.time, {*self.system.parameters, *found.held})

    def settle(self, rows: Any) -> Array:
        """Set the modes of some members anew, and return what every guard is."""
        from metabolism.engines.ensemble.run import context

        states, parameters = self.states[rows], self.parameters[rows]
        guards = np.empty((len(states), self.kernel.held))
        arrays = {"patients": len(states), "loaded": parameters, "initial": states, "guards": guards}
        _memory, address = self.kernel.memory()
        self.kernel.settle(context(SETTLE_FIELDS, arrays).ctypes.data, address)
        self.parameters[rows, self.own :] = guards
        return guards

    def attend(self, rows: Any, times: Array) -> None:
        """Carry out what is due for some members at their times, and say when they are due again."""
        if self.clock is not None:
            self.states[rows, self.clock] = times
        # a turn that leaves the time where it was is no progress
        self.stuck[rows] = np.where(times == self.last[rows], self.stuck[rows] + 1, 0)
        self.last[rows] = times
        self.turns[rows] += 1
        self.status[rows] = WAITING
        guards = self.settle(rows)
        now = guards[:, self.modes :] != 0
        turned = ((now != self.true[rows]).any(axis=1)) | (times >= self.horizon[rows])
        for n in np.flatnonzero(turned | np.array([bool(self.due[r]) for r in rows])).tolist():
            if not self._execute(int(rows[n]), float(times[n]), now[n]):
                self.stuck[rows[n]] = _STUCK + 1
        self.status[rows[(self.stuck[rows] > _STUCK) | (self.turns[rows] > _TURNS)]] = ENDLESS
        self.horizon[rows] = self._horizon(rows, times)

    def _known(self, rows: Any) -> dict[str, Array]:
        values = np.concatenate([self.states[rows], self.parameters[rows]], axis=1)
        return dict(zip(self.names, values.T, strict=True))

    def _values(self, row: int, time: float) -> trees.Values:
        assert self.system.reading is not None
        return trees.Values(self.system.reading, self._known([row]), np.array([time]))

    def _execute(self, row: int, time: float, now: Any) -> bool:
        """Carry out what is due, highest priority first, until no trigger turns true; False if there is no end."""
        due = self.due[row]
        for _ in range(_CASCADE):
            before, self.true[row] = self.true[row].copy(), now
            for i in np.flatnonzero(now & ~before).tolist():
                event, values = self.events[i], self._values(row, time)
                delay = float(np.squeeze(values.of(event["delay"]))) if event["delay"] is not None else 0.0
                taken = self._assigned(values, event) if event["early"] else None
                due.append(_Due(time + delay, i, taken))
            for i in np.flatnonzero(before & ~now).tolist():
                if not self.events[i]["persistent"]:
                    due[:] = [d for d in due if d.event != i]
            ready = [d for d in due if d.time <= time]
            if not ready:
                return True
            first = ready[0] if len(ready) == 1 else self._first(row, time, ready)
            due.remove(first)
            self._fire(row, time, first)
            now = self.settle([row])[0, self.modes :] != 0
        return False

    def _first(self, row: int, time: float, ready: list[_Due]) -> _Due:
        values = self._values(row, time)

        def rank(d: _Due) -> float:
            priority = self.events[d.event]["priority"]
            return -np.inf if priority is None else float(np.squeeze(values.of(priority)))

        return max(ready, key=rank)

    def _assigned(self, values: trees.Values, event: dict[str, Any]) -> dict[str, float]:
        return {target: float(np.squeeze(values.of(tree))) for target, tree in event["assignments"].items()}

    def _fire(self, row: int, time: float, due: _Due) -> None:
        event = self.events[due.event]
        new = due.values if due.values is not None else self._assigned(self._values(row, time), event)
        # amounts of species last: their concentrations are those in the compartments after the event
        for target in sorted(new, key=lambda t: t in event["scaled"]):
            value = new[target]
            if target in event["scaled"]:
                value *= float(np.squeeze(self._values(row, time)[event["scaled"][target]]))
            place = self.names.index(target)
            if place < self.states.shape[1]:
                self.states[row, place] = value
            else:
                self.parameters[row, place - self.states.shape[1]] = value

    def _horizon(self, rows: Any, times: Array) -> Array:
        """The next time at which something is due, or at which a comparison of the time alone turns."""
        horizon = np.array([min((d.time for d in self.due[r]), default=np.inf) for r in rows])
        if self.moments:
            values = trees.Values(self.system.reading or {}, self._known(rows), times)
            for moment in self.moments:
                found = np.broadcast_to(values.of_expression(moment), times.shape)
                horizon = np.where(found > times, np.fmin(horizon, found), horizon)
        return horizon


def _moments(guards: list[Any], time: str | None, constants: set[str]) -> list[Any]:
    """When comparisons with the time turn, where nothing but constants stands beside it."""
    moments: list[Any] = []
    if time is None:
        return moments
    clock, still = sp.Symbol(time), {sp.Symbol(c) for c in constants}
    for guard in guards:
        for jump in guard.atoms(trees.Less, trees.NotMore, trees.Same, trees.Floor):
            gap = jump.args[0] - jump.args[1] if len(jump.args) == 2 else jump.args[0]
            if clock not in gap.free_symbols or not gap.free_symbols <= still | {clock}:
                continue
            slope = gap.diff(clock)
            if slope == 0 or slope.has(clock):
                continue
            begin = gap.xreplace({clock: sp.Integer(0)})
            if len(jump.args) == 2:
                moments.append(-begin / slope)
            else:
                moments += [(trees.Floor(gap) + 1 - begin) / slope, (-trees.Floor(-gap) - 1 - begin) / slope]
    return moments
