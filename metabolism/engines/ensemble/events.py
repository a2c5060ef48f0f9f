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
from metabolism.engines.ensemble.layout import ENDLESS, SETTLE_FIELDS, WAITING, context
from metabolism.sbml import trees
from metabolism.types import Array

#: Events at one time, and turns at one time or in one run, beyond which they are taken to have no end.
_CASCADE, _STUCK, _TURNS = 1000, 200, 100_000


@dataclass
class _Due:
    """An event that waits to be carried out: when, which, and its values if they were taken before."""

    time: float
    event: int
    values: list[float] | None


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
        self.places = {name: n for n, name in enumerate(self.names)}
        self._compiled: dict[int, Any] = {}
        self.drawn, self.chance = np.zeros(members, int), problem.chance
        self.horizon, self.status = np.full(members, np.inf), np.full(members, WAITING)
        self.true = np.tile(np.array([e["initial"] for e in self.events], dtype=bool), (members, 1))
        self.due: list[list[_Due]] = [[] for _ in range(members)]
        self.last, self.stuck, self.turns = np.full(members, -np.inf), np.zeros(members, int), np.zeros(members, int)
        self.clock = self.system.states.index(self.system.time) if self.system.time else None
        self.moments = _moments(found.guards, self.system.time, {*self.system.parameters, *found.held})

    def settle(self, rows: Any) -> Array:
        """Set the modes of some members anew, and return what every guard is."""
        states, parameters = self.states[rows], self.parameters[rows]
        guards = np.empty((len(states), self.kernel.held))
        arrays = {"patients": len(states), "loaded": parameters, "initial": states, "guards": guards}
        # both are kept by a name until the call is over: its address alone would let another thread have the memory
        words, (_memory, address) = context(SETTLE_FIELDS, arrays), self.kernel.memory()
        self.kernel.settle(words.ctypes.data, address)
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

    def endless(self, row: int) -> bool:
        """Whether a member stopped because its turns leave the time where it is."""
        return bool(self.stuck[row] > _STUCK)

    def _known(self, rows: Any) -> dict[str, Array]:
        values = np.concatenate([self.states[rows], self.parameters[rows]], axis=1)
        return dict(zip(self.names, values.T, strict=True))

    def _formulas(self, event: int) -> Any:
        """Compiled: what an event assigns, then its delay and its priority."""
        if event not in self._compiled:
            found, known = self.events[event], {sp.Symbol(n): e for n, e in self.system.expanded.items()}
            wanted = [*found["assignments"].values(), found["delay"] or 0.0, found["priority"] or 0.0]
            wanted += [found["scaled"].get(target, 1.0) for target in found["assignments"]]
            formulas = [trees.expression(tree, self.system.time).xreplace(known) for tree in wanted]
            arguments = [sp.Symbol(name) for name in self.names]
            self._compiled[event] = sp.lambdify([arguments], formulas, modules=[trees.NUMBERS, "numpy"])
        return self._compiled[event]

    def _numbers(self, row: int, event: int) -> list[float]:
        """What an event assigns now, its delay, its priority, and the sizes its amounts are for."""
        with np.errstate(all="ignore"):
            found = self._formulas(event)(np.concatenate([self.states[row], self.parameters[row]]))
        return [float(value) for value in found]

    def _execute(self, row: int, time: float, now: Any) -> bool:
        """Carry out what is due, highest priority first, until no trigger turns true; False if there is no end."""
        due = self.due[row]
        for _ in range(_CASCADE):
            before, self.true[row] = self.true[row].copy(), now
            for i in np.flatnonzero(now & ~before).tolist():
                found, count = self._numbers(row, i), len(self.events[i]["assignments"])
                due.append(_Due(time + found[count], i, found[:count] if self.events[i]["early"] else None))
            for i in np.flatnonzero(before & ~now).tolist():
                if not self.events[i]["persistent"]:
                    due[:] = [d for d in due if d.event != i]
            ready = [d for d in due if d.time <= time]
            if not ready:
                return True
            first = ready[0] if len(ready) == 1 else self._first(row, ready)
            due.remove(first)
            self._fire(row, first)
            now = self.settle([row])[0, self.modes :] != 0
        return False

    def _first(self, row: int, ready: list[_Due]) -> _Due:
        """The one with the highest priority; among equals any, as SBML wants, but always the same for a member."""

        def rank(d: _Due) -> float:
            event = self.events[d.event]
            return -np.inf if event["priority"] is None else self._numbers(row, d.event)[len(event["assignments"]) + 1]

        ranks = [rank(d) for d in ready]
        equal = [d for d, own in zip(ready, ranks, strict=True) if own == max(ranks)]
        if len(equal) == 1:
            return equal[0]
        self.drawn[row] += 1
        return equal[int(np.random.default_rng([self.chance, self.drawn[row]]).integers(len(equal)))]

    def _fire(self, row: int, due: _Due) -> None:
        targets, now = list(self.events[due.event]["assignments"]), self._numbers(row, due.event)
        values = now[: len(targets)] if due.values is None else due.values
        # a concentration is one in the compartment as it is before the event, even if that changes it
        for target, value, size in zip(targets, values, now[len(targets) + 2 :], strict=True):
            place = self.places[target]
            if place < self.states.shape[1]:
                self.states[row, place] = value * size
            else:
                self.parameters[row, place - self.states.shape[1]] = value * size

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
