"""Generated vector code and a Rosenbrock method: many patients at once, bitwise independent of each other.

Patients share nothing but the code they run through, so a result does not depend on how many patients there
are, in which order, on how many threads, or at which times outputs are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from metabolism.engines.contract import Problem, Solution
from metabolism.engines.ensemble.compile import Kernel, kernel
from metabolism.engines.ensemble.layout import NEWTON_FIELDS
from metabolism.engines.ensemble.run import Request, Run, Tick, context, real
from metabolism.sbml import RESIDUAL, RUNAWAY, Equations
from metabolism.types import Array


class FastEngine:
    """Rodas5P on generated vector code, compiled once per model and processor."""

    name = "fast"

    def solve(self, problem: Problem, tick: Tick | None = None, workers: int = 1) -> Solution:
        """Integrate every patient.

        Parameters
        ----------
        problem : Problem
        tick : callable, optional
            Called with the number of patients finished since the last call.
        workers : int
            Threads.
        """
        return Run(problem, kernel(problem.equations)).solve(tick, workers)

    def endpoints(
        self, problem: Problem, requests: Sequence[Request], workers: int = 1, tick: Tick | None = None
    ) -> Solution:
        """Compute endpoints of every patient without storing trajectories.

        Parameters
        ----------
        problem : Problem
            Its `times` and `outputs` are not used.
        requests : sequence of tuple
            ``("final" | "max" | "min" | "auc", output)`` or ``("time_above", output, level)``, over the whole
            span; ``"auc"`` in output unit x h, ``"time_above"`` in h.
        workers : int
            Threads.

        Returns
        -------
        Solution
            Its `values`, shape (patients, 1, requests), are the endpoints; NaN where the integration failed.

        Raises
        ------
        UnknownName, InvalidValue
            For a request that does not exist, or a time above without a level.
        """
        return Run(problem, kernel(problem.equations)).endpoints(requests, tick, workers)


#: Fewest patients for which another thread is worth its start.
SHARE = 64


def rest_many(
    equations: Equations,
    parameters: Array,
    initial: Array,
    scale: Array,
    held: Iterable[str] = (),
    limit: int = 400,
    workers: int = 1,
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Bring many patients to rest by pseudo-transient continuation, as `metabolism.sbml.resting.rest` does for one.

    Parameters
    ----------
    equations : Equations
    parameters : ndarray, shape (patients, parameters)
    initial : ndarray, shape (patients, states)
        Where to start.
    scale : ndarray, shape (states,)
        Physiological size of each state.
    held : iterable of str
        States left out; they keep their value.
    limit : int
        Largest number of steps.
    workers : int
        Threads.

    Returns
    -------
    states : ndarray, shape (patients, states)
    residuals : ndarray, shape (patients,)
        Largest |dx/dt| / max(|x|, 1e-3 scale) over the states not held [1/h].
    ok : ndarray of bool, shape (patients,)
        Whether the residual is below `metabolism.sbml.resting.RESIDUAL`.
    """
    compiled, held = kernel(equations), set(held)
    threads = max(1, min(workers, len(initial) // SHARE))
    shares = [np.array_split(array, threads) for array in (parameters, initial)]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda p, x: _rest_some(compiled, equations, p, x, scale, held, limit), *shares))
    states, residuals, ok = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return states, residuals, ok


def _rest_some(
    compiled: Kernel, equations: Equations, parameters: Array, initial: Array, scale: Array, held: set[str], limit: int
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Bring the patients of one thread to rest."""
    keep = np.array([s not in held for s in equations.states])
    # a held state gets an infinite inertia: it does not move, and nothing feels it
    weights, floor = np.where(keep, 1.0, 1e300), 1e-3 * scale
    x, p = real(initial).copy(), real(parameters)
    step, best = np.ones(len(x)), np.full(len(x), np.inf)
    active = np.flatnonzero(np.isfinite(x).all(axis=1) & np.isfinite(p).all(axis=1))
    _memory, address = compiled.memory()
    for _ in range(limit):
        if not len(active):
            break
        here, moves, rates = x[active], np.empty((len(active), len(scale))), np.empty((len(active), len(scale)))
        arrays = {
            "patients": len(active),
            "parameters": real(p[active]),
            "states": here,
            "step": step[active],
            "weights": weights,
            "rates": rates,
            "moves": moves,
        }
        words = context(NEWTON_FIELDS, arrays)
        compiled.newton(words.ctypes.data, address)
        residual = (np.abs(rates) / np.maximum(np.abs(here), floor))[:, keep].max(axis=1)
        best[active] = np.fmin(best[active], residual)
        # near rest, polish until rounding stops the fall
        done = (residual < 1e-3 * RESIDUAL) | ((residual < RESIDUAL) & (step[active] > 1e10))
        moves[:, ~keep] = 0.0
        target = here + moves
        wild = ~np.isfinite(moves) | (target < -floor) | (np.abs(moves) > 2 * (here + floor))
        bad = np.any(wild[:, keep], axis=1)
        go, back = active[~done & ~bad], active[~done & bad]
        x[go] = np.where(keep, np.maximum(target, 0.0), here)[~done & ~bad]
        step[go] = np.minimum(step[go] * 3, 1e13)
        step[back] /= 4
        away = np.any((x > RUNAWAY * scale)[:, keep], axis=1)
        best[away] = np.inf
        active = active[~done & (step[active] >= 1e-12) & ~away[active]]
    return x, best, np.asarray(best < RESIDUAL)
