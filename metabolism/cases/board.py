"""The qualification board: every case, what was observed, what the model says, and whether it passes."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.cases.predictions import predict
from metabolism.cases.rows import ROLES, Row
from metabolism.data import experiments_dir
from metabolism.files import versions
from metabolism.model import Model

if TYPE_CHECKING:
    import pandas as pd


#: Probability inside the interval that `qualify` gives when it is handed draws.
INTERVAL = 0.9


@dataclass(frozen=True, eq=False)
class Verdict:
    """One row of the board.

    Attributes
    ----------
    simulated : float
        [unit of the row]; NaN if the simulation failed.
    failure : str
        Why there is no value; empty otherwise.
    interval : tuple of float, optional
        Central interval over the draws of the parameters [unit of the row].
    """

    row: Row
    simulated: float
    failure: str = ""
    interval: tuple[float, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether the simulated value lies inside the band (a failed simulation never does)."""
        return self.row.low <= self.simulated <= self.row.high


@dataclass(frozen=True, eq=False)
class Case:
    """All rows of one case; it passes only if every row does."""

    id: str
    verdicts: tuple[Verdict, ...]

    @property
    def role(self) -> str:
        """``calibration`` or ``check``, the same for all rows."""
        return self.verdicts[0].row.role

    @property
    def must_pass(self) -> bool:
        """Whether the board fails if this case does."""
        return self.verdicts[0].row.must_pass

    @property
    def passed(self) -> bool:
        """Whether all rows pass."""
        return all(v.passed for v in self.verdicts)


@dataclass(frozen=True, eq=False)
class Board:
    """The result of a qualification run.

    Attributes
    ----------
    cases : tuple of Case
        In the order of the files.
    model : dict
        Which model and parameters were qualified, and the versions that ran.
    """

    cases: tuple[Case, ...]
    model: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every must-pass case passes."""
        return all(c.passed for c in self.cases if c.must_pass)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return (cases that pass, cases) for each role."""
        found = {}
        for role in ROLES:
            own = [c for c in self.cases if c.role == role]
            found[role] = (sum(c.passed for c in own), len(own))
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the board as plain data; what is not finite (no value, an open band) becomes null."""
        return {
            "cases": [
                {"case": c.id, "role": c.role, "passed": c.passed, "rows": [_row_json(v) for v in c.verdicts]}
                for c in self.cases
            ],
            "model": self.model,
        }


@cache
def known_misfits() -> dict[str, str]:
    """Return the cause of every shipped row that is known to fail, by row id (``experiments/cases/known_misfits.toml``)."""
    with (experiments_dir() / "cases" / "known_misfits.toml").open("rb") as handle:
        return tomllib.load(handle)


def qualify(
    model: Model,
    rows: Sequence[Row],
    *,
    draws: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Board:
    """Run all rows and judge them.

    Parameters
    ----------
    model : Model
    rows : sequence of Row
        From `metabolism.cases.rows.read_cases`.
    draws : mapping or DataFrame, optional
        Parameter id to one value per draw [model units]; adds an interval to each row.
    workers : int
        Threads; the board does not depend on it.
    progress : callable, optional
        Called with the number of arms finished.

    Returns
    -------
    Board

    Raises
    ------
    InvalidCase
        If a baseline cannot be met; nothing is run then.
    """
    found = predict(model, rows, workers=workers, progress=progress, strict=True)
    intervals: list[tuple[float, float] | None] = [None] * len(rows)
    if draws is not None:
        drawn = predict(model, rows, draws, workers=workers, progress=progress).values
        tail = (1 - INTERVAL) / 2
        intervals = [_interval(values, tail) for values in drawn]
    verdicts: dict[str, list[Verdict]] = {}
    for i, row in enumerate(rows):
        verdict = Verdict(row, float(found.values[i, 0]), found.failures.get((i, 0), ""), intervals[i])
        verdicts.setdefault(row.case, []).append(verdict)
    about = {
        "id": model.id,
        "model_hash": model.structure_hash,
        "parameter_hash": model.parameter_hash,
        "sets": list(model.sets),
        "changed": dict(model.changed),
        "versions": versions(),
    }
    return Board(tuple(Case(key, tuple(v)) for key, v in verdicts.items()), about)


def _interval(values: np.ndarray[Any, Any], tail: float) -> tuple[float, float]:
    good = values[np.isfinite(values)]
    if not len(good):
        return math.nan, math.nan
    low, high = np.quantile(good, [tail, 1 - tail])
    return float(low), float(high)


def _row_json(verdict: Verdict) -> dict[str, Any]:
    row = verdict.row
    entry: dict[str, Any] = {
        "id": row.id,
        "observed": _finite(row.observed),
        "simulated": _finite(verdict.simulated),
        "low": _finite(row.low),
        "high": _finite(row.high),
        "passed": verdict.passed,
        "failure": verdict.failure or None,
    }
    if verdict.interval:
        entry["interval"] = [_finite(v) for v in verdict.interval]
    return entry


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
