"""Simulate one patient or many: rest first, then doses, on any engine, with a ledger and a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.dosing import Regimen, Schedule
from metabolism.engines import Failure, Problem, Solution, get_engine
from metabolism.errors import InvalidValue, SolverFailed, UsageError
from metabolism.files import manifest_text
from metabolism.model import equations
from metabolism.sbml import RESIDUAL, FileModel, KineticModel
from metabolism.simulation.curves import PANELS
from metabolism.simulation.endpoints import Endpoint, Part
from metabolism.simulation.ledger import amounts_asked, verify_doses
from metabolism.simulation.rest import dies_away, eigenvalues_at
from metabolism.simulation.result import Result
from metabolism.simulation.slopes import slopes_of
from metabolism.simulation.study import DEFAULT_OUTPUTS, Study, Tick, own_ids
from metabolism.simulation.views import Plain
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from metabolism.simulation.patients import Columns


def simulate(
    model: KineticModel,
    regimen: Regimen | Schedule | str | None = None,
    until: float | str = "16 weeks",
    *,
    outputs: str | Sequence[str] | None = None,
    times: ArrayLike | None = None,
    add: ArrayLike = (),
    patients: Columns | None = None,
    own_baseline: Mapping[str, str] | None = None,
    start: str | None = None,
    dose_scale: ArrayLike | None = None,
    engine: str = "auto",
    rtol: float | None = None,
    workers: int = 1,
    tick: Tick | None = None,
) -> Result:
    """Run a model under a dosing regimen.

    Parameters
    ----------
    model : KineticModel
    regimen : Regimen or str, optional
        Doses and exposures, e.g. ``"50 mg im every 3.5 d x 32"``; none by default.
    until : float or str
        End of the run [h], or text with a unit.
    outputs : str or sequence of str, optional
        Ids of species, derived quantities, reactions or parameters.
    times : array_like, optional
        Output times [h], each after any dose at the same time. By default panels of points that begin anew at every
        dose, with the value just before it one rounding step earlier, so that `metabolism.endpoints` reads off the
        curve what the solver's dense output says; a curve at times of your own is read as samples.
    add : array_like, optional
        More times [h] at which a value is to be exact, besides the default ones; between its points a curve is read
        by `Result.curve` to about 1e-4, and where a carrier of cobalamin empties to 1e-2.
    patients : mapping or DataFrame, optional
        Parameter id to one value per patient [model units]. Other columns are left out of a DataFrame, unless one is
        nearly a parameter, and refused in a mapping. ``patients=mb.draws(model, 200)`` runs draws of the fitted
        parameters: one person under uncertain parameters, not a population; `Result.band` gives the interval.
    own_baseline : mapping of str to str, optional
        Parameters to set to a resting value of the same patient, e.g. ``{"MN_hcy_ref": "hcy_plasma"}``.
    start : {"rest", "initial"}, optional
        Start each patient at its own resting state (our model unless told otherwise), or at the initial values (a
        model from a file).
    dose_scale : array_like, shape (patients, boluses), optional
        Factor on each merged bolus: 0 for a missed dose.
    engine : str
        ``"auto"`` (fast), ``"fast"``, or a referee by name: ``"roadrunner"`` or ``"scipy"``.
    rtol : float, optional
        Relative tolerance; by default `DEFAULT_RTOL` of the engine.
    workers : int
        Threads (fast engine) or processes to share patients among; the result does not depend on it.
    tick : callable, optional
        Called with the number of patients finished since the last call.

    Returns
    -------
    Result

    Raises
    ------
    UnknownName, InvalidValue, InvalidRegimen, UnitMismatch
        For wrong requests, before anything runs.
    SolverFailed
        If a single run fails; in a run of many patients failures are flagged in the result instead.
    """
    engine = "fast" if engine == "auto" else engine
    study = Study.of(model, regimen, until, own_baseline=own_baseline, start=start, engine=engine, rtol=rtol)
    outputs = [outputs] if isinstance(outputs, str) else outputs
    problem, failures = study.lay_out(
        patients, outputs=outputs or _usual(model), times=times, add=add, dose_scale=dose_scale, workers=workers
    )
    solution = get_engine(engine).solve(problem, tick, workers)
    verify_doses(problem, solution)
    failures = (_numberless(problem, solution.values) if model.bounded else {}) | solution.failures | failures
    if patients is None and failures:
        raise SolverFailed(failures[0].message, failures[0].time, failures[0].state or None)
    manifest = {**study.identity(), "patients": None if patients is None else len(problem.initial)}
    pick: Any = 0 if patients is None else slice(None)
    curves = {name: solution.values[pick, :, i] for i, name in enumerate(problem.outputs)}
    given = amounts_asked(problem)
    return Result(
        lambda: _dataset(model, problem, solution, failures, manifest, times is None),
        Plain(
            {"time": problem.times, **curves},
            {name: model.units.get(name, "") for name in problem.outputs},
            manifest,
            times is None and model.bounded,
            {k: (float(asked.sum()), float(np.nansum(solution.delivered[k]))) for k, asked in given.items()},
        ),
    )


def _numberless(problem: Problem, values: Array) -> dict[int, Failure]:
    """Patients of whom an output is no number though every step was taken: a state it is made of has run out."""
    failures = {}
    for i in np.flatnonzero(np.isnan(values).any(axis=(1, 2))).tolist():
        place, output = np.argwhere(np.isnan(values[i]))[0].tolist()
        time, name = float(problem.times[place]), problem.outputs[output]
        failures[i] = Failure(
            time,
            name,
            f"'{name}' is not a number at t = {time:.6g} h: a state it is made of has run down to the rounding of "
            "zero; end the run before, or ask for other outputs.",
        )
    return failures


def _usual(model: KineticModel) -> tuple[str, ...]:
    """What is reported when nothing else is asked for: of a model from a file, every state."""
    if model.bounded:
        return DEFAULT_OUTPUTS
    system = equations(model)
    return tuple(s for s in system.states if s != system.time)


def _dataset(
    model: KineticModel,
    problem: Problem,
    solution: Solution,
    failures: Mapping[int, Failure],
    manifest: Mapping[str, Any],
    panels: bool,
) -> Any:
    import xarray as xr

    many, jumps, clock = manifest["patients"] is not None, problem.bolus_times, model.time_unit
    pick: Any = slice(None) if many else 0
    lead = ("patient",) if many else ()
    values = solution.values
    data: dict[str, Any] = {}
    for i, output in enumerate(problem.outputs):
        attrs = {"units": model.units.get(output, ""), "long_name": model.title(output)}
        data[output] = ((*lead, "time"), values[:, :, i][pick], attrs)
        if jumps:
            data[f"{output}_pre_dose"] = ((*lead, "dose_time"), solution.pre_dose[:, :, i][pick], attrs)
    targets, asked = list(problem.plan.asked), amounts_asked(problem)
    # netCDF cannot hold an empty dimension: without doses there is no ledger
    for name, amounts in (("asked", asked), ("delivered", solution.delivered)) if targets else ():
        ledger = np.stack([amounts[target] for target in targets], axis=1)
        data[name] = ((*lead, "target"), ledger[pick], {"units": model.amount_unit})
    coordinates: dict[str, Any] = {
        "time": ("time", problem.times, {"units": clock} | (PANELS if panels and model.bounded else {}))
    }
    if targets:
        coordinates["target"] = ("target", np.array(targets, dtype="U64"))
    if jumps:
        coordinates["dose_time"] = ("dose_time", np.array(jumps), {"units": clock})
    attributes = {"manifest": manifest_text(manifest)}
    if many:
        reached = [failures[i].time if i in failures else np.nan for i in range(len(values))]
        data["failed"] = ("patient", np.isfinite(reached).astype("i1"))
        data["failure_time"] = ("patient", np.array(reached), {"units": clock})
        coordinates["patient"] = ("patient", np.arange(len(values)))
        attributes["failures"] = manifest_text({str(i): f.message for i, f in sorted(failures.items())})
    return xr.Dataset(data, coordinates, attributes)


def endpoints_of(
    model: KineticModel,
    endpoints: Mapping[str, str | Part],
    regimen: Regimen | Schedule | str | None = None,
    until: float | str = "16 weeks",
    *,
    patients: Columns,
    own_baseline: Mapping[str, str] | None = None,
    start: str | None = None,
    dose_scale: ArrayLike | None = None,
    rtol: float | None = None,
    workers: int = 1,
    tick: Tick | None = None,
) -> pd.DataFrame:
    """Compute endpoints of many patients without storing their curves.

    Extremes, areas and times above a level are taken from the dense output of every step, so no output grid
    can miss a peak.

    Parameters
    ----------
    model, regimen, until, patients, own_baseline, start, dose_scale, rtol, workers, tick
        As in `metabolism.simulate`.
    endpoints : mapping of str to tuple or str
        Name to what is wanted over the whole run: a kind and an output such as ``("max", "cbl_free")``,
        ``("time_above", output, level)``, or text as in `metabolism.scan`.

    Returns
    -------
    DataFrame, shape (patients, endpoints + 3)
        One column per endpoint, NaN where a patient failed, then ``failed``, ``failure_time`` [h] and ``reason``.
        Units are in ``attrs["units"]``, the manifest in ``attrs["manifest"]``.

    Raises
    ------
    UnknownName, InvalidValue, InvalidRegimen, UnitMismatch
        For wrong requests, before anything runs.
    """
    import pandas as pd

    study = Study.of(model, regimen, until, _named(endpoints, model), own_baseline=own_baseline, start=start, rtol=rtol)
    values, failures = study.numbers(patients, dose_scale=dose_scale, workers=workers, tick=tick)
    frame = pd.DataFrame(values, columns=list(endpoints))
    failed = [failures.get(i) for i in range(len(frame))]
    frame["failed"] = [f is not None for f in failed]
    frame["failure_time"] = [f.time if f else np.nan for f in failed]
    frame["reason"] = [f.message if f else "" for f in failed]
    identity = study.identity()
    frame.attrs |= {
        "units": dict(zip(endpoints, identity["units"], strict=True)),
        "manifest": {**identity, "patients": len(frame)},
    }
    return frame


def _named(endpoints: Mapping[str, str | Part], model: KineticModel) -> list[Endpoint]:
    if not endpoints:
        raise InvalidValue("no endpoint is asked for; ask e.g. for ('max', 'cbl_free').")
    return [Endpoint.of(wanted, name, own_ids(model)) for name, wanted in endpoints.items()]


def sensitivities(
    model: KineticModel,
    parameters: Sequence[str],
    regimen: Regimen | Schedule | str | None = None,
    until: float | str = "16 weeks",
    *,
    endpoints: Mapping[str, str | Part] | None = None,
    outputs: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    patients: Columns | None = None,
    own_baseline: Mapping[str, str] | None = None,
    start: str | None = None,
    rtol: float | None = None,
    workers: int = 1,
) -> xr.Dataset:
    """Differentiate outputs or endpoints by parameters.

    The derivative counts everything that follows from a parameter: the resting state a patient starts from
    (implicit function theorem) and baselines set by `own_baseline` included.

    Parameters
    ----------
    model, regimen, until, patients, own_baseline, start, rtol, workers
        As in `metabolism.simulate`; without `patients` the model itself is the patient.
    parameters : sequence of str
        Parameter ids; no value may be 0.
    endpoints : mapping of str to tuple or str, optional
        As in `endpoints_of`.
    outputs, times : optional
        Without `endpoints`: outputs and times [h] as in `metabolism.simulate`.

    Returns
    -------
    Dataset
        Each output (patient, time) or endpoint (patient), and ``d_<name>`` (patient, parameter, ...) with its
        derivative [unit of the output / unit of the parameter]; NaN where a patient failed. Without `patients`
        there is no patient dimension.

    Raises
    ------
    UnknownName, InvalidValue, InvalidRegimen, UnitMismatch
    """
    import xarray as xr

    if endpoints is not None and (outputs is not None or times is not None):
        raise UsageError("ask for endpoints, or for outputs and times, not for both at once.")
    wanted = [] if endpoints is None else _named(endpoints, model)
    study = Study.of(model, regimen, until, wanted, own_baseline=own_baseline, start=start, rtol=rtol)
    columns = () if wanted else tuple(outputs or _usual(model))
    problem, values, slopes, failures = slopes_of(
        study, parameters, patients, outputs=columns, times=times, workers=workers
    )
    if patients is None and failures:
        raise SolverFailed(failures[0].message)
    pick: Any = 0 if patients is None else slice(None)
    lead, last = () if patients is None else ("patient",), () if wanted else ("time",)
    units = [e.unit(model) for e in wanted] or [model.units.get(o, "") for o in columns]
    data: dict[str, Any] = {}
    for i, (name, unit) in enumerate(zip(endpoints or columns, units, strict=True)):
        data[name] = ((*lead, *last), values[pick, ..., i], {"units": unit})
        slope = slopes[pick, ..., i]
        data[f"d_{name}"] = ((*lead, "parameter", *last), slope, {"units": f"{unit} per unit of the parameter"})
    coordinates: dict[str, Any] = {"parameter": ("parameter", list(parameters))}
    if not wanted:
        coordinates["time"] = ("time", problem.times, {"units": model.time_unit})
    manifest = {**study.identity(), "patients": None if patients is None else len(values)}
    return xr.Dataset(data, coordinates, {"manifest": manifest_text(manifest)})


def steady_states(model: KineticModel, patients: Columns, outputs: Sequence[str] | None = None) -> pd.DataFrame:
    """Find the resting states of many patients.

    Parameters
    ----------
    model : KineticModel
    patients : mapping or DataFrame
        As in `metabolism.simulate`.
    outputs : sequence of str, optional
        Ids of states, derived quantities, reactions or parameters; by default every state.

    Returns
    -------
    DataFrame, shape (patients, outputs + 3)
        One column per output [model units], then ``residual``, the largest scaled rate of change [1/h] evaluated
        outside the search; ``failed``; and ``reason``. A patient whose residual exceeds
        `metabolism.sbml.resting.RESIDUAL` has failed, and its outputs are NaN. For a model from a file also ``stable``:
        whether no small change grows, by the eigenvalues of the Jacobian.

    Raises
    ------
    UnknownName, InvalidValue
    """
    import pandas as pd

    study = Study.of(model, None, 1.0, start="rest")
    problem, failures = study.lay_out(patients, outputs=outputs or (), times=[0.0])
    system, reasons = problem.equations, {i: failure.message for i, failure in failures.items()}
    names, floor = list(outputs or system.states), 1e-3 * model.scale
    keep = [system.states.index(s) for s in model.resting]
    values = system.evaluate(names, problem.initial, problem.parameters)
    residuals = np.full(len(values), np.nan)
    for i in sorted(set(range(len(values))) - reasons.keys()):
        x = problem.initial[i]
        residuals[i] = (np.abs(system.f(x, problem.parameters[i])) / np.maximum(np.abs(x), floor))[keep].max()
        # NaN fails too
        if not residuals[i] < RESIDUAL:
            reasons[i] = (
                f"the residual {residuals[i]:.1e} per {model.time_unit or 'unit of time'} is above {RESIDUAL:.0e}"
            )
    values[list(reasons)] = np.nan
    frame = pd.DataFrame(values, columns=names)
    if isinstance(model, FileModel):
        points = zip(problem.initial, problem.parameters, strict=True)
        frame["stable"] = [
            i not in reasons and dies_away(eigenvalues_at(system, *point, model.resting))
            for i, point in enumerate(points)
        ]
    frame["residual"], frame["failed"] = residuals, [i in reasons for i in range(len(frame))]
    frame["reason"] = [reasons.get(i, "") for i in range(len(frame))]
    frame.attrs |= {
        "units": {n: model.units.get(n, "") for n in names},
        "manifest": {**study.identity(), "patients": len(frame)},
    }
    return frame
