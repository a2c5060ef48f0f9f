"""The qualification board: every case, what was observed, what the model says, and whether it passes."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.cases.intervals import interval, left_out_score, shipped_sds
from metabolism.cases.predictions import predict
from metabolism.cases.rows import ROLES, Row
from metabolism.data import experiments_dir
from metabolism.files import versions
from metabolism.model import Model
from metabolism.progress import Tick, unseen
from metabolism.types import in_brief

if TYPE_CHECKING:
    import pandas as pd


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
        Predictive 90 % interval: draws of the parameters and the residual between studies [unit of the row].
    refused : bool
        Whether the case was not run, because a baseline of it cannot be met.
    """

    row: Row
    simulated: float
    failure: str = ""
    interval: tuple[float, float] | None = None
    refused: bool = False

    @property
    def covered(self) -> bool | None:
        """Whether the interval holds the published value; None without either."""
        if not self.interval or self.row.limit or not np.isfinite(self.interval).all():
            return None
        return self.interval[0] <= self.row.observed <= self.interval[1]

    @property
    def view(self) -> str:
        """What the row is to the fits: fitted, cross-validated, or a check, tuned in view or not."""
        words = {"fit": "fitted", "cross-validation": "fitted, cross-validated"}
        words |= {"check": "check, not seen before", "check in view": "check, tuned in view"}
        return words.get(self.row.split, "fitted" if self.row.role == "calibration" else "check")

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
    def refused(self) -> bool:
        """Whether the case was not run, because a baseline of it cannot be met."""
        return self.verdicts[0].refused

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

    def __repr__(self) -> str:
        rows = [verdict.passed for case in self.cases for verdict in case.verdicts]
        return in_brief(self, f"{sum(rows)} of {len(rows)} rows inside their bands, in {len(self.cases)} cases")

    @property
    def passed(self) -> bool:
        """Whether every must-pass case passes, and no case was refused."""
        return all(c.passed if c.must_pass else not c.refused for c in self.cases)

    @property
    def verdicts(self) -> list[Verdict]:
        """Every row of every case."""
        return [v for c in self.cases for v in c.verdicts]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return (cases that pass, cases) for each role."""
        cases = {role: [c for c in self.cases if c.role == role] for role in ROLES}
        return {role: (sum(c.passed for c in own), len(own)) for role, own in cases.items()}

    def coverage(self) -> dict[str, tuple[int, int]]:
        """Return (published values inside the interval, rows with both) for each role that has any."""
        covered: dict[str, list[bool]] = {}
        for verdict in self.verdicts:
            if verdict.covered is not None:
                covered.setdefault(verdict.row.role, []).append(verdict.covered)
        return {role: (sum(own), len(own)) for role, own in covered.items()}

    def as_json(self) -> dict[str, Any]:
        """Return the board as plain data; what is not finite (no value, an open band) becomes null."""
        return {
            "cases": [
                {
                    "case": c.id,
                    "role": c.role,
                    "passed": c.passed,
                    "refused": c.refused,
                    "rows": [_row_json(v) for v in c.verdicts],
                }
                for c in self.cases
            ],
            "coverage": {role: {"covered": k, "rows": n} for role, (k, n) in self.coverage().items()},
            "left_out": left_out_score(),
            "model": self.model,
        }


@cache
def known_misfits() -> dict[str, str]:
    """Return the cause of every shipped row known to fail, by row id (``experiments/cases/known_misfits.toml``)."""
    with (experiments_dir() / "cases" / "known_misfits.toml").open("rb") as handle:
        return tomllib.load(handle)


def qualify(
    model: Model,
    rows: Sequence[Row],
    *,
    draws: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    workers: int = 1,
    tick: Tick = unseen,
) -> Board:
    """Run all rows and judge them.

    A baseline that cannot be met refuses its case: none of its rows has a value, and all say why.

    Parameters
    ----------
    model : Model
    rows : sequence of Row
        From `metabolism.cases.rows.read_cases`.
    draws : mapping or DataFrame, optional
        Parameter id to one value per draw [model units]; adds an interval to each row.
    workers : int
        Threads; the board does not depend on it.
    tick : callable, optional
        Called with the number of arms finished.
    """
    made = predict(model, rows, workers=workers, tick=tick)
    intervals: list[tuple[float, float] | None] = [None] * len(rows)
    if draws is not None:
        drawn, sds = predict(model, rows, draws, workers=workers, tick=tick).values, shipped_sds()
        intervals = [interval(row, values, sds) for row, values in zip(rows, drawn, strict=True)]
    # of several refused rows of a case the first says why
    refused = {rows[i].case: made.failures[i, k] for i, k in sorted(made.refused, reverse=True)}
    verdicts: dict[str, list[Verdict]] = {}
    for i, row in enumerate(rows):
        if row.case in refused:
            verdict = Verdict(row, math.nan, refused[row.case], refused=True)
        else:
            verdict = Verdict(row, float(made.values[i, 0]), made.failures.get((i, 0), ""), intervals[i])
        verdicts.setdefault(row.case, []).append(verdict)
    about: dict[str, Any] = {"id": model.id, "model_hash": model.structure_hash, "parameter_hash": model.parameter_hash}
    about |= {"sets": list(model.sets), "changed": dict(model.changed), "versions": versions()}
    return Board(tuple(Case(key, tuple(v)) for key, v in verdicts.items()), about)


def _row_json(verdict: Verdict) -> dict[str, Any]:
    row = verdict.row
    numbers = {"observed": row.observed, "simulated": verdict.simulated, "low": row.low, "high": row.high}
    entry: dict[str, Any] = {"id": row.id} | {key: _finite(value) for key, value in numbers.items()}
    entry |= {"passed": verdict.passed, "failure": verdict.failure or None, "view": verdict.view}
    if verdict.interval:
        entry["interval"] = [_finite(v) for v in verdict.interval]
        entry["covered"] = verdict.covered
    return entry


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
