"""Generated vector code and a Rosenbrock method: many patients at once, bitwise independent of each other.

Patients share nothing but the code they run through, so a result does not depend on how many patients there
are, in which order, on how many threads, or at which times outputs are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.engines import Array, Failure, Problem, Solution
from metabolism.engines.fast_compile import DONE, FIELDS, KINDS, NEWTON_FIELDS, TOO_SMALL, Kernel, kernel
from metabolism.equations import Equations
from metabolism.errors import InvalidValue, UnknownName
from metabolism.resting import RESIDUAL, RUNAWAY

Integers = NDArray[np.int64]
Request = tuple[str, str] | tuple[str, str, float]
Tick = Callable[[int], None]
#: Steps after which a patient is given up, for each dose or setting and for the start.
LIMIT = 50_000
#: How often progress is reported [s].
_REPORT = 0.1


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


def check_requests(requests: Sequence[Request], known: Iterable[str]) -> None:
    """Refuse endpoints that do not exist, of outputs among `known`.

    Raises
    ------
    UnknownName, InvalidValue
    """
    names = set(known)
    if not requests:
        raise InvalidValue("no endpoint is asked for; ask e.g. for ('max', 'cbl_free').")
    for kind, output, *level in requests:
        if kind not in KINDS:
            raise UnknownName("endpoint", kind, KINDS)
        if output not in names:
            raise UnknownName("output", output, names, "List them with `metabolism list outputs`.")
        if (kind == "time_above") != bool(level):
            raise InvalidValue(f"{(kind, output, *level)}: 'time_above' needs a level, and nothing else takes one.")


class Run:
    """One problem laid out for the kernel.

    Attributes
    ----------
    steps : ndarray, shape (patients,)
        Steps each patient took, refused ones included, once it has been integrated; 0 before.
    """

    def __init__(self, problem: Problem, compiled: Kernel) -> None:
        self.problem, self.kernel = problem, compiled
        system, plan = problem.equations, problem.plan
        self.parameter = {n: i for i, n in enumerate(system.parameters)}
        self.state = {n: i for i, n in enumerate(system.states)}
        names = [*system.states, *system.parameters, *compiled.derived]
        self.code = {n: i for i, n in enumerate(names)}
        self.stops = np.array(sorted({problem.start, *plan.boundaries, problem.end}))
        self.targets = list(plan.asked)
        self.steps = np.zeros(len(problem.initial), np.int64)

    def solve(self, tick: Tick | None, workers: int, linked: bool = False) -> Solution:
        """Integrate; with `linked`, every group of lanes takes the steps of its first patient."""
        problem = self.problem
        patients, width = len(problem.initial), len(problem.outputs)
        before = problem.bolus_times
        values = np.full((patients, len(problem.times), width), np.nan)
        pre_dose = np.full((patients, len(before), width), np.nan)
        rows = np.searchsorted(problem.times, self.stops)
        found = np.append(problem.times, np.inf)[rows] == self.stops
        arrays = self._call(
            problem.outputs, patients, workers, tick, linked,
            pre_row=_whole(before.index(s) if s in before else -1 for s in self.stops.tolist()),
            out_row=np.where(found, rows, -1),
            out_next=np.searchsorted(problem.times, self.stops, side="right"),
            times=np.append(problem.times, np.inf), rows=len(problem.times), values=values, pre=pre_dose,
            pres=len(before),
        )  # fmt: skip
        return self._solution(arrays, values, pre_dose)

    def _solution(self, arrays: dict[str, Any], values: Array, pre_dose: Array) -> Solution:
        delivered = {t: arrays["delivered"][:, i].copy() for i, t in enumerate(self.targets)}
        self._add_infusions(delivered, np.where(arrays["status"] == DONE, np.inf, arrays["failed_at"]))
        return Solution(values, pre_dose, delivered, arrays["final"], self._failures(arrays))

    def endpoints(self, requests: Sequence[Request], tick: Tick | None, workers: int, linked: bool = False) -> Solution:
        """Compute endpoints; with `linked`, every group of lanes takes the steps of its first patient."""
        check_requests(requests, self.code)
        outputs = list(dict.fromkeys(output for _, output, *_ in requests))
        none = np.full(len(self.stops), -1)
        results = np.full((len(self.problem.initial), len(requests)), np.nan)
        arrays = self._call(
            outputs, len(results), workers, tick, linked,
            pre_row=none, out_row=none, out_next=np.zeros(len(self.stops), np.int64), times=np.array([np.inf]), rows=0,
            requests=len(requests), kind=_whole(KINDS.index(kind) for kind, *_ in requests),
            slot=_whole(outputs.index(output) for _, output, *_ in requests),
            level=np.array([float(level[0]) if level else 0.0 for _, _, *level in requests]), results=results,
        )  # fmt: skip
        return self._solution(arrays, results[:, None], np.empty((len(results), 0, len(requests))))

    def _call(
        self, outputs: Sequence[str], patients: int, workers: int, tick: Tick | None, linked: bool, **more: Any
    ) -> dict[str, Any]:
        """Run the kernel over all patients and return its arrays by name."""
        problem, plan = self.problem, self.problem.plan
        codes = _whole(self.code[o] for o in outputs)
        first = len(self.state) + len(self.parameter)
        feeds = list(self.kernel.derived.values())
        need = {
            s for c in codes.tolist() for s in ([c] if c < len(self.state) else feeds[c - first] if c >= first else [])
        }
        volume = [problem.equations.volume.get(species) for _, species, _ in plan.boluses]
        arrays: dict[str, Any] = {
            "patients": patients, "counter": np.zeros(1, np.int64), "done": np.zeros(1, np.int64),
            "halt": np.zeros(1, np.int64), "parameters": _real(problem.parameters), "initial": _real(problem.initial),
            "dose_scale": _real(problem.dose_scale), "boluses": len(plan.boluses), "stops": len(self.stops),
            "stop_times": self.stops, "bolus_begin": self._begins([b[0] for b in plan.boluses]),
            "bolus_state": _whole(self.state[species] for _, species, _ in plan.boluses),
            "bolus_volume": _whole(-1 if v is None else self.parameter[v] for v in volume),
            "bolus_amount": _real([amount for _, _, amount in plan.boluses]),
            "bolus_target": _whole(self.targets.index(species) for _, species, _ in plan.boluses),
            "targets": len(self.targets), "delivered": np.zeros((patients, len(self.targets))),
            "setting_begin": self._begins([s[0] for s in plan.settings]),
            "setting_parameter": _whole(self.parameter[name] for _, name, _ in plan.settings),
            "setting_value": _real([np.nan if value is None else value for _, _, value in plan.settings]),
            "codes": len(codes), "code": codes, "needs": len(need), "need": _whole(sorted(need)),
            "values": np.zeros(0), "pre": np.zeros(0), "pres": 0, "final": np.full(problem.initial.shape, np.nan),
            "status": np.full(patients, -1), "failed_at": np.full(patients, problem.start),
            "rates": np.zeros(problem.initial.shape), "steps": np.zeros(patients, np.int64),
            "rtol": float(problem.rtol), "atol": _real(problem.atol), "limit": LIMIT * len(self.stops), "linked": int(linked),
            "requests": 0, "kind": np.zeros(0, np.int64), "slot": np.zeros(0, np.int64), "level": np.zeros(0),
            "results": np.zeros(0), **more,
        }  # fmt: skip
        self.steps = arrays["steps"]
        threads = max(1, min(workers, -(-patients // self.kernel.lanes)))
        if linked:
            # a group of linked lanes must not be torn apart: every thread has its own share and counter
            edges = np.linspace(0, patients // self.kernel.lanes, threads + 1).astype(int) * self.kernel.lanes
            shares = [
                {**arrays, "counter": edges[n : n + 1].copy(), "patients": int(edges[n + 1])} for n in range(threads)
            ]
        else:
            shares = [arrays] * threads
        with ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(self._work, share, len(codes), arrays["requests"]) for share in shares]
            _watch(jobs, arrays, tick)
        return arrays

    def _work(self, arrays: dict[str, Any], codes: int, requests: int) -> None:
        context = _context(FIELDS, arrays)
        _memory, address = self.kernel.memory(codes, requests)
        self.kernel.run(context.ctypes.data, address)

    def _begins(self, times: Sequence[float]) -> Integers:
        """First item at each stop, and the number of items."""
        return np.append(np.searchsorted(times, self.stops), len(times)).astype(np.int64)

    def _failures(self, arrays: dict[str, Any]) -> dict[int, Failure]:
        failures = {}
        for patient in np.flatnonzero(arrays["status"] != DONE).tolist():
            with np.errstate(over="ignore"):
                rates = np.abs(arrays["rates"][patient]) / np.maximum(self.problem.atol, 1e-300)
            # a rate that is not a number is the one to look at
            worst = self.problem.equations.states[int(np.argmax(np.where(np.isnan(rates), np.inf, rates)))]
            time, status = float(arrays["failed_at"][patient]), arrays["status"][patient]
            reason = "no step is small enough" if status == TOO_SMALL else f"more than {LIMIT * len(self.stops)} steps"
            message = (
                f"the fast engine stopped at t = {time:.6g} h in '{worst}' ({reason}); "
                "try engine='roadrunner' or a looser rtol."
            )
            failures[patient] = Failure(time, worst, message)
        return failures

    def _add_infusions(self, delivered: dict[str, Array], reached: Array) -> None:
        """Amounts infused: the rate in force x the time it was in force, as far as each patient got."""
        plan = self.problem.plan
        for parameter, species in plan.infused.items():
            changes = [(time, value or 0.0) for time, name, value in plan.settings if name == parameter]
            rate, since = 0.0, self.problem.start
            for stop in self.stops.tolist():
                delivered[species] += np.where(reached >= stop, rate * (stop - since), 0.0)
                since = stop
                for time, value in changes:
                    rate = value if time == stop else rate


def rest_many(
    equations: Equations, parameters: Array, initial: Array, scale: Array, held: Iterable[str] = (), limit: int = 400
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Bring many patients to rest by pseudo-transient continuation, as `metabolism.resting.rest` does for one.

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

    Returns
    -------
    states : ndarray, shape (patients, states)
    residuals : ndarray, shape (patients,)
        Largest |dx/dt| / max(|x|, 1e-3 scale) over the states not held [1/h].
    ok : ndarray of bool, shape (patients,)
        Whether the residual is below `metabolism.resting.RESIDUAL`.
    """
    compiled = kernel(equations)
    keep = np.array([s not in set(held) for s in equations.states])
    # a held state gets an infinite inertia: it does not move, and nothing feels it
    weights, floor = np.where(keep, 1.0, 1e300), 1e-3 * scale
    x, p = _real(initial).copy(), _real(parameters)
    step, best = np.ones(len(x)), np.full(len(x), np.inf)
    active = np.flatnonzero(np.isfinite(x).all(axis=1) & np.isfinite(p).all(axis=1))
    _memory, address = compiled.memory()
    for _ in range(limit):
        if not len(active):
            break
        here, moves, rates = x[active], np.empty((len(active), len(scale))), np.empty((len(active), len(scale)))
        arrays = {
            "patients": len(active), "parameters": _real(p[active]), "states": here, "step": step[active],
            "weights": weights, "rates": rates, "moves": moves,
        }  # fmt: skip
        context = _context(NEWTON_FIELDS, arrays)
        compiled.newton(context.ctypes.data, address)
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


def _watch(jobs: Sequence[Any], arrays: dict[str, Any], tick: Tick | None) -> None:
    """Wait for the threads and report progress; an interruption stops them after their present patients."""
    reported, left = 0, set(jobs)
    try:
        while left:
            finished, left = wait(left, timeout=_REPORT)
            for job in finished:
                job.result()
            done = int(arrays["done"][0])
            if tick and done > reported:
                tick(done - reported)
            reported = done
    finally:
        arrays["halt"][0] = 1


def _context(fields: Sequence[str], arrays: dict[str, Any]) -> Integers:
    """Write addresses, counts and numbers into one word each."""
    context = np.zeros(len(fields), np.int64)
    for place, name in enumerate(fields):
        value = arrays[name]
        if isinstance(value, np.ndarray):
            # a copy would be written to and lost
            assert value.flags.c_contiguous, name
            assert value.dtype.itemsize == 8, name
            context[place] = value.ctypes.data
        elif isinstance(value, float):
            context[place] = np.float64(value).view(np.int64)
        else:
            context[place] = value
    return context


def _real(values: Any) -> Array:
    return np.ascontiguousarray(values, dtype=np.float64)


def _whole(values: Iterable[int]) -> Integers:
    return np.array(list(values), dtype=np.int64)
