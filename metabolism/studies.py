"""Studies: what each run of a sweep does with its parameter values, and the numbers it returns.

An endpoint is text such as ``percent_change(hcy_plasma)``, ``final(sam_liver / sah_liver)``, ``auc(cbl_plasma)``,
``time_above(cbl_free, 0.01)`` or ``change(alsfrs_r) vs untreated``. On the fast engine endpoints are computed while
integrating and no trajectory is stored.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.engines import Problem, Solution, get_engine
from metabolism.equations import Equations, equations, read_equations
from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.model import Model
from metabolism.regimen import Regimen, plan
from metabolism.result import versions
from metabolism.simulation import ATOL_FRACTION, EVENT_SEMANTICS, _check_outputs, _check_plan, _cohort, simulate
from metabolism.units import magnitude

Array = NDArray[np.float64]
#: Endpoints with a name of their own.
NAMED = {
    "hcy_change": "percent_change(hcy_plasma)",
    "sam_sah": "final(sam_liver / sah_liver)",
    "mma": "final(mma_plasma)",
    "cobalamin_auc": "auc(cbl_plasma)",
    "alsfrs_change": "change(alsfrs_r)",
    "treatment_difference": "change(alsfrs_r) vs untreated",
}
#: What can be asked of an output, and the unit that comes out ('' is the unit of the output).
KINDS = {
    "initial": "", "final": "", "change": "", "percent_change": "%", "max": "", "min": "", "mean": "", "auc": "x h",
    "time_above": "h",
}  # fmt: skip
#: Of a ratio of two outputs only its values at the ends are known without storing a trajectory.
_OF_RATIO = ("initial", "final", "change", "percent_change")
_TEXT = re.compile(r"^(\w+)\(\s*(\w+)\s*(?:/\s*(\w+)\s*)?(?:,\s*([^)]+))?\)(\s+vs\s+untreated)?$")
_READING = threading.Lock()


@dataclass(frozen=True)
class Endpoint:
    """One number per run.

    Attributes
    ----------
    text : str
        As asked; it names the column.
    kind : str
        One of `KINDS`.
    output, over : str
        The output, and what it is divided by (empty: nothing).
    level : float or None
        Of ``time_above`` [unit of the output].
    versus : bool
        Whether the same number without any dose or exposure is subtracted.
    """

    text: str
    kind: str
    output: str
    over: str = ""
    level: float | None = None
    versus: bool = False

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read an endpoint.

        Raises
        ------
        UsageError, UnknownName, InvalidValue
            For text that is no endpoint, a kind that does not exist, or a level where none belongs.
        """
        match = _TEXT.match(NAMED.get(text, text).strip())
        if match is None:
            if re.fullmatch(r"\w+", text):
                raise UnknownName("endpoint", text, NAMED, "Or write one, e.g. 'percent_change(hcy_plasma)'.")
            raise UsageError(
                f"endpoint '{text}' cannot be read; write e.g. 'percent_change(hcy_plasma)', "
                "'final(sam_liver / sah_liver)' or 'change(alsfrs_r) vs untreated'."
            )
        kind, output, over, level, versus = match.groups()
        if kind not in KINDS:
            raise UnknownName("endpoint", kind, KINDS)
        if (kind == "time_above") != bool(level):
            raise InvalidValue(f"endpoint '{text}': time_above needs a level, and nothing else takes one.")
        if over and kind not in _OF_RATIO:
            raise InvalidValue(f"endpoint '{text}': of a ratio only {', '.join(_OF_RATIO)} can be asked.")
        try:
            number = float(level) if level else None
        except ValueError:
            raise InvalidValue(f"endpoint '{text}': level '{level}' is not a number.") from None
        return cls(text, kind, output, over or "", number, bool(versus))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Ids of the outputs it needs."""
        return (self.output, self.over) if self.over else (self.output,)

    def unit(self, system: Equations) -> str:
        """Return the unit of the number."""
        own = "dimensionless" if self.over else system.units[self.output]
        return f"{own} x h" if self.kind == "auc" else KINDS[self.kind] or own

    def requests(self) -> list[tuple[Any, ...]]:
        """Return what the engine has to deliver."""
        kinds = {"change": ("initial", "final"), "percent_change": ("initial", "final"), "mean": ("auc",)}
        level = () if self.level is None else (self.level,)
        return [(kind, output, *level) for kind in kinds.get(self.kind, (self.kind,)) for output in self.outputs]

    def evaluate(self, found: Mapping[tuple[Any, ...], Array], span: float) -> Array:
        """Return the number of each run from what the engine delivered."""

        def of(kind: str) -> Array:
            level = () if self.level is None else (self.level,)
            top = found[kind, self.output, *level]
            return top / found[kind, self.over] if self.over else top

        if self.kind == "change":
            return of("final") - of("initial")
        if self.kind == "percent_change":
            return 100.0 * (of("final") / of("initial") - 1.0)
        return of("auc") / span if self.kind == "mean" else of(self.kind)


@dataclass(frozen=True, eq=False)
class Study:
    """What is run for every row of a design.

    Attributes
    ----------
    model : Model
    regimen : Regimen
    until : float
        End of each run [h].
    endpoints : tuple of Endpoint
    own_baseline : mapping of str to str
        As in `metabolism.simulate`.
    start : {"rest", "initial"}
    engine : str
    rtol : float
    """

    model: Model
    regimen: Regimen
    until: float
    endpoints: tuple[Endpoint, ...]
    own_baseline: Mapping[str, str] = field(default_factory=dict)
    start: str = "rest"
    engine: str = "fast"
    rtol: float = 1e-6

    def identity(self) -> dict[str, Any]:
        """Everything that decides a number, for the manifest of a store."""
        return {
            "model": self.model.id,
            "model_hash": self.model.structure_hash,
            "parameter_hash": self.model.parameter_hash,
            "sets": list(self.model.sets),
            "changed": dict(self.model.changed),
            "regimen": str(self.regimen),
            "until_h": self.until,
            "endpoints": [e.text for e in self.endpoints],
            "units": [e.unit(equations(self.model)) for e in self.endpoints],
            "own_baseline": dict(self.own_baseline),
            "start": self.start,
            "engine": self.engine,
            "rtol": self.rtol,
            "event_semantics": EVENT_SEMANTICS,
            "versions": code_versions(),
        }

    def run(self, columns: Sequence[str], rows: Array) -> tuple[Array, list[str]]:
        """Run some rows of a design.

        Parameters
        ----------
        columns : sequence of str
            Parameter ids.
        rows : ndarray, shape (runs, parameters)
            Values [model units].

        Returns
        -------
        values : ndarray, shape (runs, endpoints)
            NaN where a run failed.
        reasons : list of str
            Why each run failed; empty where it did not.
        """
        # libsbml and sympy are not made to be started from two threads at once
        with _READING:
            equations(self.model)
        patients = {name: rows[:, i] for i, name in enumerate(columns)}
        work = self._fast if self.engine == "fast" else self._by_trajectory
        treated, reasons = work(patients, self.regimen, self.endpoints)
        untreated: dict[tuple[Any, ...], Array] = {}
        if any(e.versus for e in self.endpoints):
            untreated, more = work(patients, Regimen(), [e for e in self.endpoints if e.versus])
            reasons = [a or b for a, b in zip(reasons, more, strict=True)]
        values = np.full((len(rows), len(self.endpoints)), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            for i, endpoint in enumerate(self.endpoints):
                values[:, i] = endpoint.evaluate(treated, self.until)
                if endpoint.versus:
                    values[:, i] -= endpoint.evaluate(untreated, self.until)
        for run, endpoint_ in np.argwhere(~np.isfinite(values)).tolist():
            reasons[run] = reasons[run] or f"{self.endpoints[endpoint_].text} is not a finite number"
        values[[bool(r) for r in reasons]] = np.nan
        return values, reasons

    def _fast(
        self, patients: Mapping[str, Array], regimen: Regimen, wanted: Iterable[Endpoint]
    ) -> tuple[dict[tuple[Any, ...], Array], list[str]]:
        """Endpoints computed while integrating."""
        from metabolism.engines.fast_engine import FastEngine

        system, engine = equations(self.model), FastEngine()
        cohort = _cohort(self.model, system, patients, self.own_baseline, self.start, self.engine)
        steps = plan(regimen, 0.0, self.until)
        count = len(cohort.initial)
        scale = np.array([self.model.table[s].scale for s in system.states])
        good = np.array([i for i in range(count) if i not in cohort.failures], dtype=int)

        def problem(who: NDArray[np.int64], outputs: tuple[str, ...]) -> Problem:
            return Problem(
                system, steps, 0.0, self.until, np.array([self.until]), outputs, cohort.parameters[who],
                cohort.initial[who], np.ones((len(who), len(steps.boluses))), self.rtol,
                self.rtol * ATOL_FRACTION * scale,
            )  # fmt: skip

        requests = list(dict.fromkeys(r for e in wanted for r in e.requests()))
        running = [r for r in requests if r[0] != "initial"] or [("final", system.states[0])]
        found = {r: np.full(count, np.nan) for r in [*requests, *running]}
        reasons = [cohort.failures.get(i, "") for i in range(count)]
        if not len(good):
            return found, reasons
        numbers = engine.endpoints(problem(good, ()), running)
        for i, request in enumerate(running):
            found[request][good] = numbers[:, i]
        outputs = tuple(dict.fromkeys(r[1] for r in requests if r[0] == "initial"))
        if outputs:
            first = _values_at_rest(system.sbml, outputs)
            begun = np.array([first(cohort.initial[i].tolist(), cohort.parameters[i].tolist()) for i in good.tolist()])
            for i, output in enumerate(outputs):
                found["initial", output][good] = begun[:, i]
        lost = good[np.isnan(numbers).any(axis=1)]
        if len(lost):
            # the same steps once more, for the time and state of the failure
            again: Solution = engine.solve(problem(lost, (system.states[0],)))
            for place, failure in again.failures.items():
                reasons[int(lost[place])] = failure.message
        return found, reasons

    def _by_trajectory(
        self, patients: Mapping[str, Array], regimen: Regimen, wanted: Iterable[Endpoint]
    ) -> tuple[dict[tuple[Any, ...], Array], list[str]]:
        """Endpoints read off stored curves, for the engines that keep them."""
        from metabolism import endpoints as read

        requests = list(dict.fromkeys(r for e in wanted for r in e.requests()))
        outputs = list(dict.fromkeys(r[1] for r in requests))
        result = simulate(
            self.model, regimen, self.until, outputs=outputs, patients=patients, own_baseline=self.own_baseline,
            start=self.start, engine=self.engine, rtol=self.rtol,
        )  # fmt: skip
        at_zero = "dose_time" in result.data.coords and float(result.data["dose_time"][0]) == 0.0
        found: dict[tuple[Any, ...], Array] = {}
        for kind, output, *level in requests:
            curve = result[output]
            if kind == "initial":
                before = result.data[f"{output}_pre_dose"].isel(dose_time=0) if at_zero else curve.isel(time=0)
                found[kind, output] = before.values
            elif kind == "time_above":
                found[kind, output, *level] = _time_above(curve["time"].values, curve.values, level[0])
            else:
                reader = {"max": read.peak, "auc": read.area}.get(kind)
                values = curve.values
                edge = {"final": values[:, -1], "min": values.min(axis=1)}
                found[kind, output] = reader(curve) if reader else edge[kind]
        reasons = [""] * len(next(iter(patients.values())))
        for patient, time in result.failures.items():
            reasons[patient] = f"engine '{self.engine}' stopped at t = {time:.6g} h"
        return found, reasons


def make_study(
    model: Model, regimen: Regimen | str | None, until: float | str, endpoints: Sequence[str] | None, **options: Any
) -> Study:
    """Check a request and make a study of it.

    Parameters
    ----------
    until : float or str
        End of each run [h], or text with a unit.
    endpoints : sequence of str, optional
        Endpoint texts or the names of `NAMED`; all of `NAMED` by default.
    **options
        ``own_baseline``, ``start``, ``engine``, ``rtol`` of `Study`.

    Raises
    ------
    UsageError
        For any request that cannot be carried out, before anything runs.
    """
    schedule = Regimen.parse(regimen) if isinstance(regimen, str) else regimen or Regimen()
    end = magnitude(until, "h", "until")
    if end <= 0:
        raise InvalidValue(f"until = {until} must be after 0 h.")
    wanted = tuple(Endpoint.parse(e) for e in (NAMED if endpoints is None else endpoints))
    if not wanted:
        raise InvalidValue("ask for at least one endpoint.")
    if len({e.text for e in wanted}) < len(wanted):
        raise InvalidValue("an endpoint is asked for twice.")
    study = Study(model, schedule, end, wanted, **options)
    if study.engine == "auto":
        study = Study(model, schedule, end, wanted, **{**options, "engine": "fast"})
    get_engine(study.engine)
    if study.start not in ("rest", "initial"):
        raise UsageError(f"start = '{study.start}' must be 'rest' or 'initial'.")
    if not 1e-13 < study.rtol < 1e-2:
        raise InvalidValue(f"rtol = {study.rtol} must lie between 1e-13 and 1e-2.")
    system = equations(model)
    _check_outputs([o for e in wanted for o in e.outputs], system)
    _check_outputs(list(study.own_baseline.values()), system)
    for name in study.own_baseline:
        if name not in system.parameters:
            raise UnknownName("parameter", name, system.parameters)
    _check_plan(plan(schedule, 0.0, end), system)
    return study


def code_versions() -> dict[str, str]:
    """Versions of what can change a number of a sweep."""
    from importlib.metadata import version

    return {**versions(), "llvmlite": version("llvmlite")}


@lru_cache(maxsize=16)
def _values_at_rest(sbml: str, outputs: tuple[str, ...]) -> Any:
    """Compile a function of (states, parameters) that returns some outputs of one patient."""
    return read_equations(sbml).function(outputs)


def _time_above(time: Array, values: Array, level: float) -> Array:
    """Time a piecewise linear curve spends above a level [h]."""
    a, b, width = values[:, :-1] - level, values[:, 1:] - level, np.diff(time)
    gap = np.where(a == b, 1.0, np.abs(b - a))
    share = np.where((a > 0) & (b > 0), 1.0, np.where((a <= 0) & (b <= 0), 0.0, np.maximum(a, b) / gap))
    return np.asarray((share * width).sum(axis=1))
