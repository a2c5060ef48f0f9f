"""A study's own baseline: resting states whose outputs take stated values, by adjusting stated inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metabolism.dosing import Target
from metabolism.model import Model, equations
from metabolism.simulation import Patients
from metabolism.types import Array
from metabolism.units import label

#: The search goes on until every output is this close, relative to its value; rounding may stop it before, and
#: then a baseline within the second number counts as met.
TOLERANCE, ACCEPTED = 1e-9, 1e-6


#: Largest change of a log input in one step, and the step of its finite difference.
_STRIDE, _NUDGE = 1.5, 1e-5


#: An input whose lower bound is 0 is searched down to this fraction of its nominal value.
_FLOOR = 1e-4


def match(model: Model, patients: Patients, targets: Sequence[Target]) -> Patients:
    """Adjust inputs until the resting state of every patient meets the targets.

    Newton's method on the logarithms of the inputs, damped by halving and kept within the bounds of
    ``parameters.csv`` (Dennis and Schnabel 1996, doi:10.1137/1.9781611971200, chapter 6).

    Parameters
    ----------
    patients : Patients
        At rest.
    targets : sequence of Target
        As many inputs as outputs.

    Returns
    -------
    Patients
        With new parameters and states; those that cannot meet the baseline fail with the nearest value found.
    """
    if not targets:
        return patients
    return _Search(model, patients, targets).run()


class _Search:
    """State of one search: log inputs, residuals, and the best found for each patient."""

    def __init__(self, model: Model, patients: Patients, targets: Sequence[Target]) -> None:
        self.model, self.system, self.targets = model, equations(model), targets
        self.names = [t.output for t in targets]
        self.wanted = np.log([t.value for t in targets])
        self.columns = [self.system.parameters.index(t.parameter) for t in targets]
        rows = [model.table[t.parameter] for t in targets]
        self.low = np.log([max(r.lower, _FLOOR * abs(r.value) or _FLOOR) for r in rows])
        self.high = np.log([r.upper for r in rows])
        self.p, self.x, self.failures = patients.parameters.copy(), patients.states.copy(), dict(patients.failures)
        now = np.maximum(self.p[:, self.columns], np.exp(self.low))
        self.u = np.clip(np.log(now), self.low, self.high)
        self.r = np.full(self.u.shape, np.nan)

    def run(self) -> Patients:
        alive = np.array([i for i in range(len(self.p)) if i not in self.failures], dtype=int)
        self.r[alive], self.x[alive] = self._residual(self.u[alive], alive)
        stuck: set[int] = set()
        for _ in range(60):
            size = np.abs(self.r).max(axis=1, initial=0.0)
            active = np.array([i for i in alive.tolist() if i not in stuck and not size[i] < TOLERANCE], dtype=int)
            if not len(active):
                break
            stuck |= self._step(active)
        for i in alive.tolist():
            self.p[i, self.columns] = np.exp(self.u[i])
            if not np.abs(self.r[i]).max() < ACCEPTED:
                self.failures[i] = self._why(i)
                self.x[i] = np.nan
        return Patients(self.p, self.x, self.failures)

    def _residual(self, u: Array, rows: NDArray[np.int_]) -> tuple[Array, Array]:
        """Log of output over target at log inputs `u` of patients `rows`, and the states; NaN without rest."""
        p = self.p[rows].copy()
        p[:, self.columns] = np.exp(u)
        states, ok = _rest(self.model, p, self.x[rows])
        states[~ok] = np.nan
        values = self.system.evaluate(self.names, states, p)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(values) - self.wanted, states

    def _step(self, active: NDArray[np.int_]) -> set[int]:
        """Take one damped step for each active patient; return those that no longer get closer."""
        count, width = len(active), len(self.targets)
        u, r = self.u[active], self.r[active]
        tried = np.repeat(u, width, axis=0)
        side = np.where(tried + _NUDGE > self.high, -_NUDGE, _NUDGE)[
            np.arange(count * width), np.tile(np.arange(width), count)
        ]
        tried[np.arange(count * width), np.tile(np.arange(width), count)] += side
        moved, _ = self._residual(tried, np.repeat(active, width))
        slopes = ((moved - np.repeat(r, width, axis=0)) / side[:, None]).reshape(count, width, width).swapaxes(1, 2)
        move = np.array([_direction(s, e, v, self.low, self.high) for s, e, v in zip(slopes, r, u, strict=True)])
        move *= np.minimum(1.0, _STRIDE / np.maximum(np.abs(move).max(axis=1), 1e-300))[:, None]
        waiting, fraction = np.arange(count), 1.0
        norm = np.linalg.norm(r, axis=1)
        while len(waiting) and fraction > 1e-3:
            rows = active[waiting]
            there = np.clip(u[waiting] + fraction * move[waiting], self.low, self.high)
            found, states = self._residual(there, rows)
            better = np.linalg.norm(found, axis=1) < norm[waiting] * (1 - 1e-4 * fraction)
            good = rows[better]
            self.u[good], self.r[good], self.x[good] = there[better], found[better], states[better]
            waiting, fraction = waiting[~better], fraction / 2
        return set(active[waiting].tolist())

    def _why(self, i: int) -> str:
        if not np.isfinite(self.r[i]).all():
            return "the baseline cannot be met: there is no resting state to start from."
        worst = int(np.abs(self.r[i]).argmax())
        target = self.targets[worst]
        unit = label(self.system.units[target.output])
        parts = [
            f"{t.parameter} between {np.exp(lo):.4g} and {np.exp(hi):.4g} {label(self.model.table[t.parameter].unit)}"
            for t, lo, hi in zip(self.targets, self.low, self.high, strict=True)
        ]
        return (
            f"the baseline {target.text} cannot be met by {' and '.join(parts)}; the nearest reachable value is "
            f"{target.output} = {np.exp(self.r[i, worst]) * target.value:.6g} {unit}."
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


def _rest(model: Model, parameters: Array, start: Array) -> tuple[Array, NDArray[np.bool_]]:
    from metabolism.engines import rest_many

    states, _, ok = rest_many(equations(model), parameters, start, model.scale, model.not_at_rest)
    return states, ok
