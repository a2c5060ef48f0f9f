"""A study's own baseline: states whose outputs take stated values, by adjusting stated inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from metabolism.cases.people import Member, Target
from metabolism.dosing import Regimen
from metabolism.engines import rest_many
from metabolism.model import Model, equations
from metabolism.simulation import Patients
from metabolism.types import Array
from metabolism.units import label

#: The search goes on until every output is this close, relative to its value; rounding may stop it before, and
#: then a baseline within the second number counts as met. Of a baseline on treatment, which is integrated, the second
#: pair holds.
TOLERANCE, ACCEPTED = (1e-9, 1e-5), (1e-6, 1e-3)

#: Step of the finite difference on a log input, at rest and on treatment.
_NUDGE = (1e-5, 1e-3)

#: Largest change of a log input in one step.
_STRIDE = 1.5

#: An input whose lower bound is 0 is searched down to this fraction of its nominal value.
_FLOOR = 1e-4

#: Outputs just before time 0 of people at rest: (names, people) to shape (people, names).
Measure = Callable[[Sequence[str], Patients], Array]


def match(
    model: Model,
    patients: Patients,
    targets: Sequence[Target],
    members: Sequence[Member] = (Member(1.0, Regimen()),),
    measure: Measure | None = None,
) -> Patients:
    """Adjust inputs until every group of people meets its baseline.

    The mean over the members of a group meets the shared targets, by a common factor on an input of all of them;
    a member's own targets are met by its own input. Newton's method on the logarithms of the inputs, damped by halving
    and kept within the bounds of ``parameters.csv`` (Dennis and Schnabel 1996, doi:10.1137/1.9781611971200, chapter 6).

    The patients are at rest, as many rows per group as there are members, one after the other. Targets that are met on
    treatment need `measure`. Those that cannot meet the baseline come back as failures, with the nearest value found.
    """
    if not targets and not any(m.targets for m in members):
        return patients
    return _Search(model, patients, targets, members, measure).run()


class _Search:
    """State of one search: log inputs, residuals, and the best found for each group."""

    def __init__(
        self,
        model: Model,
        patients: Patients,
        targets: Sequence[Target],
        members: Sequence[Member],
        measure: Measure | None,
    ) -> None:
        self.model, self.system, self.measure, size = model, equations(model), measure, len(members)
        everyone, shares = np.ones(size, dtype=bool), np.array([m.share for m in members])
        #: target, members whose input moves, weights of the members in the value
        self.goals = [(t, everyone, shares) for t in targets]
        for j, member in enumerate(members):
            one = np.arange(size) == j
            self.goals += [(t, one, one.astype(float)) for t in member.targets]
        self.names = sorted({t.output for t, *_ in self.goals})
        self.wanted = np.log([t.value for t, *_ in self.goals])
        self.p = patients.parameters.reshape(-1, size, patients.parameters.shape[1]).copy()
        self.x = patients.states.reshape(-1, size, patients.states.shape[1]).copy()
        self.failures = {row // size: text for row, text in sorted(patients.failures.items(), reverse=True)}
        self.level = int(any(t.treated for t, *_ in self.goals))
        shape = (len(self.p), len(self.goals))
        self.u, self.low, self.high = np.empty(shape), np.empty(shape), np.empty(shape)
        #: log of each member's input over that of the first that moves
        self.offsets = np.zeros((*shape, size))
        for q, (target, who, _) in enumerate(self.goals):
            row = model.table[target.parameter]
            low, high = np.log(max(row.lower, _FLOOR * abs(row.value) or _FLOOR)), np.log(row.upper)
            now = np.log(np.maximum(self.p[:, who, self.system.parameters.index(target.parameter)], np.exp(low)))
            own = now - now[:, :1]
            self.offsets[:, q, who] = own
            self.low[:, q], self.high[:, q] = low - own.min(axis=1), high - own.max(axis=1)
            self.u[:, q] = np.clip(now[:, 0], self.low[:, q], self.high[:, q])
        self.r = np.full(shape, np.nan)

    def run(self) -> Patients:
        alive = np.array([i for i in range(len(self.p)) if i not in self.failures], dtype=int)
        self.r[alive], self.x[alive] = self._residual(self.u[alive], alive)
        stuck: set[int] = set()
        for _ in range(60):
            far = np.abs(self.r).max(axis=1, initial=0.0)
            active = [i for i in alive.tolist() if i not in stuck and not far[i] < TOLERANCE[self.level]]
            if not active:
                break
            stuck |= self._step(np.array(active, dtype=int))
        self.p[alive] = self._inputs(self.u[alive], alive)
        for i in alive.tolist():
            if not np.abs(self.r[i]).max() < ACCEPTED[self.level]:
                self.failures[i] = self._why(i)
                self.x[i] = np.nan
        size = self.p.shape[1]
        failures = {i * size + j: text for i, text in self.failures.items() for j in range(size)}
        return Patients(self.p.reshape(-1, self.p.shape[2]), self.x.reshape(-1, self.x.shape[2]), failures)

    def _inputs(self, u: Array, groups: NDArray[np.int_]) -> Array:
        """Parameters of the members of some groups at log inputs `u`."""
        p = self.p[groups].copy()
        for q, (target, who, _) in enumerate(self.goals):
            column = self.system.parameters.index(target.parameter)
            p[:, who, column] = np.exp(u[:, q, None] + self.offsets[groups, q][:, who])
        return p

    def _residual(self, u: Array, groups: NDArray[np.int_]) -> tuple[Array, Array]:
        """Log of output over target at log inputs `u`, and the states of the members; NaN without rest."""
        p = self._inputs(u, groups)
        flat, start = p.reshape(-1, p.shape[2]), self.x[groups].reshape(-1, self.x.shape[2])
        states, _, ok = rest_many(self.system, flat, start, self.model.scale, self.model.not_at_rest)
        states[~ok] = np.nan
        values = self.system.evaluate(self.names, states, flat)
        treated = values
        if self.level and self.measure:
            lost = {int(i): "no rest" for i in np.flatnonzero(~ok)}
            treated = self.measure(self.names, Patients(flat, states, lost))
        means = np.empty(u.shape)
        for q, (target, _, weights) in enumerate(self.goals):
            column = (treated if target.treated else values)[:, self.names.index(target.output)]
            means[:, q] = column.reshape(p.shape[:2]) @ weights
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(means) - self.wanted, states.reshape(self.x[groups].shape)

    def _step(self, active: NDArray[np.int_]) -> set[int]:
        """Take one damped step for each active group; return those that no longer get closer."""
        count, width = len(active), len(self.goals)
        u, r, low, high = self.u[active], self.r[active], self.low[active], self.high[active]
        side = np.where(u + _NUDGE[self.level] > high, -_NUDGE[self.level], _NUDGE[self.level])
        tried = u[:, None, :] + side[:, None, :] * np.eye(width)
        moved, _ = self._residual(tried.reshape(-1, width), np.repeat(active, width))
        slopes = ((moved.reshape(count, width, width) - r[:, None]) / side[:, :, None]).swapaxes(1, 2)
        move = np.array([_direction(*each) for each in zip(slopes, r, u, low, high, strict=True)])
        move *= np.minimum(1.0, _STRIDE / np.maximum(np.abs(move).max(axis=1), 1e-300))[:, None]
        waiting, fraction = np.arange(count), 1.0
        norm = np.linalg.norm(r, axis=1)
        while len(waiting) and fraction > 1e-3:
            there = np.clip(u[waiting] + fraction * move[waiting], low[waiting], high[waiting])
            residual, states = self._residual(there, active[waiting])
            better = np.linalg.norm(residual, axis=1) < norm[waiting] * (1 - 1e-4 * fraction)
            good = active[waiting][better]
            self.u[good], self.r[good], self.x[good] = there[better], residual[better], states[better]
            waiting, fraction = waiting[~better], fraction / 2
        return set(active[waiting].tolist())

    def _why(self, i: int) -> str:
        if not np.isfinite(self.r[i]).all():
            return "the baseline cannot be met: there is no resting state to start from."
        worst = int(np.abs(self.r[i]).argmax())
        target = self.goals[worst][0]
        wanted, unit = target.text.split(" = ")[1].split(maxsplit=1)
        units = [label(self.model.table[t.parameter].unit) for t, *_ in self.goals]
        parts = [
            f"{t.parameter} between {np.exp(lo):.4g} and {np.exp(hi):.4g} {u}".rstrip()
            for (t, *_), lo, hi, u in zip(self.goals, self.low[i], self.high[i], units, strict=True)
        ]
        return (
            f"the baseline {target.text} cannot be met by {' and '.join(parts)}; the nearest reachable value is "
            f"{target.output} = {np.exp(self.r[i, worst]) * float(wanted):.6g} {unit}."
        )


def _direction(slopes: Array, residual: Array, u: Array, low: Array, high: Array) -> Array:
    """Newton direction with the inputs that would leave their bounds held there."""
    move = np.zeros(len(u))
    free = np.ones(len(u), dtype=bool)
    for _ in range(len(u)):
        if not free.any() or not np.isfinite(slopes[:, free]).all():
            break
        move[:] = 0.0
        move[free] = np.linalg.lstsq(slopes[:, free], -residual, rcond=1e-10)[0]
        out = free & (((u <= low) & (move < 0)) | ((u >= high) & (move > 0)))
        if not out.any():
            return move
        free &= ~out
    move[~free] = 0.0
    return move
