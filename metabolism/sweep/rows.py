"""Rows of a sweep through a study: what may vary, and the endpoints of each row or why it has none."""

import threading
from collections.abc import Sequence

import numpy as np

from metabolism.errors import ModelError, UsageError
from metabolism.model import Model, closure, equations
from metabolism.simulation import Study
from metabolism.types import Array

_READING = threading.Lock()


def inputs(study: Study) -> set[str]:
    """Return the ids a sweep may vary: parameters, states that do not come to rest, reference quantities."""
    system = equations(study.model)
    held = system.states if study.start == "initial" or not study.model.bounded else study.model.not_at_rest
    return {*system.parameters, *held, *(_references(study) if study.closed else ())}


def _own(study: Study) -> Model:
    if not isinstance(study.model, Model):
        raise UsageError("closed=True derives capacities of our own model; a model from a file has none.")
    return study.model


def _references(study: Study) -> set[str]:
    return {p.id for p in _own(study).table.of(kind="reference")}


def run_rows(study: Study, columns: Sequence[str], rows: Array) -> tuple[Array, list[str]]:
    """Run some rows of a sweep.

    Parameters
    ----------
    study : Study
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
        equations(study.model)
    impossible: dict[int, str] = {}
    patients = {name: rows[:, i] for i, name in enumerate(columns)}
    if study.closed:
        patients = _closed(study, columns, rows, impossible)
    values, failures = study.numbers(patients)
    reasons = {i: failure.message for i, failure in failures.items()} | impossible
    for run, place in np.argwhere(~np.isfinite(values)).tolist():
        reasons.setdefault(run, f"{study.endpoints[place].text} is not a finite number")
    values[list(reasons)] = np.nan
    return values, [reasons.get(i, "") for i in range(len(rows))]


def _closed(study: Study, columns: Sequence[str], rows: Array, reasons: dict[int, str]) -> dict[str, Array]:
    """Derive the values of each run; where none can be derived, say so and run the model as it is."""
    known, derive, nominal = inputs(study) - _references(study), closure(_own(study).table), study.model.values
    records = []
    for row, values in enumerate(rows.tolist()):
        try:
            derived = derive.values({**study.model.changed, **dict(zip(columns, values, strict=True))})
            wrong = [f"'{k}' would have to be {v:.3g}" for k, v in derived.items() if not 0 <= v < np.inf]
        except ModelError as error:
            derived, wrong = {}, [str(error)]
        if wrong:
            reasons[row], derived = f"no reference state: {wrong[0]}", {}
        records.append({k: derived.get(k, nominal[k]) for k in derive.names if k in known})
    more = {k: np.array([r[k] for r in records]) for k in records[0]} if records else {}
    return more | {name: rows[:, i] for i, name in enumerate(columns) if name in known}
