"""Simulate one patient or many: rest first, then doses, on any engine, with a ledger and a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.draws import draws
from metabolism.engines import Array, Problem, Solution, get_engine
from metabolism.errors import MetabolismError, SolverFailed, UsageError
from metabolism.model import Model
from metabolism.regimen import Regimen
from metabolism.request import prepare
from metabolism.result import Result, manifest_text

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int], None]


def simulate(
    model: Model,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    outputs: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    patients: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    own_baseline: Mapping[str, str] | None = None,
    uncertainty: int | None = None,
    start: str = "rest",
    dose_scale: ArrayLike | None = None,
    engine: str = "auto",
    rtol: float | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Run a model under a dosing regimen.

    Parameters
    ----------
    model : Model
    regimen : Regimen or str, optional
        Doses and exposures, e.g. ``"50 mg im every 3.5 d x 32"``; none by default.
    until : float or str
        End of the run [h], or text with a unit.
    outputs : sequence of str, optional
        Ids of species, derived quantities, reactions or parameters.
    times : array_like, optional
        Output times [h]; by default a grid with extra points after each dose.
    patients : mapping or DataFrame, optional
        Parameter id to one value per patient [model units]; columns that are no parameters are ignored
        in a DataFrame and refused in a mapping.
    own_baseline : mapping of str to str, optional
        Parameters to set to a resting value of the same patient, e.g. ``{"MN_hcy_ref": "hcy_plasma"}``.
    uncertainty : int, optional
        Run this many draws of the fitted parameters instead of `patients`; `Result.band` gives the interval. They
        are one person under uncertain parameters, not a population.
    start : {"rest", "initial"}
        Start each patient at its own resting state, or at the table's initial values.
    dose_scale : array_like, shape (patients, boluses), optional
        Factor on each merged bolus: 0 for a missed dose.
    engine : str
        ``"auto"`` (libRoadRunner for one patient, fast for many), ``"roadrunner"``, ``"scipy"`` or ``"fast"``; the
        manifest says which ran.
    rtol : float, optional
        Relative tolerance; by default `DEFAULT_RTOL` of the engine.
    workers : int
        Threads (fast engine) or processes to share patients among; the result does not depend on it.
    progress : callable, optional
        Called with the number of patients finished.

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
    if uncertainty is not None:
        if patients is not None:
            raise UsageError("give either patients or uncertainty: draws of parameters are no patients.")
        patients = draws(model, uncertainty)
    ready = prepare(
        model, regimen, until, outputs=outputs, times=times, patients=patients, own_baseline=own_baseline, start=start,
        dose_scale=dose_scale, engine=engine, rtol=rtol, workers=workers,
    )  # fmt: skip
    problem, unrested, many = ready.problem, ready.failures, patients is not None
    solution = get_engine(ready.engine).solve(problem, progress, workers)
    verify_doses(problem, solution)
    if not many and (solution.failures or unrested):
        message = unrested.get(0) or solution.failures[0].message
        raise SolverFailed(message, *(_where(solution)))
    entries = {**ready.manifest, "uncertainty": uncertainty}
    return Result(_dataset(problem, solution, unrested, entries, many, model))


def _asked(problem: Problem) -> dict[str, Array]:
    """Amount each patient should receive per target [µmol]: merged boluses as scaled, plus infusions."""
    bolus = {t: np.zeros(len(problem.initial)) for t in problem.plan.asked}
    planned = dict.fromkeys(problem.plan.asked, 0.0)
    for i, (_, target, amount) in enumerate(problem.plan.boluses):
        bolus[target] += amount * problem.dose_scale[:, i]
        planned[target] += amount
    return {t: bolus[t] + (problem.plan.asked[t] - planned[t]) for t in bolus}


def verify_doses(problem: Problem, solution: Solution) -> None:
    """Refuse a result whose measured ledger is not what was asked, to 1e-9."""
    for target, asked in _asked(problem).items():
        good = [i for i in range(len(asked)) if i not in solution.failures]
        gap = np.abs(solution.delivered[target][good] - asked[good])
        if good and (gap > 1e-9 * np.maximum(asked[good], 1e-30)).any():
            raise MetabolismError(
                f"dose ledger: '{target}' was to receive {asked[good].max():.9g} umol and the engine delivered "
                f"{solution.delivered[target][good].max():.9g}; please report this."
            )


def _where(solution: Solution) -> tuple[float | None, str | None]:
    failure = solution.failures.get(0)
    return (failure.time, failure.state) if failure else (None, None)


def _dataset(
    problem: Problem,
    solution: Solution,
    unrested: Mapping[int, str],
    entries: Mapping[str, Any],
    many: bool,
    model: Model,
) -> Any:
    import xarray as xr

    pick: Any = slice(None) if many else 0
    lead = ("patient",) if many else ()
    data: dict[str, Any] = {}
    names = {p.id: p.name for p in model.table.values()}
    for i, output in enumerate(problem.outputs):
        attrs = {"units": problem.equations.units[output], "long_name": names.get(output, output)}
        data[output] = ((*lead, "time"), solution.values[:, :, i][pick], attrs)
        if problem.bolus_times:
            data[f"{output}_pre_dose"] = ((*lead, "dose_time"), solution.pre_dose[:, :, i][pick], attrs)
    targets = list(problem.plan.asked)
    asked = _asked(problem)
    # netCDF cannot hold an empty dimension: without doses there is no ledger
    ledgers = (("asked", asked), ("delivered", solution.delivered)) if targets else ()
    for name, amounts in ledgers:
        ledger = np.zeros((len(problem.initial), len(targets)))
        for i, target in enumerate(targets):
            ledger[:, i] = amounts[target]
        data[name] = ((*lead, "target"), ledger[pick], {"units": "umol"})
    coordinates: dict[str, Any] = {"time": ("time", problem.times, {"units": "h"})}
    if targets:
        coordinates["target"] = ("target", np.array(targets, dtype="U64"))
    if problem.bolus_times:
        coordinates["dose_time"] = ("dose_time", np.array(problem.bolus_times), {"units": "h"})
    if many:
        failed = np.zeros(len(problem.initial), dtype="i1")
        reached = np.full(len(problem.initial), np.nan)
        for i, failure in solution.failures.items():
            failed[i], reached[i] = 1, failure.time
        for i in unrested:
            failed[i], reached[i] = 1, problem.start
        data["failed"] = ("patient", failed)
        data["failure_time"] = ("patient", reached, {"units": "h"})
        coordinates["patient"] = ("patient", np.arange(len(problem.initial)))
    return xr.Dataset(data, coordinates, {"manifest": manifest_text(entries)})
