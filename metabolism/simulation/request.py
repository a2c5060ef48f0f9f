"""A request to simulate, checked: names, units, doses, output times, and every patient at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism import tables
from metabolism.dosing import Regimen, plan
from metabolism.engines import Plan, Problem, check_engine
from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.files import versions
from metabolism.model import Model, equations
from metabolism.sbml import Equations
from metabolism.simulation.rest import rest_patients
from metabolism.types import Array
from metabolism.units import magnitude

if TYPE_CHECKING:
    import pandas as pd


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


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that has been checked: the problem, the engine that will solve it, and what the manifest says.

    Attributes
    ----------
    problem : Problem
    engine : str
        Name of the engine, never ``"auto"``.
    failures : dict of int to str
        Patients without a resting state, and why.
    manifest : dict
    """

    problem: Problem
    engine: str
    failures: dict[int, str]
    manifest: dict[str, Any]


def prepare(
    model: Model,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    outputs: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    patients: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    own_baseline: Mapping[str, str] | None = None,
    start: str = "rest",
    dose_scale: ArrayLike | None = None,
    engine: str = "auto",
    rtol: float | None = None,
    workers: int = 1,
) -> Prepared:
    """Check a request, bring every patient to rest and lay out the problem; arguments as in `simulate`.

    Raises
    ------
    UnknownName, InvalidValue, InvalidRegimen, UnitMismatch
    """
    system = equations(model)
    many = patients is not None
    if engine == "auto":
        engine = "fast"
    check_engine(engine)
    end = magnitude(until, "h", "until")
    if end <= 0:
        raise InvalidValue(f"until = {until} must be after 0 h.")
    rtol = DEFAULT_RTOL[engine] if rtol is None else rtol
    if not 1e-13 < rtol < 1e-2:
        raise InvalidValue(f"rtol = {rtol} must lie between 1e-13 and 1e-2.")
    names = tuple(outputs or DEFAULT_OUTPUTS)
    _check_outputs(names, system)
    schedule = Regimen.parse(regimen) if isinstance(regimen, str) else regimen or Regimen()
    begin = schedule.start
    steps = plan(schedule, begin, end)
    _check_plan(steps, system)
    grid = _grid(times, steps, begin, end)
    cohort = _cohort(model, system, patients, own_baseline or {}, start, engine, workers, steps)
    scale = np.ones((len(cohort.initial), len(steps.boluses)))
    if dose_scale is not None:
        scale = np.broadcast_to(np.asarray(dose_scale, dtype=float), scale.shape).copy()
        if not (np.isfinite(scale) & (scale >= 0)).all():
            raise InvalidValue("dose_scale must be finite and >= 0; use 0 for a missed dose.")
    problem = Problem(
        system,
        steps,
        begin,
        end,
        grid,
        names,
        cohort.parameters,
        cohort.initial,
        scale,
        rtol,
        rtol * ATOL_FRACTION * model.scale,
    )
    manifest = {
        "model": model.id,
        "model_hash": model.structure_hash,
        "parameter_hash": model.parameter_hash,
        "sets": list(model.sets),
        "changed": dict(model.changed),
        "patients": len(cohort.initial) if many else None,
        "own_baseline": dict(own_baseline or {}),
        "regimen": str(schedule),
        "start": start,
        "until_h": end,
        "engine": engine,
        "rtol": rtol,
        "atol": f"rtol x {ATOL_FRACTION} x scale of each state (parameters.csv)",
        "event_semantics": EVENT_SEMANTICS,
        "versions": versions(),
        "seed": None,
    }
    return Prepared(problem, engine, cohort.failures, manifest)


@dataclass(frozen=True, eq=False)
class _Cohort:
    parameters: Array
    initial: Array
    failures: dict[int, str]


def _cohort(
    model: Model,
    system: Equations,
    patients: Mapping[str, ArrayLike] | pd.DataFrame | None,
    own_baseline: Mapping[str, str],
    start: str,
    engine: str,
    workers: int,
    steps: Plan,
) -> _Cohort:
    if start not in ("rest", "initial"):
        raise UsageError(f"start = '{start}' must be 'rest' or 'initial'.")
    states0, constants0 = system.vectors(model.values)
    resting = set(system.states) - set(model.not_at_rest) if start == "rest" else set()
    table = _patient_table(system, patients, resting)
    count = len(next(iter(table.values()))) if table else 1
    parameters, initial = np.tile(constants0, (count, 1)), np.tile(states0, (count, 1))
    place = {n: (parameters, i) for i, n in enumerate(system.parameters)}
    place |= {n: (initial, i) for i, n in enumerate(system.states)}
    for name, column in table.items():
        array, index = place[name]
        array[:, index] = column
    for name, source in own_baseline.items():
        if name not in system.parameters:
            raise UnknownName("parameter", name, system.parameters)
        _check_outputs([source], system)
    failures: dict[int, str] = {}
    if start == "rest":
        lasting = steps.lasting(system.parameters, parameters)
        rested = rest_patients(model, lasting, initial, batch=engine == "fast", workers=workers)
        initial, failures = rested.states, rested.failures
    for name, source in own_baseline.items():
        parameters[:, system.parameters.index(name)] = system.evaluate(
            [source], initial, steps.lasting(system.parameters, parameters)
        )[:, 0]
    return _Cohort(parameters, initial, failures)


def _patient_table(
    system: Equations, patients: Mapping[str, ArrayLike] | pd.DataFrame | None, resting: set[str]
) -> dict[str, Array]:
    if patients is None:
        return {}
    known = {*system.parameters, *system.states}
    names = [str(c) for c in patients]
    if not isinstance(patients, Mapping):
        names = tables.check_head(names, known, "the table of patients", more=True)
    table: dict[str, Array] = {}
    for name in names:
        if name not in known:
            raise UnknownName("parameter", name, known, "Columns of `patients` are parameter ids.")
        table[name] = tables.column(patients[name], name)
        if name in resting:
            raise InvalidValue(
                f"patients['{name}'] would be lost: that state comes to rest before the run; use start='initial'."
            )
        if not (np.isfinite(table[name]) & (table[name] >= 0)).all():
            raise InvalidValue(f"patients['{name}'] has values that are negative or not finite.")
    if not table:
        raise InvalidValue("patients has no column that is a parameter of the model.")
    if len({len(c) for c in table.values()}) > 1:
        raise InvalidValue("the columns of `patients` differ in length.")
    return table


def output_names(model: Model) -> list[str]:
    """Return everything that can be reported: states, rules, reactions and parameters."""
    system = equations(model)
    return [*system.states, *system.computed, *system.parameters]


def _check_outputs(names: Sequence[str], system: Equations) -> None:
    known = {*system.states, *system.computed, *system.parameters}
    for name in names:
        if name not in known:
            raise UnknownName("output", name, known, "List them with `metabolism list outputs`.")


def _check_plan(steps: Plan, system: Equations) -> None:
    for target in steps.asked:
        if target not in system.states:
            raise UnknownName("dose target", target, system.states)
    for _, name, *_ in steps.settings:
        if name not in system.parameters:
            raise UnknownName("parameter", name, system.parameters, "A change names a parameter.")


def _grid(times: ArrayLike | None, steps: Plan, begin: float, end: float) -> Array:
    if times is not None:
        grid = np.unique(steps.snapped(np.asarray(times, dtype=float)))
        if grid.size == 0 or not np.isfinite(grid).all() or grid[0] < begin or grid[-1] > end:
            raise InvalidValue(f"times must be finite and lie between {begin:g} and {end:g} h.")
        return grid
    span = end - begin
    spacing = next((s for s in (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168) if span / s <= 600), span / 600)
    grid = np.append(np.arange(begin, end, spacing), end)
    doses = np.array([t for t, _, _ in steps.boluses])
    if 0 < len(doses) <= 120:
        # absorption and the peak are over within hours: a coarse grid would miss them
        after = np.array([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 6, 8])
        grid = np.concatenate([grid, (doses[:, None] + after).ravel()])
    return np.unique(steps.snapped(grid[grid <= end]))
