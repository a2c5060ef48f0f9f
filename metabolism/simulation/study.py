"""A study: one model under one regimen, checked once, for any number of patients; and what can be asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.dosing import Regimen, Schedule, plan
from metabolism.engines import Failure, Plan, Problem, Solution, check_engine, get_engine
from metabolism.errors import InvalidValue, MetabolismError, ModelError, UnknownName, UsageError
from metabolism.files import versions
from metabolism.model import Model, closure, equations
from metabolism.sbml import FileModel, KineticModel
from metabolism.simulation.curves import Curve, panel_times, plain_times
from metabolism.simulation.endpoints import NAMED, PARTS, Endpoint, Part
from metabolism.simulation.files import ready
from metabolism.simulation.rest import rest_patients
from metabolism.tables import check_head, column
from metabolism.types import Array
from metabolism.units import magnitude

if TYPE_CHECKING:
    import pandas as pd

    from metabolism.engines import Direction

    Columns = Mapping[str, ArrayLike] | pd.DataFrame


#: What is reported when nothing else is asked for.
DEFAULT_OUTPUTS = (
    "hcy_plasma",
    "met_plasma",
    "mma_plasma",
    "folate_plasma",
    "cbl_plasma",
    "cbl_free",
    "holo_tc",
    "motor_units",
    "alsfrs_r",
)


EVENT_SEMANTICS = 2


#: Absolute tolerance of a state = rtol x this x its physiological scale.
ATOL_FRACTION = 1e-2


#: Relative tolerances at which each engine's error in tHcy and cobalamin stays near 1e-6 (docs/performance.md).
DEFAULT_RTOL = {"roadrunner": 1e-8, "scipy": 1e-8, "fast": 1e-6}


#: Length of a run for which the panels of stored curves were made [h].
USUAL = 16 * 168.0


#: Largest size of the curves of a run at times that were not chosen by hand [bytes].
MEMORY = 2**32


#: Relative step of a sensitivity: its square is the truncation error, rounding over it the noise.
NUDGE = 1e-4


#: Called with the number of patients finished since the last call.
Tick = Callable[[int], None]


_READING = threading.Lock()


@dataclass(frozen=True, eq=False)
class Study:
    """What is run for every patient, or for every row of a sweep. `Study.of` checks it.

    Attributes
    ----------
    model : KineticModel
    regimen : Regimen or Schedule
    until : float
        End of each run [time unit of the model].
    endpoints : tuple of Endpoint
        The numbers wanted of each run; none for curves.
    own_baseline : mapping of str to str
        Parameters set to a resting value of the same patient.
    start : {"rest", "initial"}
    engine : str
    rtol : float
    closed : bool
        Derive capacities anew for every row of a sweep, so that its reference state rests.
    """

    model: KineticModel
    regimen: Regimen | Schedule
    until: float
    endpoints: tuple[Endpoint, ...] = ()
    own_baseline: Mapping[str, str] = field(default_factory=dict)
    start: str = "rest"
    engine: str = "fast"
    rtol: float = 1e-6
    closed: bool = False

    @classmethod
    def of(
        cls,
        model: KineticModel,
        regimen: Regimen | Schedule | str | None = None,
        until: float | str = "16 weeks",
        endpoints: Sequence[Endpoint] = (),
        *,
        own_baseline: Mapping[str, str] | None = None,
        start: str | None = None,
        engine: str = "fast",
        rtol: float | None = None,
        closed: bool = False,
    ) -> Study:
        """Check a request and make a study of it.

        Parameters
        ----------
        model, regimen, until, own_baseline, start, engine, rtol
            As in `metabolism.simulate`.
        endpoints : sequence of Endpoint
        closed : bool

        Raises
        ------
        UnknownName, InvalidValue, InvalidRegimen, UnitMismatch, UsageError
        """
        system, own = equations(model), dict(own_baseline or {})
        check_engine(engine)
        end = magnitude(until, model.time_unit or "dimensionless", "until")
        if end <= 0:
            raise InvalidValue(f"until = {until} must be after 0 {model.time_unit}.")
        start = start or model.start
        model = ready(model, end, engine, start) if isinstance(model, FileModel) else model
        rtol = DEFAULT_RTOL[engine] if rtol is None else rtol
        if not 1e-13 < rtol < 1e-2:
            raise InvalidValue(f"rtol = {rtol} must lie between 1e-13 and 1e-2.")
        if start not in ("rest", "initial"):
            raise UsageError(f"start = '{start}' must be 'rest' or 'initial'.")
        for name in own:
            if name not in system.parameters:
                raise UnknownName("parameter", name, system.parameters)
        check_outputs([*own.values(), *(o for e in endpoints for o in e.outputs)], model)
        schedule: Regimen | Schedule
        if isinstance(regimen, Schedule) or isinstance(model, FileModel):
            schedule = Schedule.of(regimen)  # type: ignore[arg-type]
        elif not isinstance(regimen, (Regimen, str, type(None))):
            raise UsageError(f"regimen = {regimen!r} must be text such as '50 mg im every 3.5 d x 32', or a Regimen.")
        else:
            schedule = Regimen.parse(regimen) if isinstance(regimen, str) else regimen or Regimen()
        study = cls(model, schedule, end, tuple(endpoints), own, start, engine, rtol, closed)
        for target in study.plan.asked:
            if target not in system.states:
                raise UnknownName("dose target", target, system.states)
        for _, name, *_ in study.plan.settings:
            if name not in system.parameters:
                raise UnknownName("parameter", name, system.parameters, "A change names a parameter.")
        return study

    @property
    def plan(self) -> Plan:
        """What the regimen does within the run."""
        return _steps(self.regimen, self.until)

    def identity(self) -> dict[str, Any]:
        """Everything that decides a number, for the manifest of a result or a store."""
        model = self.model
        wanted = {
            "endpoints": [e.text for e in self.endpoints],
            "units": [e.unit(model) for e in self.endpoints],
            "closed": self.closed,
        }
        return {
            "model": model.id,
            "model_hash": model.structure_hash,
            "parameter_hash": model.parameter_hash,
            "sets": list(model.sets),
            "changed": dict(model.changed),
            "regimen": str(self.regimen),
            "until_h" if model.bounded else "until": self.until,
            **({} if model.bounded else {"time_unit": model.time_unit, "amount_unit": model.amount_unit}),
            "own_baseline": dict(self.own_baseline),
            "start": self.start,
            "engine": self.engine,
            "rtol": self.rtol,
            "atol": f"rtol x {ATOL_FRACTION} x scale of each state" + (" (parameters.csv)" if model.bounded else ""),
            "event_semantics": EVENT_SEMANTICS,
            "versions": code_versions(),
            **(wanted if self.endpoints else {}),
        }

    def lay_out(
        self,
        patients: Columns | None = None,
        *,
        outputs: Sequence[str] = (),
        times: ArrayLike | None = None,
        add: ArrayLike = (),
        dose_scale: ArrayLike | None = None,
        workers: int = 1,
    ) -> tuple[Problem, dict[int, Failure]]:
        """Bring every patient to rest and lay out the problem; arguments as in `metabolism.simulate`.

        Parameters
        ----------
        patients : mapping or DataFrame, optional
        outputs : sequence of str
        times : array_like, optional
            [h]; by default the points of panels.
        add : array_like
            Further points of panels [h].
        dose_scale : array_like, optional
        workers : int
            Threads of the search for rest.

        Returns
        -------
        problem : Problem
        failures : dict of int to Failure
            Patients without a resting state.

        Raises
        ------
        UnknownName, InvalidValue
        """
        model, system, steps, begin = self.model, equations(self.model), self.plan, self.regimen.start
        check_outputs(outputs, model)
        resting = set(model.resting) if self.start == "rest" and model.bounded else set()
        table = {} if patients is None else _patient_table(patients, model, resting)
        count = len(next(iter(table.values()))) if table else 1
        asked = steps.snapped(np.append([] if times is None else np.asarray(times, dtype=float), add))
        if (times is not None and asked.size == 0) or not ((asked >= begin) & (asked <= self.until)).all():
            raise InvalidValue(f"times must be finite and lie between {begin:g} and {self.until:g} {model.time_unit}.")
        if times is None:
            grid = (panel_times if model.bounded else plain_times)(
                begin, [*steps.boundaries, *asked.tolist()], self.until
            )
        else:
            grid = np.unique(asked)
        size = 8 * count * len(grid) * len(outputs)
        if times is None and size > MEMORY:
            raise InvalidValue(
                f"the curves of {count} patients at {len(grid)} times would take {size / 2**30:.0f} GiB: "
                "give times=..., ask for fewer outputs, or for numbers with endpoints_of, which keeps no curves."
            )
        parameters, initial = model.starts(table, count)
        failures: dict[int, Failure] = {}
        if self.start == "rest":
            lasting = steps.lasting(system.parameters, parameters)
            rested = rest_patients(model, lasting, initial, batch=self.engine == "fast", workers=workers)
            initial = rested.states
            failures = {i: Failure(begin, "", reason) for i, reason in rested.failures.items()}
        for name, source in self.own_baseline.items():
            lasting = steps.lasting(system.parameters, parameters)
            parameters[:, system.parameters.index(name)] = system.evaluate([source], initial, lasting)[:, 0]
        scale = np.ones((count, len(steps.boluses)))
        if dose_scale is not None:
            scale = np.broadcast_to(np.asarray(dose_scale, dtype=float), scale.shape).copy()
            if not (np.isfinite(scale) & (scale >= 0)).all():
                raise InvalidValue("dose_scale must be finite and >= 0; use 0 for a missed dose.")
        atol = self.rtol * ATOL_FRACTION * model.scale
        names = tuple(outputs)
        return Problem(
            system, steps, begin, self.until, grid, names, parameters, initial, scale, self.rtol, atol
        ), failures

    def numbers(
        self,
        patients: Columns | None,
        *,
        dose_scale: ArrayLike | None = None,
        workers: int = 1,
        tick: Tick | None = None,
    ) -> tuple[Array, dict[int, Failure]]:
        """Compute the endpoints of every patient; the treated and the untreated arm start from the same rest.

        Parameters
        ----------
        patients, dose_scale, workers, tick
            As in `metabolism.simulate`.

        Returns
        -------
        values : ndarray, shape (patients, endpoints)
            NaN where a patient failed.
        failures : dict of int to Failure
        """
        problem, failures = self.lay_out(patients, times=[self.until], dose_scale=dose_scale, workers=workers)
        values = np.zeros((len(problem.initial), len(self.endpoints)))
        for sign, arm, wanted in self._arms(problem):
            parts, failed = self._parts(arm, wanted, workers, tick)
            failures = failed | failures
            with np.errstate(divide="ignore", invalid="ignore"):
                for i in wanted:
                    values[:, i] += sign * self.endpoints[i].value(parts, arm.end - arm.start)
        values[list(failures)] = np.nan
        return values, failures

    def _arms(self, problem: Problem) -> list[tuple[float, Problem, list[int]]]:
        """The treated arm, and the untreated one if an endpoint asks for it, with the endpoints it needs."""
        arms = [(1.0, problem, list(range(len(self.endpoints))))]
        versus = [i for i, e in enumerate(self.endpoints) if e.versus]
        if versus:
            untreated = _steps(self.regimen.background, self.until)
            scale = np.ones((len(problem.initial), 0))
            arms.append((-1.0, replace(problem, plan=untreated, dose_scale=scale), versus))
        return arms

    def _panels(self, arm: Problem) -> Array:
        """Panels as fine for any length of the run as ours are for 16 weeks."""
        clock = 1.0 if self.model.bounded else (arm.end - arm.start) / USUAL
        return panel_times(arm.start / clock, [t / clock for t in arm.plan.boundaries], arm.end / clock) * clock

    def _parts_of(self, wanted: Sequence[int]) -> tuple[list[Part], list[Part]]:
        """What is read before anything happens, and what while it does."""
        parts = list(dict.fromkeys(p for i in wanted for p in self.endpoints[i].parts))
        return [p for p in parts if p[0] == "initial"], [p for p in parts if p[0] != "initial"]

    def _parts(
        self, arm: Problem, wanted: Sequence[int], workers: int, tick: Tick | None
    ) -> tuple[dict[Part, Array], dict[int, Failure]]:
        before, running = self._parts_of(wanted)
        first = arm.equations.evaluate([p[1] for p in before], arm.initial, arm.loaded)
        parts = {p: first[:, i] for i, p in enumerate(before)}
        if not running:
            return parts, {}
        if self.engine == "fast":
            from metabolism.engines import FastEngine

            solution = FastEngine().endpoints(arm, running, workers, tick)
            parts |= {p: solution.values[:, 0, i] for i, p in enumerate(running)}
        else:
            outputs = tuple(dict.fromkeys(p[1] for p in running))
            arm = replace(arm, outputs=outputs, times=self._panels(arm))
            solution = get_engine(self.engine).solve(arm, tick, workers)
            curves = {o: Curve(arm.times, solution.values[:, :, i], True) for i, o in enumerate(outputs)}
            parts |= {p: PARTS[p[0]](curves[p[1]], *(p[2:] or (0.0,))) for p in running}
        verify_doses(arm, solution)
        return parts, solution.failures

    def slopes(
        self,
        parameters: Sequence[str],
        patients: Columns | None = None,
        *,
        outputs: Sequence[str] = (),
        times: ArrayLike | None = None,
        workers: int = 1,
    ) -> tuple[Problem, Array, Array, dict[int, Failure]]:
        """Differentiate the endpoints, or outputs over time if there are none, by parameters.

        Parameters
        ----------
        parameters : sequence of str
        patients, outputs, times, workers
            As in `metabolism.simulate`.

        Returns
        -------
        problem : Problem
        values : ndarray, shape (patients, times, outputs) or (patients, endpoints)
        slopes : ndarray, shape (patients, parameters, ...)
        failures : dict of int to Failure
            Their values are NaN.
        """
        from metabolism.engines import slopes

        asked: ArrayLike | None = [self.until] if self.endpoints else times
        problem, failures = self.lay_out(patients, outputs=outputs, times=asked, workers=workers)
        known = {*problem.equations.parameters, *problem.equations.states}
        given = {} if patients is None else {str(k): column(patients[k], str(k)) for k in patients if k in known}
        directions = [self._direction(problem, name, failures, given) for name in parameters]
        if not self.endpoints:
            solution, derivatives = slopes(problem, directions, None, workers)
            verify_doses(problem, solution)
            values, failures = solution.values, solution.failures | failures
        else:
            values = np.zeros((len(problem.initial), len(self.endpoints)))
            derivatives = np.zeros((len(values), len(parameters), len(self.endpoints)))
            for sign, arm, wanted in self._arms(problem):
                before, running = self._parts_of(wanted)
                parts, moved = _before(arm, directions, before)
                if running:
                    solution, own = slopes(arm, directions, running, workers)
                    verify_doses(arm, solution)
                    failures = solution.failures | failures
                    parts |= {p: solution.values[:, 0, i, None] for i, p in enumerate(running)}
                    moved |= {p: own[:, :, 0, i] for i, p in enumerate(running)}
                for i in wanted:
                    values[:, i] += sign * self.endpoints[i].value(parts, arm.end - arm.start)[:, 0]
                    derivatives[:, :, i] += sign * self.endpoints[i].slope(parts, moved, arm.end - arm.start)
        values[list(failures)] = derivatives[list(failures)] = np.nan
        return problem, values, derivatives, failures

    def _direction(
        self, problem: Problem, name: str, failures: Collection[int], given: Mapping[str, Array]
    ) -> Direction:
        """How parameters and start of every patient move with one parameter."""
        from metabolism.engines import Direction

        system = problem.equations
        if name not in system.parameters:
            raise UnknownName("parameter", name, system.parameters)
        if name in self.own_baseline:
            raise InvalidValue(f"'{name}' is set by own_baseline, so nothing can be differentiated by it.")
        column = system.parameters.index(name)
        nominal = problem.parameters[:, column]
        if (nominal == 0).any():
            raise InvalidValue(
                f"a sensitivity needs values other than 0, and '{name}' is 0: a relative step has no size."
            )
        parameters, initial = np.zeros_like(problem.parameters), np.zeros_like(problem.initial)
        parameters[:, column] = 1.0
        step = NUDGE * np.abs(nominal)
        if isinstance(self.model, FileModel):
            # what the file computes at the start moves, too
            up, down = (self.model.starts({**given, name: nominal + s}, len(nominal)) for s in (step, -step))
            parameters, initial = ((a - b) / (2 * step[:, None]) for a, b in zip(up, down, strict=True))
            if self.start == "rest":
                raise UsageError("sensitivities of a model from a file start at its initial values.")
        keep = np.array([system.states.index(s) for s in self.model.resting])
        loaded = problem.loaded
        # a change for life has a share of the own value
        share = problem.plan.lasting([name], np.ones((1, 1))) - problem.plan.lasting([name], np.zeros((1, 1)))
        for i in sorted(set(range(len(nominal))) - set(failures)) if self.start == "rest" else ():
            # implicit function theorem: J dx + df/dp = 0
            x, p = problem.initial[i], loaded[i]
            moved = share[0, 0] * np.array(system.parameter_slope(name)(x.tolist(), p.tolist()))
            initial[i, keep] = np.linalg.solve(system.J(x, p)[np.ix_(keep, keep)], -moved[keep])
        for target, source in self.own_baseline.items():
            move = Direction(parameters, initial, step)
            parameters[:, system.parameters.index(target)] = _difference(problem, move, [source])[:, 0]
        return Direction(parameters, initial, step)

    def inputs(self) -> set[str]:
        """Return the ids a sweep may vary: parameters, states that do not come to rest, reference quantities."""
        system = equations(self.model)
        held = system.states if self.start == "initial" or not self.model.bounded else self.model.not_at_rest
        return {*system.parameters, *held, *(self._references if self.closed else ())}

    @property
    def _own(self) -> Model:
        if not isinstance(self.model, Model):
            raise UsageError("closed=True derives capacities of our own model; a model from a file has none.")
        return self.model

    @property
    def _references(self) -> set[str]:
        return {p.id for p in self._own.table.of(kind="reference")}

    def run(self, columns: Sequence[str], rows: Array) -> tuple[Array, list[str]]:
        """Run some rows of a sweep.

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
        impossible: dict[int, str] = {}
        patients = {name: rows[:, i] for i, name in enumerate(columns)}
        if self.closed:
            patients = self._closed(columns, rows, impossible)
        values, failures = self.numbers(patients)
        reasons = {i: failure.message for i, failure in failures.items()} | impossible
        for run, place in np.argwhere(~np.isfinite(values)).tolist():
            reasons.setdefault(run, f"{self.endpoints[place].text} is not a finite number")
        values[list(reasons)] = np.nan
        return values, [reasons.get(i, "") for i in range(len(rows))]

    def _closed(self, columns: Sequence[str], rows: Array, reasons: dict[int, str]) -> dict[str, Array]:
        """Derive the values of each run; where none can be derived, say so and run the model as it is."""
        known, derive, nominal = self.inputs() - self._references, closure(self._own.table), self.model.values
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
        return more | {name: rows[:, i] for i, name in enumerate(columns) if name in known}


def _difference(problem: Problem, move: Direction, outputs: Sequence[str]) -> Array:
    """Derivative of outputs before anything happens, per patient, by central differences: (patients, outputs)."""
    step, names = move.step[:, None], problem.equations.parameters
    up, down = (
        problem.equations.evaluate(
            outputs,
            problem.initial + s * move.initial,
            problem.plan.lasting(names, problem.parameters + s * move.parameters),
        )
        for s in (step, -step)
    )
    return np.asarray((up - down) / (2 * step))


def _before(
    problem: Problem, directions: Sequence[Direction], parts: Sequence[Part]
) -> tuple[dict[Part, Array], dict[Part, Array]]:
    """Values (patients, 1) and slopes (patients, directions) of outputs before anything happens."""
    outputs = [p[1] for p in parts]
    first = problem.equations.evaluate(outputs, problem.initial, problem.loaded)
    moved = np.stack([_difference(problem, d, outputs) for d in directions], axis=1)
    return {p: first[:, i, None] for i, p in enumerate(parts)}, {p: moved[:, :, i] for i, p in enumerate(parts)}


def _steps(regimen: Regimen | Schedule, end: float) -> Plan:
    return regimen.plan(end) if isinstance(regimen, Schedule) else plan(regimen, regimen.start, end)


def make_study(
    model: KineticModel,
    regimen: Regimen | Schedule | str | None,
    until: float | str,
    endpoints: Sequence[str] | None,
    closed: bool = False,
    **options: Any,
) -> Study:
    """Check a request for endpoints and make a study of it.

    Parameters
    ----------
    model : KineticModel
    regimen : Regimen or str, optional
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
    if endpoints is None and not model.bounded:
        raise UsageError("say which endpoints are wanted, e.g. endpoints=['final(S1)', 'max(S2)'].")
    wanted = tuple(Endpoint.parse(e) for e in (NAMED if endpoints is None else endpoints))
    if not wanted:
        raise InvalidValue("ask for at least one endpoint.")
    if len({e.text for e in wanted}) < len(wanted):
        raise InvalidValue("an endpoint is asked for twice.")
    if options.get("engine") == "auto":
        options["engine"] = "fast"
    return Study.of(model, regimen, until, wanted, closed=closed, **options)


def _patient_table(patients: Columns, model: KineticModel, resting: Collection[str]) -> dict[str, Array]:
    system = equations(model)
    known = {*system.parameters, *system.states}
    names = [str(c) for c in patients]
    if not isinstance(patients, Mapping):
        names = check_head(names, known, "the table of patients", more=True)
    given: Any = patients
    table: dict[str, Array] = {}
    for name in names:
        if name not in known:
            raise UnknownName("parameter", name, known, "Columns of `patients` are parameter ids.")
        if name in resting:
            raise InvalidValue(
                f"patients['{name}'] would be lost: that state comes to rest before the run; use start='initial'."
            )
        table[name] = column(given[name], name)
        least = model.least(name)
        if not (np.isfinite(table[name]) & (table[name] >= least)).all():
            low = f"below {least:g} or " if least > -np.inf else ""
            raise InvalidValue(f"patients['{name}'] has values that are {low}not finite.")
    if not table:
        raise InvalidValue("patients has no column that is a parameter of the model.")
    if len({len(c) for c in table.values()}) > 1:
        raise InvalidValue("the columns of `patients` differ in length.")
    return table


def check_outputs(names: Sequence[str], model: KineticModel) -> None:
    """Refuse an output that does not exist.

    Raises
    ------
    UnknownName
    """
    system = equations(model)
    known = {*system.states, *system.computed, *system.parameters}
    for name in names:
        if name not in known:
            raise UnknownName("output", name, known, model.lists.format("outputs"))


def amounts_asked(problem: Problem) -> dict[str, Array]:
    """Amount each patient should receive per target [µmol]: merged boluses as scaled, plus infusions."""
    bolus = {t: np.zeros(len(problem.initial)) for t in problem.plan.asked}
    planned = dict.fromkeys(problem.plan.asked, 0.0)
    for i, (_, target, amount) in enumerate(problem.plan.boluses):
        bolus[target] += amount * problem.dose_scale[:, i]
        planned[target] += amount
    return {t: bolus[t] + (problem.plan.asked[t] - planned[t]) for t in bolus}


def verify_doses(problem: Problem, solution: Solution) -> None:
    """Refuse a result whose measured ledger is not what was asked, to 1e-9.

    Raises
    ------
    MetabolismError
    """
    for target, asked in amounts_asked(problem).items():
        good = [i for i in range(len(asked)) if i not in solution.failures]
        gap = np.abs(solution.delivered[target][good] - asked[good])
        if good and (gap > 1e-9 * np.maximum(asked[good], 1e-30)).any():
            raise MetabolismError(
                f"dose ledger: '{target}' was to receive {asked[good].max():.9g} and the engine delivered "
                f"{solution.delivered[target][good].max():.9g}; please report this."
            )


def code_versions() -> dict[str, str]:
    """Versions of what can change a number."""
    from importlib.metadata import version

    return {**versions(), "llvmlite": version("llvmlite")}
