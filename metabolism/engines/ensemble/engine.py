"""Generated vector code and a Rosenbrock method: many patients at once, bitwise independent of each other.

Patients share nothing but the code they run through, so a result does not depend on how many patients there
are, in which order, on how many threads, or at which times outputs are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.engines.contract import Problem, Solution
from metabolism.engines.ensemble.compile import Kernel, kernel
from metabolism.engines.ensemble.layout import NEWTON_FIELDS, context, real
from metabolism.engines.ensemble.run import Request, Tick
from metabolism.engines.ensemble.sharing import shared
from metabolism.sbml import Equations, search
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
        return shared(problem, kernel(problem.equations), lambda run: run.solve(tick, workers))

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
        return shared(problem, kernel(problem.equations), lambda run: run.endpoints(requests, tick, workers))


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
    """Bring many patients to rest, as `metabolism.sbml.resting.rest` does for one.

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
    keep = np.array([s not in held for s in equations.states])
    threads = max(1, min(workers, len(initial) // SHARE))
    shares = [np.array_split(real(array), threads) for array in (parameters, initial)]
    with ThreadPoolExecutor(threads) as pool:
        ends = list(pool.map(lambda p, x: search(_linear(compiled, keep), x, p, scale, keep, limit), *shares))
    states, residuals = (np.concatenate([getattr(e, name) for e in ends]) for name in ("states", "residuals"))
    return states, residuals, np.concatenate([e.found for e in ends])


def _linear(compiled: Kernel, keep: NDArray[np.bool_]) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """The linear step of the search for rest, in compiled code with memory of its own."""
    # a held state gets an infinite inertia: it does not move, and nothing feels it
    weights = np.where(keep, 1.0, 1e300)
    memory, address = compiled.memory()

    def linear(states: Array, parameters: Array, step: Array, _memory: Any = memory) -> tuple[Array, Array]:
        moves, rates = np.empty(states.shape), np.empty(states.shape)
        arrays = {
            "patients": len(states),
            "parameters": real(parameters),
            "states": real(states),
            "step": real(step),
            "weights": weights,
            "rates": rates,
            "moves": moves,
        }
        words = context(NEWTON_FIELDS, arrays)
        compiled.newton(words.ctypes.data, address)
        moves[:, ~keep] = 0.0
        return rates, moves

    return linear
