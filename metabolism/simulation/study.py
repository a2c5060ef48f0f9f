"""A study: one model under one regimen, checked once, for any number of patients; and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.dosing import Regimen, Schedule, plan
from metabolism.engines import Failure, Plan, Problem, check_engine, get_engine
from metabolism.errors import InvalidValue, UnitMismatch, UnknownName, UsageError
from metabolism.files import versions
from metabolism.model import equations
from metabolism.sbml import FileModel, KineticModel
from metabolism.simulation.curves import Curve, panel_times, plain_times
from metabolism.simulation.endpoints import NAMED, PARTS, Endpoint, Part
from metabolism.simulation.files import ready
from metabolism.simulation.ledger import verify_doses
from metabolism.simulation.patients import patient_table
from metabolism.simulation.rest import rest_patients
from metabolism.types import Array
from metabolism.units import magnitude, split

if TYPE_CHECKING:
    from metabolism.simulation.patients import Columns

#: What is reported when nothing else is asked for.
DEFAULT_OUTPUTS = (
    *("hcy_plasma", "met_plasma", "mma_plasma", "folate_plasma", "cbl_plasma", "cbl_free", "holo_tc"),
    *("motor_units", "alsfrs_r"),
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

#: Called with the number of patients finished since the last call.
Tick = Callable[[int], None]


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
        if isinstance(until, str) and not model.time_unit and split(until, "until")[1]:
            raise UnitMismatch(f"until = '{until}': the file does not say its unit of time; give the number alone.")
        end = magnitude(until, model.time_unit or "dimensionless", "until")
        if end <= 0:
            raise InvalidValue(f"until = {until} must be after {f'0 {model.time_unit}'.strip()}.")
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
            if target not in (places := [state for state in system.states if state != system.time]):
                raise UnknownName("dose target", target, places)
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
        table = {} if patients is None else patient_table(patients, model, resting)
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
        for sign, arm, wanted in self.arms(problem):
            parts, failed = self._parts(arm, wanted, workers, tick)
            failures = failed | failures
            with np.errstate(divide="ignore", invalid="ignore"):
                for i in wanted:
                    values[:, i] += sign * self.endpoints[i].value(parts, arm.end - arm.start)
        values[list(failures)] = np.nan
        return values, failures

    def arms(self, problem: Problem) -> list[tuple[float, Problem, list[int]]]:
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

    def parts_of(self, wanted: Sequence[int]) -> tuple[list[Part], list[Part]]:
        """What is read before anything happens, and what while it does."""
        parts = list(dict.fromkeys(p for i in wanted for p in self.endpoints[i].parts))
        return [p for p in parts if p[0] == "initial"], [p for p in parts if p[0] != "initial"]

    def _parts(
        self, arm: Problem, wanted: Sequence[int], workers: int, tick: Tick | None
    ) -> tuple[dict[Part, Array], dict[int, Failure]]:
        before, running = self.parts_of(wanted)
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
    wanted = tuple(Endpoint.parse(e, own_ids(model)) for e in (NAMED if endpoints is None else endpoints))
    if not wanted:
        raise InvalidValue("ask for at least one endpoint.")
    if len({e.text for e in wanted}) < len(wanted):
        raise InvalidValue("an endpoint is asked for twice.")
    if options.get("engine") == "auto":
        options["engine"] = "fast"
    return Study.of(model, regimen, until, wanted, closed=closed, **options)


def own_ids(model: KineticModel) -> tuple[str, ...]:
    """Outputs of a model from a file; of our own none, which has endpoints with names."""
    return () if model.bounded else (*equations(model).states, *equations(model).computed)


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


def code_versions() -> dict[str, str]:
    """Versions of what can change a number."""
    from importlib.metadata import version

    return {**versions(), "llvmlite": version("llvmlite")}
