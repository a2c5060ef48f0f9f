"""Predictions of case rows, for one model or for many candidate parameter vectors at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.arms import Curves, SetColumns, changed, run_arm
from metabolism.baseline import Patients, match, rest_patients
from metabolism.cases import Arm, InvalidCase, Row
from metabolism.engines import Array
from metabolism.engines.fast_compile import kernel
from metabolism.equations import equations
from metabolism.errors import InvalidValue, UnknownName
from metabolism.metrics import Reading
from metabolism.model import Model

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[object, ...]


@dataclass(eq=False)
class Predictions:
    """Simulated values of rows.

    Attributes
    ----------
    rows : list of Row
    values : ndarray, shape (rows, candidates)
        In the unit of each row. Of several reading times, the value that is furthest outside (or nearest the edge of)
        the band. NaN where a simulation failed.
    failures : dict of (row, candidate) to str
        Why a value is missing.
    """

    rows: list[Row]
    values: Array
    failures: dict[tuple[int, int], str] = field(default_factory=dict)


def predict(
    model: Model,
    rows: Sequence[Row],
    columns: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    *,
    workers: int = 1,
    rtol: float = 1e-7,
    progress: Callable[[int], None] | None = None,
    strict: bool = False,
) -> Predictions:
    """Simulate every row for every candidate; arms and baselines that rows share are simulated once.

    Parameters
    ----------
    model : Model
    rows : sequence of Row
        From `metabolism.cases.read_cases`.
    columns : mapping or DataFrame, optional
        Parameter or state id to one value per candidate [model units]. ``"set name/parameter"`` replaces what a
        parameter set says of it.
    workers : int
        Threads that share the arms; the result does not depend on it.
    rtol : float
        Relative tolerance of the integrations.
    progress : callable, optional
        Called with the number of arms finished.
    strict : bool
        Refuse a baseline that cannot be met, before any arm is simulated.

    Returns
    -------
    Predictions

    Raises
    ------
    UnknownName, InvalidValue
        For columns that are no parameters or states.
    InvalidCase
        If `strict` and a baseline cannot be met.
    """
    system = equations(model)
    kernel(system)  # compiled before the threads share it
    parameters, states, overrides = _candidates(model, columns)
    wanted = arms_of(rows)
    groups: dict[Key, list[Arm]] = {}
    for arm in wanted:
        groups.setdefault(_group(arm), []).append(arm)

    def people(key: Key) -> Patients:
        arm = groups[key][0]
        own = changed(system, parameters, arm.population.holds, overrides)
        resting = rest_patients(model, own, states)
        found = match(model, resting, arm.targets)
        if strict:
            for i in found.failures.keys() - resting.failures.keys():
                row = next(r for r in rows if any(_group(a) == key for a in r.arms))
                raise InvalidCase(
                    f"{row.where('match')}: {found.failures[i]} Widen the bounds or match by another input."
                )
        return found

    def curves(arm: Arm) -> Curves:
        outputs, times = wanted[arm]
        found = run_arm(
            model, matched[_group(arm)], arm.treatment, sorted(outputs), np.array(sorted(times)), overrides, rtol
        )
        if progress:
            progress(1)
        return found

    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            matched = dict(zip(groups, pool.map(people, groups), strict=True))
            found = dict(zip(wanted, pool.map(curves, wanted), strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    values = np.full((len(rows), len(parameters)), np.nan)
    failures: dict[tuple[int, int], str] = {}
    for i, row in enumerate(rows):
        arms = [found[arm] for arm in row.arms]
        failed = {k: text for curve in arms for k, text in curve.failures.items()}
        values[i] = _reduce(row, arms)
        for k in range(len(parameters)):
            if k in failed:
                values[i, k], failures[i, k] = np.nan, failed[k]
            elif not np.isfinite(values[i, k]):
                values[i, k], failures[i, k] = (
                    np.nan,
                    f"'{row.text['metric']}' has no value: the curve does not allow it",
                )
    return Predictions(list(rows), values, failures)


def _candidates(
    model: Model, columns: Mapping[str, ArrayLike] | pd.DataFrame | None
) -> tuple[Array, Array, SetColumns]:
    """Parameters and start states per candidate, and what replaces values of parameter sets."""
    system = equations(model)
    states, parameters = system.vectors(model.values)
    given: dict[str, Any] = {} if columns is None else {str(n): columns[n] for n in columns}  # type: ignore[index]
    table = {n: np.atleast_1d(np.asarray(c, dtype=float)) for n, c in given.items()}
    count = max((len(c) for c in table.values()), default=1)
    many, starts = np.tile(parameters, (count, 1)), np.tile(states, (count, 1))
    overrides: SetColumns = {}
    for name, column in table.items():
        if len(column) != count or not np.isfinite(column).all():
            raise InvalidValue(f"the candidates of '{name}' differ in number from the others, or are not finite.")
        key = name.rsplit("/", 1)[-1]
        if "/" in name and key in system.parameters:
            overrides[name] = column
        elif name in system.parameters:
            many[:, system.parameters.index(name)] = column
        elif name in system.states:
            starts[:, system.states.index(name)] = column
        else:
            raise UnknownName(
                "parameter", name, {*system.parameters, *system.states}, "Columns are ids of parameters or states."
            )
    return many, starts, overrides


def _group(arm: Arm) -> Key:
    return (arm.population, arm.targets)


def arms_of(rows: Sequence[Row]) -> dict[Arm, tuple[set[str], set[float]]]:
    """Return the distinct arms of some rows, with the outputs and times [h] needed of each."""
    wanted: dict[Arm, tuple[set[str], set[float]]] = {}
    for row in rows:
        for arm in row.arms:
            outputs, times = wanted.setdefault(arm, (set(), set()))
            outputs.update(name for _, name in row.terms)
            times.update(row.grid.tolist())
    return wanted


def _reduce(row: Row, arms: Sequence[Curves]) -> Array:
    """The row's number for each candidate."""
    readings = []
    for curves in arms:
        weights = np.zeros(len(curves.outputs))
        for sign, name in row.terms:
            weights[curves.outputs.index(name)] += sign
        place = np.searchsorted(curves.times, row.grid)
        empty = np.empty((len(curves.baseline), 0))
        readings.append(
            Reading(
                curves.baseline @ weights,
                empty if row.window else curves.before[:, place] @ weights,
                row.grid,
                curves.after[:, place] @ weights if row.window else empty,
            )
        )
    factor = row.factor
    if math.isnan(factor):
        total = sum(arms[0].dosed.values())
        factor = 100.0 / total if total else math.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        values = row.metric.compute(readings) * factor
    # of several readings, the one that is furthest from the band, or nearest its edge from within; a limit has one edge
    above, below = values - row.low, row.high - values
    inside = above if row.observed == row.low else below if row.observed == row.high else np.minimum(above, below)
    worst = np.where(np.isnan(values), -np.inf, inside).argmin(axis=1)
    return np.asarray(values[np.arange(len(values)), worst])
