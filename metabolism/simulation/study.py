"""Studies: what each run of a sweep does with its parameter values, and the numbers it returns.

An endpoint is text such as ``percent_change(hcy_plasma)``, ``final(sam_liver / sah_liver)``, ``auc(cbl_plasma)``,
``time_above(cbl_free, 0.01)`` or ``change(alsfrs_r) vs untreated``. On the fast engine endpoints are computed while
integrating and no trajectory is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.dosing import Regimen, plan
from metabolism.errors import InvalidValue, ModelError
from metabolism.files import versions
from metabolism.model import Model, closure, equations
from metabolism.simulation.endpoints import _READING, NAMED, Endpoint, Numbers, _read
from metabolism.simulation.run import simulate, verify_doses
from metabolism.types import Array

if TYPE_CHECKING:
    pass
from metabolism.simulation.request import EVENT_SEMANTICS, prepare


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
    closed: bool = False

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
            "closed": self.closed,
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
        impossible = [""] * len(rows)
        patients = self._patients(columns, rows, impossible)
        work = self._running if self.engine == "fast" else self._from_curves
        (treated, untreated), reasons = work(patients)
        reasons = [a or b for a, b in zip(impossible, reasons, strict=True)]
        values = np.full((len(rows), len(self.endpoints)), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            for i, endpoint in enumerate(self.endpoints):
                values[:, i] = endpoint.evaluate(treated, self.until)
                if endpoint.versus:
                    values[:, i] -= endpoint.evaluate(untreated, self.until)
        for run, place in np.argwhere(~np.isfinite(values)).tolist():
            reasons[run] = reasons[run] or f"{self.endpoints[place].text} is not a finite number"
        values[[bool(r) for r in reasons]] = np.nan
        return values, reasons

    def inputs(self) -> set[str]:
        """Return the ids a design may name: parameters, states that do not come to rest, reference quantities."""
        system = equations(self.model)
        held = system.states if self.start == "initial" else self.model.not_at_rest
        references = {p.id for p in self.model.table.values() if self.closed and p.kind == "reference"}
        return {*system.parameters, *held, *references}

    def _patients(self, columns: Sequence[str], rows: Array, reasons: list[str]) -> dict[str, Array]:
        """Lay out the values of each run; where none can be derived, say so and run the model as it is."""
        given = {name: rows[:, i] for i, name in enumerate(columns)}
        if not self.closed:
            return given
        known = self.inputs() - {p.id for p in self.model.table.values() if p.kind == "reference"}
        derive, nominal = closure(self.model.table), self.model.values
        records = []
        for row, values in enumerate(rows.tolist()):
            try:
                derived = derive.values({**self.model.changed, **dict(zip(columns, values, strict=True))})
                wrong = [f"'{k}' would have to be {v:.3g}" for k, v in derived.items() if not 0 <= v < np.inf]
            except ModelError as error:
                derived, wrong = {}, [str(error)]
            if wrong:
                reasons[row], derived = f"no reference state: {wrong[0]}", {}
            records.append({k: derived.get(k, nominal[k]) for k in derive.names if k in known})
        more = {k: np.array([r[k] for r in records]) for k in records[0]} if records else {}
        return more | {k: v for k, v in given.items() if k in known}

    def _requests(self) -> list[list[tuple[Any, ...]]]:
        """What the treated and the untreated arm have to deliver."""
        arms = (self.endpoints, [e for e in self.endpoints if e.versus])
        return [list(dict.fromkeys(r for e in arm for r in e.requests())) for arm in arms]

    def _running(self, patients: Mapping[str, Array]) -> tuple[list[Numbers], list[str]]:
        """Endpoints computed while integrating; both arms start from the same resting states."""
        from metabolism.engines import FastEngine

        ready = prepare(
            self.model,
            self.regimen,
            self.until,
            times=[0.0],
            patients=patients,
            own_baseline=self.own_baseline,
            start=self.start,
            engine="fast",
            rtol=self.rtol,
        )
        problem, engine = ready.problem, FastEngine()
        count = len(problem.initial)
        reasons = [ready.failures.get(i, "") for i in range(count)]
        found: list[Numbers] = []
        for requests, regimen in zip(self._requests(), (self.regimen, self.regimen.background), strict=True):
            numbers: Numbers = {r: np.full(count, np.nan) for r in requests}
            found.append(numbers)
            running = [r for r in requests if r[0] != "initial"]
            if running:
                steps = plan(regimen, problem.start, self.until)
                arm = replace(problem, plan=steps, dose_scale=np.ones((count, len(steps.boluses))))
                solution = engine.endpoints(arm, running)
                verify_doses(arm, solution)
                for i, request in enumerate(running):
                    numbers[request] = solution.values[:, 0, i]
                for patient, failure in solution.failures.items():
                    reasons[patient] = reasons[patient] or failure.message
            outputs = tuple(r[1] for r in requests if r[0] == "initial")
            if outputs:
                first = problem.equations.evaluate(outputs, problem.initial, problem.parameters)
                numbers |= {("initial", output): first[:, i] for i, output in enumerate(outputs)}
        return found, reasons

    def _from_curves(self, patients: Mapping[str, Array]) -> tuple[list[Numbers], list[str]]:
        """Endpoints read off stored curves, for the engines that keep them."""
        found: list[Numbers] = []
        reasons = [""] * len(next(iter(patients.values())))
        for requests, regimen in zip(self._requests(), (self.regimen, self.regimen.background), strict=True):
            numbers: Numbers = {}
            found.append(numbers)
            if not requests:
                continue
            result = simulate(
                self.model,
                regimen,
                self.until,
                outputs=list(dict.fromkeys(r[1] for r in requests)),
                patients=patients,
                own_baseline=self.own_baseline,
                start=self.start,
                engine=self.engine,
                rtol=self.rtol,
            )
            for request in requests:
                numbers[request] = _read(result, *request)
            for patient, time in result.failures.items():
                reasons[patient] = f"engine '{self.engine}' stopped at t = {time:.6g} h"
        return found, reasons


def make_study(
    model: Model,
    regimen: Regimen | str | None,
    until: float | str,
    endpoints: Sequence[str] | None,
    closed: bool = False,
    **options: Any,
) -> Study:
    """Check a request and make a study of it.

    Parameters
    ----------
    until : float or str
        End of each run [h], or text with a unit.
    endpoints : sequence of str, optional
        Endpoint texts or the names of `NAMED`; all of `NAMED` by default.
    closed : bool
    **options
        ``own_baseline``, ``start``, ``engine``, ``rtol`` of `Study`.

    Raises
    ------
    UsageError
        For any request that cannot be carried out, before anything runs.
    """
    wanted = tuple(Endpoint.parse(e) for e in (NAMED if endpoints is None else endpoints))
    if not wanted:
        raise InvalidValue("ask for at least one endpoint.")
    if len({e.text for e in wanted}) < len(wanted):
        raise InvalidValue("an endpoint is asked for twice.")
    engine = "fast" if options.get("engine", "auto") == "auto" else options["engine"]
    any_one = equations(model).parameters[0]
    # lays out the model itself as one patient, and so finds every other mistake
    outputs = list(dict.fromkeys(o for e in wanted for o in e.outputs))
    ready = prepare(
        model,
        regimen,
        until,
        outputs=outputs,
        times=[0.0],
        patients={any_one: [model.values[any_one]]},
        **{**options, "engine": engine},
    )
    schedule = Regimen.parse(regimen) if isinstance(regimen, str) else regimen or Regimen()
    return Study(
        model,
        schedule,
        ready.problem.end,
        wanted,
        dict(options.get("own_baseline") or {}),
        options.get("start", "rest"),
        engine,
        ready.problem.rtol,
        closed,
    )


def code_versions() -> dict[str, str]:
    """Versions of what can change a number of a sweep."""
    from importlib.metadata import version

    return {**versions(), "llvmlite": version("llvmlite")}
